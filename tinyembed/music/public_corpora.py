"""Public corpora by name, `--data asap` and `--data krueger`: their files, sources and composers.

    asap      235 scores that belong to the performances of the ASAP dataset
    krueger   337 pieces of piano-midi.de, which Bernd Krueger entered note by note

tinyembed contains none of their files, only tables/NAME.tsv, which lists for each file its path at
one commit of the corpus's repository, its SHA-256 and its size. The files are downloaded (fetch.py)
into downloads/NAME/ of the cache folder, laid out as in the repository, and read from there. A
clone of the repository in that place works too.
"""

import csv
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinyembed.errors import InputError
from tinyembed.music.corpus import Corpus
from tinyembed.music.fetch import File, fetch_files, missing_files
from tinyembed.music.midi import read_midi
from tinyembed.storage.cache import cache_folder

TABLES = Path(__file__).with_name("tables")
MIRROR = "TINYEMBED_MIRROR"  # a URL that serves NAME/PATH, laid out as downloads/ of the cache

# One name per composer, as in the paper's Table 1 if listed there, and how corpora spell it.
NAMES = {
    "Albeniz": ["Albéniz"],
    "Bartok": ["Bartók"],
    "Burgmueller": ["Bürgmüller", "Burgmüller"],
    "Handel": ["Haendel", "Händel"],
    "Mussorgsky": ["Moussorgsky", "Musorgsky"],
    "Rachmaninov": ["Rachmaninoff", "Rakhmaninov"],
    "Scriabin": ["Skrjabin", "Skryabin"],
    "Tschaikovsky": ["Tchaikovsky", "Tschaikowsky"],
}
SPELLINGS = {spelling: name for name, spellings in NAMES.items() for spelling in spellings}
NOT_COMPOSERS = ("Christmas",)  # a folder of carols by several composers


@dataclass(frozen=True)
class PublicCorpus:
    """repository: on GitHub; commit: the one that our table describes; licence: as the repository
    states it; root: the folder whose subfolders are the composers, "" for the repository's own."""

    repository: str
    commit: str
    licence: str
    root: str = ""


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
    """Read one of `CORPORA` into a `Corpus`, after downloading the files that are missing.

    seed: for the split; splits: the path of a splits.tsv to use instead; any_meter: also accept
    pieces whose beats are not quarter notes.
    Raises the errors of `fetch_corpus`.
    """
    folder = fetch_corpus(name, progress)
    items, left_out = find_works(name, folder)
    reader = partial(read_midi, any_meter=any_meter)
    cache_name = f"public corpus {name} any_meter={bool(any_meter)}"
    corpus = Corpus.from_files(items, reader, cache_name, left_out, progress=progress)
    corpus.notes.insert(0, f"the corpus {name}: {len(items)} files, {CORPORA[name].licence}")
    return corpus.split(seed, splits=splits)


def fetch_corpus(name, progress=True):
    """Download the missing files of a corpus. Returns its folder, with all files verified.

    The files come from the corpus's repository, or from $TINYEMBED_MIRROR.
    Raises InputError without pooch, WorkError if a file cannot be downloaded (see `fetch_files`).
    """
    files, folder = files_of(name), folder_of(name)
    licence = f"{_headline(name)}; licence: {CORPORA[name].licence}"
    fetch_files(base_url_of(name), files, folder, name, progress, licence)
    return folder


def facts_of(name):
    """The size, licence and source of a corpus, and how much of it is here, as JSON values."""
    files, folder = files_of(name), folder_of(name)
    return {
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "licence": CORPORA[name].licence,
        "source": source_of(name),
        "folder": str(folder),
        "files_here": len(files) - len(missing_files(files, folder)),
    }


def facts_text(name, facts):
    """Three lines of text with the result of `facts_of`."""
    return (
        f"{_headline(name)}\n  licence: {facts['licence']}\n"
        f"  {facts['files_here']} of {facts['files']} files are in {facts['folder']}"
    )


def _headline(name):
    files = files_of(name)
    size = sum(file.size for file in files) / 1e6
    return f"{name}: {len(files)} files, {size:.1f} MB, from {source_of(name)}"


def files_of(name):
    """All files of a corpus, from its table: list of `File`."""
    with open(TABLES / f"{name}.tsv", encoding="utf-8", newline="") as table:
        rows = csv.DictReader(table, delimiter="\t")
        return [File(row["path"], row["sha256"], int(row["bytes"])) for row in rows]


def folder_of(name):
    """The folder for the files of a corpus, whether or not they are there."""
    return cache_folder() / "downloads" / name


def source_of(name):
    """The web page that describes a corpus."""
    return f"https://github.com/{CORPORA[name].repository}"


def base_url_of(name):
    """The URL that the paths of a corpus's files are relative to. Raises InputError if invalid."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        corpus = CORPORA[name]
        return f"https://raw.githubusercontent.com/{corpus.repository}/{corpus.commit}/"
    if not mirror.startswith(("http://", "https://")):
        raise InputError(f"{MIRROR} is {mirror!r}, not a URL that begins with http:// or https://")
    return f"{mirror.rstrip('/')}/{name}/"


def find_works(name, folder):
    """The files of a corpus by composer, as `Corpus.from_files` takes them.

    Returns items: list of (composer, name, path), sorted by name, where a name is "composer/" and
    the rest of the path in the repository; and left_out: list of (name, reason).
    """
    items, left_out = [], []
    for file in files_of(name):
        spelling, _, work = file.path.removeprefix(CORPORA[name].root).partition("/")
        composer = SPELLINGS.get(spelling, spelling)
        if composer in NOT_COMPOSERS:
            left_out.append((f"{composer}/{work}", "not in a composer's folder"))
        else:
            items.append((composer, f"{composer}/{work}", str(folder / file.path)))
    return sorted(items, key=lambda item: item[1]), sorted(left_out)
