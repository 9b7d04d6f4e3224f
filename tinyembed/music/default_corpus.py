"""The default corpus: real music that pip can install, for a first run without any MIDI files.

music21 (extra `scores`) contains a library of scores. They are read where they are installed, and
tinyembed contains none of these files. 293 pieces of ten composers are used, some 43,000 beats:

    Bach                 190  the four-part chorales BWV 250-438, a prelude and fugue
    Beethoven             10  movements of the string quartets op. 18 and op. 59
    Ciconia                7  mass movements and motets
    Clara Schumann         4  polonaises
    Giovanni da Firenze    6  madrigals
    Haydn                  7  movements of the string quartets op. 1 and op. 74
    Jacopo da Bologna      4  madrigals
    Landini                4  ballate
    Monteverdi            48  madrigals, books 3-5
    Mozart                13  movements of string quartets, and the exposition of K. 545

The pieces were chosen by four rules. A work counts in quarter notes throughout (section 3.1), which
excludes Palestrina's hundreds of works. A composer has at least four pieces, so that some can be
held out. No composer has far more beats than the others, so of Bach's 400 chorales those from his
cantatas are left out. No piece is included twice, in another format or edition.

In 34 of the scores a wrong rest, a missing note or a mark that sticks out of its bar shifts parts
against each other. Their bars are aligned (measures.py), and none is left out.
"""

from importlib import metadata, util
from pathlib import Path

from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.scores import NO_MUSIC21, read_score

# Glob patterns by composer, relative to music21's folder of scores.
WORKS = {
    "Bach": ["bach/bwv2[5-9][0-9].mxl", "bach/bwv[34][0-9][0-9].mxl", "bach/bwv846.mxl"],
    "Beethoven": [
        "beethoven/opus18no1/movement[134].mxl",
        "beethoven/opus59no1/movement[134].mxl",
        "beethoven/opus59no2/movement[23].mxl",
        "beethoven/opus59no3/movement[13].mxl",
    ],
    "Ciconia": [
        "ciconia/quod_jactatur.xml",
        "trecento/PMFC_24_[12]-*.xml",
        "trecento/PMFC_24_1[59]-*.xml",
        "trecento/PMFC_24_2[01]-*.xml",
    ],
    "Clara Schumann": ["schumann_clara/polonaise_op1n[1-4].mxl"],
    "Giovanni da Firenze": ["trecento/PMFC_06_Giovanni-0[134569][-_]*.xml"],
    "Haydn": ["haydn/opus1no1/movement[2345].mxl", "haydn/opus74no1/movement[134].mxl"],
    "Jacopo da Bologna": [
        "trecento/PMFC_06-Jacopo-0[12]-*.xml",
        "trecento/PMFC_06-Jacopo-03a-*.xml",
        "trecento/PMFC_06_10-*.xml",
    ],
    "Landini": ["trecento/PMFC_04-*.xml"],
    "Monteverdi": ["monteverdi/madrigal.[345].*[0-9].mxl"],  # not madrigal.3.1_old.mxl
    "Mozart": [
        "mozart/k80/movement[123].mxl",
        "mozart/k155/movement[123].mxl",
        "mozart/k156/movement[234].mxl",
        "mozart/k458/movement[234].mxl",
        "mozart/k545/movement1_exposition.mxl",
    ],
}


def read_default_corpus(seed=0, splits=None, progress=True):
    """Read the default corpus into a `Corpus`: half a minute the first time, then from the cache.

    seed: for the split; splits: the path of a splits.tsv to use instead.
    Raises InputError if music21 or its library of scores is not installed.
    """
    items = find_works(scores_folder())
    version = metadata.version("music21")
    if not items:
        raise InputError(
            f"music21 {version} is installed without its scores: reinstall it with pip, "
            "or pass a folder of MIDI files with --data"
        )
    corpus = Corpus.from_files(items, read_score, f"music21 {version}", progress=progress)
    corpus.notes.insert(0, f"the default corpus: {len(items)} scores that come with music21")
    return corpus.split(seed, splits=splits)


def scores_folder():
    """The folder of music21's scores, found without importing it, which takes half a second."""
    spec = util.find_spec("music21")
    if spec is None:
        raise InputError(NO_MUSIC21)
    return Path(spec.submodule_search_locations[0]) / "corpus"


def find_works(folder):
    """The files of `WORKS` that exist: list of (composer, name, path), sorted by name.

    The selection differs slightly between versions of music21.
    """
    items = []
    for composer, patterns in WORKS.items():
        for path in (path for pattern in patterns for path in folder.glob(pattern)):
            work = path.relative_to(folder).as_posix().partition("/")[2]
            items.append((composer, f"{composer}/{work}", str(path)))
    return sorted(items, key=lambda item: item[1])
