"""Split pieces into training, test and validation (section 3.1 and Table 1).

A split is always by piece: neighbouring units share three of their four beats, so with a split by
unit a model would be tested on music that it was trained on.
"""

import csv
from contextlib import suppress
from pathlib import Path

import numpy as np

from tinyembed.errors import InputError
from tinyembed.storage.text import escaped, printable

TEST_SHARE = 0.13  # about the paper's
MIN_TEST_PIECES = 2  # "at least two songs from each artist were held out for testing"
MIN_PIECES = 4  # of a composer, so that two remain for training
MOST_FOR_VALIDATION = 2000  # pieces: more would not make the validation's mean more certain
COLUMNS = ("composer", "file", "split")


def split_pieces(names, composers, folder=None, splits=None, seed=0, known=()):
    """Decide which pieces are held out for testing.

    names: list of "composer/file.mid"; composers: list, the composer of each; folder: the folder
    that a splits.tsv may be in or beside; splits: the path of such a file, used instead; seed: for
    a random split if there is no file; known: names of other files that exist but cannot be used.
    Returns is_test, (n_pieces,) bool, and notes, a list of str.
    Raises InputError for an invalid splits file, naming the line.
    """
    path, table = _find_table(names, folder, splits)
    if table is None:
        is_test, notes = seeded_split(names, composers, seed)
        drawn = f"{is_test.sum()} of {len(names)} pieces drawn with seed {seed} for testing"
        return is_test, [f"no splits.tsv: {drawn}", *notes]

    is_test = np.array([table.get(name, False) for name in names], bool)
    is_inside = folder is not None and path.parent == Path(folder).resolve()
    where = "" if splits else " in the folder" if is_inside else " beside the folder"
    notes = [f"the split is that of {printable(path) if splits else path.name}{where}"]
    if unnamed := [name for name in names if name not in table]:
        notes.append(f"not in {path.name}, so for training: {_listed(unnamed)}")
    there = {*names, *known}
    if absent := [name for name in table if name not in there]:
        notes.append(f"{path.name} names files that are not there: {_listed(absent)}")
    return is_test, notes


def _find_table(names, folder, splits):
    """The path and the contents of the splits file that applies, or None and None."""
    if splits is not None:
        return Path(splits), read_splits(splits)
    if folder is None:
        return None, None
    inside = Path(folder).resolve() / "splits.tsv"
    if inside.is_file():
        return inside, read_splits(inside)
    beside = inside.parent.parent / "splits.tsv"
    known = set()
    with suppress(InputError):  # it may describe some other folder
        known = {name for _, name, _ in _rows(beside)} if beside.is_file() else set()
    return (None, None) if known.isdisjoint(names) else (beside, read_splits(beside))


def read_splits(path):
    """Read a splits.tsv: columns composer, file, split (train or test), separated by tabs.

    Returns a dict, "composer/file.mid" -> whether it is for testing.
    Raises InputError, naming the file and the line.
    """
    table = {}
    for line, name, word in _rows(path):
        if word not in ("train", "test"):
            raise InputError(f"{path}, line {line}: the split is {word!r}, not train or test")
        if table.setdefault(name, word == "test") != (word == "test"):
            raise InputError(f"{path}, line {line}: {name} is for both train and test")
    return table


def _rows(path):
    """The line number, name and split of each row."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid UTF-8 text: {error.reason}") from error
    lines = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [word.strip() for word in next(lines, [])]
    missing = [word for word in COLUMNS if word not in header]
    if missing:
        raise InputError(
            f"{path}, line 1: no column {' or '.join(missing)}; it needs the columns "
            f"{', '.join(COLUMNS)}, separated by tabs"
        )
    columns = [header.index(word) for word in COLUMNS]
    for line, row in enumerate(lines, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(columns):
            raise InputError(f"{path}, line {line}: {len(row)} columns of {len(header)}")
        composer, file, word = (row[column].strip() for column in columns)
        yield line, escaped(f"{composer}/{file}"), word


def seeded_split(names, composers, seed=0):
    """Draw about 13% of each composer's pieces for testing, at least two.

    A composer with fewer than four pieces has none held out. Each composer's draw depends only on
    the seed, the name and the number of pieces. Returns is_test, (n_pieces,) bool, and notes.
    """
    is_test = np.zeros(len(names), bool)
    few, pieces = [], {}
    for i, composer in enumerate(composers):
        pieces.setdefault(composer, []).append(i)
    for composer, own in sorted(pieces.items()):
        if len(own) < MIN_PIECES:
            few.append(f"{composer} ({len(own)})")
            continue
        n_test = max(MIN_TEST_PIECES, round(TEST_SHARE * len(own)))
        rng = np.random.default_rng([seed, *composer.encode()])
        is_test[rng.permutation(own)[:n_test]] = True
    reason = f"fewer than {MIN_PIECES} pieces, so all for training"
    return is_test, [f"{reason}: {_listed(few)}"] if few else []


def validation_pieces(corpus, seed=0):
    """Choose a tenth of a corpus's training pieces for validation, spread over the composers.

    Returns sorted indices of pieces, (n,) int64: at least one, never the only one that a composer
    has for training (unless no composer has two), and never all.
    Raises InputError if there is only one training piece.
    """
    train = np.flatnonzero(~corpus.piece_is_test)
    if len(train) < 2:
        raise InputError(
            f"pieces for training: {len(train)}; it takes two, one to learn from and one to "
            "validate with"
        )
    pieces = np.random.default_rng(seed).permutation(train)
    pieces = pieces[np.argsort(corpus.piece_composer[pieces], kind="stable")]  # by composer
    composer = corpus.piece_composer[pieces]
    has_others = np.bincount(composer)[composer] > 1
    if has_others.any():
        pieces = pieces[has_others]
    n = max(1, min(round(len(train) / 10), len(pieces) // 2, MOST_FOR_VALIDATION))
    chosen = (2 * np.arange(n) + 1) * len(pieces) // (2 * n)  # about every tenth
    return np.sort(pieces[chosen])


def _listed(words, most=8):
    """The first words in a line, and the number of the rest."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
