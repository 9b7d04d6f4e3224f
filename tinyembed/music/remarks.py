"""What to know of a corpus besides its size: music that it holds twice, and files repaired."""

from collections import Counter

from tinyembed.music.same_music import MOST, SAME

WORST = 5  # test pieces listed whose music is also in training pieces
FEW_NAMES = 3  # files listed per kind of repair


def as_object(corpus, leaked, groups):
    """The remarks as JSON values. leaked, groups: what `leaked_music` and `same_music` return."""
    worst = leaked[:WORST]
    return {
        "test_music_in_training": [_pair(corpus, pair, "test", "train") for pair in worst],
        "same_music": [_group(corpus, pairs) for pairs in groups],
        "repaired": [{"file": name, "kind": kind} for name, kind in corpus.repaired],
    }


def leaked_lines(corpus, counts, leaked):
    """Lines of text: how much music of test pieces is also in training pieces.

    counts, leaked: what `count_units` and `leaked_music` return.
    """
    if not counts["units"]["test"]:
        return
    yield (
        f"{counts['test_units_in_training_share']:.1%} of the test units "
        f"({counts['test_units_in_training']:,}) also occur in training pieces, note for note in "
        "some key"
    )
    worst = [pair for pair in leaked[:WORST] if pair.share >= SAME]
    if worst:
        yield "music of test pieces in training pieces (share of units, octaves aside):"
        yield from (f"  {_leak(corpus, pair)}" for pair in worst)
    else:
        yield f"no test piece has {SAME:.0%} of its units in one training piece"


def same_lines(corpus, groups, list_groups=False):
    """Lines of text: how many files hold the same music, and with list_groups which ones.

    groups: what `same_music` returns.
    """
    if not groups:
        yield f"no two files hold the same music: {SAME:.0%} of the units of the smaller one"
        return
    files = sum(len(pairs) + 1 for pairs in groups)
    found = f"{files} files hold {len(groups)} piece{'s' * (len(groups) > 1)}"
    if not list_groups:
        yield f"the same music in several files: {found}; --duplicates lists them"
        return
    yield f"the same music in several files: {found} (share of the smaller file, octaves aside):"
    for pairs in groups:
        for pair in pairs:
            a, b = (f"{corpus.names[i]} ({_split(corpus, i)})" for i in (pair.first, pair.second))
            yield f"  {pair.share:6.1%}  {a} and {b}{_interval(pair)}"


def repaired_lines(corpus):
    """Lines of text: how many files were repaired, and some of them per kind of repair."""
    if corpus.repaired:
        yield f"repaired: {_n_repaired(corpus)}"
    for kind, n in _kinds(corpus):
        names = [name for name, other in corpus.repaired if other == kind][:FEW_NAMES]
        more = f" and {n - FEW_NAMES:,} more" if n > FEW_NAMES else ""
        yield f"  {kind}: {n:,} ({', '.join(names)}{more})"


def notes_for_training(corpus, leaked, names):
    """What to know before a training: list of lines.

    leaked: what `leaked_music` returns; names: the command that names the files.
    """
    notes = []
    if corpus.repaired:
        kinds = ", ".join(f"{kind} ({n:,})" for kind, n in _kinds(corpus))
        notes.append(f"{_n_repaired(corpus)} repaired: {kinds}; {names} says which")
    if in_both := sum(pair.share >= MOST for pair in leaked):
        notes.append(
            f"test pieces that are also in training pieces: {in_both:,} of "
            f"{int(corpus.piece_is_test.sum()):,}; {_leak(corpus, leaked[0])}; "
            f"{names} --duplicates lists such music"
        )
    return notes


def _leak(corpus, pair):
    """A test piece and the training piece that holds the most of it."""
    test, training = corpus.names[pair.first], corpus.names[pair.second]
    return f"{pair.share:.1%} of {test} is in {training}{_interval(pair)}"


def _interval(pair):
    """How far the second piece of a pair lies from the first, after a comma, or nothing."""
    number = abs(pair.semitones)
    direction = "higher" if pair.semitones > 0 else "lower"
    return f", {number} semitone{'s' * (number > 1)} {direction}" if number else ""


def _split(corpus, piece):
    return "test" if corpus.piece_is_test[piece] else "train"


def _group(corpus, pairs):
    pieces = sorted({piece for pair in pairs for piece in (pair.first, pair.second)})
    return {
        "files": [{"file": corpus.names[i], "split": _split(corpus, i)} for i in pieces],
        "pairs": [_pair(corpus, pair, "first", "second") for pair in pairs],
    }


def _pair(corpus, pair, first, second):
    names = {first: corpus.names[pair.first], second: corpus.names[pair.second]}
    return {**names, "share": round(pair.share, 4), "semitones": pair.semitones}


def _n_repaired(corpus):
    n = len({name for name, _ in corpus.repaired})
    return f"{n:,} file{'s' * (n > 1)}"


def _kinds(corpus):
    """(kind of repair, number of files), the commonest first."""
    return Counter(kind for _, kind in corpus.repaired).most_common()
