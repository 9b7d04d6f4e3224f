"""Corpora by name, `--data asap` and `--data krueger`: which files, from where, and by whom.

    asap      235 scores that belong to the performances of the ASAP dataset
    krueger   337 pieces that Bernd Krueger set note by note, of piano-midi.de

No file of theirs is part of tinyembed, only what tables/NAME.tsv says of each: its path at one
commit of the corpus's repository, its SHA-256 and its size. They are downloaded (fetch.py) into
downloads/NAME/ of the cache folder, laid out as in the repository, and read from there. A clone of
the repository in that place does as well.
"""

import csv
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.fetch import File, fetch_files
from tinyembed.music.midi import read_midi
from tinyembed.storage.cache import cache_folder

TABLES = Path(__file__).with_name("tables")
MIRROR = "TINYEMBED_MIRROR"  # serves NAME/PATH of every corpus, as would downloads/ of a cache

# One composer, one name, however a corpus spells it: that of the paper's Table 1, where it has one.
SPELLINGS = {
    "Albéniz": "Albeniz",
    "Bartók": "Bartok",
    "Bürgmüller": "Burgmueller",
    "Burgmüller": "Burgmueller",
    "Haendel": "Handel",
    "Händel": "Handel",
    "Moussorgsky": "Mussorgsky",
    "Musorgsky": "Mussorgsky",
    "Rachmaninoff": "Rachmaninov",
    "Rakhmaninov": "Rachmaninov",
    "Skrjabin": "Scriabin",
    "Skryabin": "Scriabin",
    "Tchaikovsky": "Tschaikovsky",
    "Tschaikowsky": "Tschaikovsky",
}
NOBODY = ("Christmas",)  # a folder of carols, each by somebody else


@dataclass(frozen=True)
class PublicCorpus:
    """repository: at GitHub; commit: the one that our table describes; licence: as the repository
    states it; above: the folder whose subfolders are the composers, "" for the topmost."""

    repository: str
    commit: str
    licence: str
    above: str = ""


CORPORA = {
    "asap": PublicCorpus(
        "fosfrancesco/asap-dataset",
        "afc815c75c42e83a79c03feb6da8a35e77d4c6b8",
        "CC BY-NC-SA 4.0",
    ),
    "krueger": PublicCorpus(
        "cheriell/ClassicalPianoMIDI-dataset",
        "505aef5e7539ac56cdb4cbc72d08a98bfaf7a208",
        "for study and research only; its source, piano-midi.de: CC BY-SA 3.0 DE",
        "midis/",
    ),
}


def read_public_corpus(name, seed=0, any_meter=False, splits=None, progress=True):
    """Read one of `CORPORA` into a `Corpus`, after downloading what is not here yet.

    seed: for the split; splits: the path of a splits.tsv, instead; any_meter: also take pieces
    whose beats are not quarter notes.
    Raises what `fetch_corpus` raises.
    """
    folder = fetch_corpus(name, progress)
    items, left_out = find_works(name, folder)
    reader = partial(read_midi, any_meter=True) if any_meter else read_midi
    kind = f"public corpus {name} any_meter={bool(any_meter)}"
    corpus = Corpus.from_files(items, reader, kind, left_out, progress=progress)
    corpus.notes.insert(0, f"the corpus {name}: {len(items)} files, {CORPORA[name].licence}")
    return corpus.split(seed, splits=splits)


def fetch_corpus(name, progress=True, address=None):
    """Download what is not here yet of a corpus. Returns its folder, with all files as they
    should be.

    address: of the files, by default their repository, or $TINYEMBED_MIRROR.
    Raises InputError without pooch, WorkError where a file cannot be had (see `fetch_files`).
    """
    files, folder = files_of(name), folder_of(name)
    size = sum(file.size for file in files) / 1e6
    licence = (
        f"{name}: {len(files)} files, {size:.1f} MB, from {source_of(name)}; licence: "
        f"{CORPORA[name].licence}"
    )
    fetch_files(address or address_of(name), files, folder, name, progress, licence)
    return folder


def files_of(name):
    """All files of a corpus: list of `File`, as its table has them."""
    with open(TABLES / f"{name}.tsv", encoding="utf-8", newline="") as table:
        rows = csv.DictReader(table, delimiter="\t")
        return [File(row["path"], row["sha256"], int(row["bytes"])) for row in rows]


def folder_of(name):
    """Where the files of a corpus are, or will be."""
    return cache_folder() / "downloads" / name


def source_of(name):
    """Where a person can read about a corpus."""
    return f"https://github.com/{CORPORA[name].repository}"


def address_of(name):
    """What the paths of a corpus's files are below. Raises InputError for a wrong mirror."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        corpus = CORPORA[name]
        return f"https://raw.githubusercontent.com/{corpus.repository}/{corpus.commit}/"
    if not mirror.startswith(("http://", "https://")):
        raise InputError(
            f"{MIRROR} is {mirror!r}, which is no address: it begins with http:// or https://"
        )
    return f"{mirror.rstrip('/')}/{name}/"


def find_works(name, folder):
    """The files of a corpus by composer, as `Corpus.from_files` takes them.

    Returns items: list of (composer, name, path), sorted by name, which is "Composer/" and what
    follows in the repository; and left_out: list of (name, reason).
    """
    items, left_out = [], []
    for file in files_of(name):
        theirs, _, work = file.path.removeprefix(CORPORA[name].above).partition("/")
        composer = SPELLINGS.get(theirs, theirs)
        if composer in NOBODY:
            left_out.append((f"{composer}/{work}", "not in a composer's folder"))
        else:
            items.append((composer, f"{composer}/{work}", str(folder / file.path)))
    return sorted(items, key=lambda item: item[1]), sorted(left_out)
