"""The same music twice equals a brute-force comparison of rolls; files of it are found."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from repetitive import corpora, corpus_of

from tinyembed.music import patterns as patterns_module
from tinyembed.music.census import count_units
from tinyembed.music.corpus import Corpus
from tinyembed.music.midi import read_midi
from tinyembed.music.patterns import LEAST_UNITS, Patterns
from tinyembed.music.roll import KEYS
from tinyembed.music.same_music import SAME, leaked_music, same_music

# Brute force: rolls of pitch classes, built one by one, in Python's sets


def rolls_of(corpus, piece):
    """The different units of a piece as rolls of pitch classes: {bytes: (12, 96)}."""
    rolls = corpus.rolls(corpus.unit_beats([piece]), dtype=np.uint8)
    rolls = rolls.reshape(-1, 5, 12, 96).max(axis=1)  # row 0 is a C, and folding moves by octaves
    definite = [r for r in rolls if all((np.roll(r, up, 0) != r).any() for up in range(1, 12))]
    return {roll.tobytes(): roll for roll in definite}


def in_common(a, b, up):
    return len({np.roll(roll, up, axis=0).tobytes() for roll in a.values()} & b.keys())


def slow_pairs(corpus):
    """(first, second) -> {semitones: units in common}, and the number of units of each piece."""
    rolls = [rolls_of(corpus, piece) for piece in range(corpus.n_pieces)]
    pairs = {
        (a, b): {up: in_common(rolls[a], rolls[b], up) for up in range(-5, 7)}
        for a, b in itertools.combinations(range(corpus.n_pieces), 2)
    }
    return pairs, [len(units) for units in rolls]


def are_enough(common, a, b):
    return common >= LEAST_UNITS or common == a == b > 0


# Beats from a small vocabulary, in a few keys and octaves, so that pieces have units in common. The
# pitches are such that some units are the same in several keys (36 and 42, all four of 60 to 69).
note = st.tuples(
    st.sampled_from([0, 6, 12]), st.sampled_from([24, 36, 42, 60, 61, 63, 66, 69, 102])
)
vocabularies = st.lists(st.lists(note, max_size=3), min_size=1, max_size=5)


repetitive = corpora(
    vocabularies, st.integers(2, 5), st.sampled_from([0, 0, 1, 5, 7, 12, -12, -24])
)


@st.composite
def split_corpora(draw):
    corpus = draw(repetitive)
    corpus.piece_is_test = np.array(
        draw(st.lists(st.booleans(), min_size=corpus.n_pieces, max_size=corpus.n_pieces))
    )
    return corpus


@given(split_corpora())
@settings(max_examples=150, deadline=None)
def test_pairs_equal_brute_force(corpus):
    patterns = Patterns.of(corpus)
    slow, counts = slow_pairs(corpus)
    assert patterns.count.tolist() == counts
    expected = {}
    for (a, b), common in slow.items():
        kept = {up: n for up, n in common.items() if are_enough(n, counts[a], counts[b])}
        if kept:
            expected[a, b] = {(up, n) for up, n in kept.items() if n == max(kept.values())}
    arrays = patterns.pairs(np.arange(corpus.n_pieces))
    found = {(a, b): (up, n) for a, b, up, n in zip(*map(np.ndarray.tolist, arrays), strict=True)}
    assert found.keys() == expected.keys()
    assert all(found[pair] in expected[pair] for pair in found)
    for (a, b), common in slow.items():
        for up, n in common.items():
            assert patterns.in_common(a, b, up) == patterns.in_common(b, a, -up) == n


@given(split_corpora())
@settings(max_examples=100, deadline=None)
def test_groups_equal_brute_force(corpus):
    slow, counts = slow_pairs(corpus)
    share = {}
    for (a, b), common in slow.items():
        n = max(common.values())
        if are_enough(n, counts[a], counts[b]) and n / min(counts[a], counts[b]) >= SAME:
            share[a, b] = n / min(counts[a], counts[b])
    groups = same_music(corpus)
    merged = [{piece} for piece in range(corpus.n_pieces)]  # by joining pieces until none is left
    for a, b in share:
        (x,), (y,) = ([m for m in merged if piece in m] for piece in (a, b))
        if x is not y:
            merged = [m for m in merged if m is not x and m is not y] + [x | y]
    found = [{i for pair in pairs for i in (pair.first, pair.second)} for pairs in groups]
    assert sorted(map(sorted, found)) == sorted(sorted(m) for m in merged if len(m) > 1)
    for pieces, pairs in zip(found, groups, strict=True):
        assert len(pairs) == len(pieces) - 1
        for pair in pairs:
            assert pair.share == share[pair.first, pair.second]
            assert slow[pair.first, pair.second][pair.semitones] == max(
                slow[pair.first, pair.second].values()
            )
        for piece in pieces:  # stands beside the one that it has the most in common with
            mine = max(s for pair, s in share.items() if piece in pair)
            assert mine in [p.share for p in pairs if piece in (p.first, p.second)]
        assert [p.share for p in pairs] == sorted((p.share for p in pairs), reverse=True)


@given(split_corpora())
@settings(max_examples=100, deadline=None)
def test_leaks_equal_brute_force(corpus):
    slow, counts = slow_pairs(corpus)
    expected = {}
    for (a, b), common in slow.items():
        if corpus.piece_is_test[a] != corpus.piece_is_test[b]:
            test, n = (a if corpus.piece_is_test[a] else b), max(common.values())
            if are_enough(n, counts[a], counts[b]):
                expected[test] = max(expected.get(test, 0), n / counts[test])
    leaked = leaked_music(corpus)
    assert {pair.first: pair.share for pair in leaked} == expected
    assert [p.share for p in leaked] == sorted(expected.values(), reverse=True)
    for pair in leaked:
        assert corpus.piece_is_test[pair.first] and not corpus.piece_is_test[pair.second]
        rolls = [rolls_of(corpus, piece) for piece in (pair.first, pair.second)]
        assert in_common(*rolls, pair.semitones) == round(pair.share * counts[pair.first])
        assert -5 <= pair.semitones <= 6


@given(split_corpora())
@settings(max_examples=60, deadline=None)
def test_test_units_in_training_equal_brute_force(corpus):
    """As written, note for note, in any of the twelve keys that training units are shown in."""
    test, train = (corpus.unit_beats(corpus.piece_is_test == is_test) for is_test in (True, False))
    shown = {roll.tobytes() for up in KEYS for roll in corpus.rolls(train, up, np.uint8)}
    written = [roll for roll in corpus.rolls(test, dtype=np.uint8) if roll.any()]
    seen = sum(roll.tobytes() in shown for roll in written)
    counts = count_units(corpus)
    assert counts["units"]["test"] == len(written)
    assert counts["test_units_in_training"] == seen
    assert counts["test_units_in_training_share"] == seen / max(len(written), 1)


# More copies than are paired with each other


def tune(n_beats=16, seed=0, up=0):
    """A melody with a bass: (tick, pitch) of each note, and the number of beats."""
    rng = np.random.default_rng(seed)
    notes = [(12 * i, 60 + up + int(p)) for i, p in enumerate(rng.integers(0, 15, 2 * n_beats))]
    return notes + [(24 * b, 48 + up + int(rng.integers(0, 8))) for b in range(n_beats)], n_beats


def test_many_copies_are_one_group(monkeypatch):
    monkeypatch.setattr(patterns_module, "NEAREST", 2)
    copies = [tune(up=up) for up in range(12)]
    others = [tune(seed=seed) for seed in range(1, 6)]
    corpus = corpus_of(*copies, *others)
    (pairs,) = same_music(corpus)
    assert {i for p in pairs for i in (p.first, p.second)} == set(range(12))
    assert all(p.share == 1 and p.semitones == (p.second - p.first + 5) % 12 - 5 for p in pairs)


def test_a_share_counts_all_units_where_patterns_are_frequent(monkeypatch):
    """The search for pairs leaves such units out; the pairs that it finds are counted anew."""
    monkeypatch.setattr(patterns_module, "NEAREST", 1)
    notes, n_beats = tune()
    again = [(t + 24 * n_beats, p + 1) for t, p in notes if t < 24 * 6]  # some units in two keys
    corpus = corpus_of(*[(notes + again, n_beats + 6)] * 2)
    patterns = Patterns.of(corpus)
    _, _, semitones, common = patterns.pairs([0, 1])
    assert semitones.tolist() == [0] and common[0] < patterns.count[0]
    ((pair,),) = same_music(corpus, patterns)
    assert (pair.share, pair.semitones) == (1, 0)


def test_octaves_and_repetitions_do_not_count():
    notes, n_beats = tune()
    doubled = notes + [(t, p - 12) for t, p in notes if p < 60]
    twice = notes + [(t + 24 * n_beats, p) for t, p in notes]
    high = [(t, p + 24 if p >= 60 else p) for t, p in notes]
    for other, beats in ((doubled, n_beats), (twice, 2 * n_beats), (high, n_beats)):
        ((pair,),) = same_music(corpus_of((notes, n_beats), (other, beats)))
        assert (pair.share, pair.semitones) == (1, 0)
    late = [(t + 12, p) for t, p in notes]  # half a beat later: the documented limit
    assert same_music(corpus_of((notes, n_beats), (late, n_beats + 1))) == []


def test_an_excerpt_and_its_piece():
    """A share is that of the smaller piece, or of the test piece."""
    notes, n_beats = tune(n_beats=67)
    short, long = ([(t, p) for t, p in notes if t < 24 * beats] for beats in (11, 19))
    corpus = corpus_of((notes, n_beats), (short, 11), (long, 19))
    shares = [(p.first, p.second, p.share) for pairs in same_music(corpus) for p in pairs]
    assert sorted(shares) == [(0, 1, 1), (0, 2, 1)]
    corpus.piece_is_test[:] = [True, False, False]  # of 64 units 16 are in the longer excerpt
    assert [(p.first, p.second, p.share) for p in leaked_music(corpus)] == [(0, 2, 0.25)]
    corpus.piece_is_test[:] = [False, True, True]
    assert sorted((p.first, p.second, p.share) for p in leaked_music(corpus)) == [
        (1, 0, 1),
        (2, 0, 1),
    ]


def test_pieces_without_a_definite_key():
    tritones = ([(24 * b, p) for b in range(8) for p in (60, 66)], 8)
    corpus = corpus_of(tritones, tritones)
    assert Patterns.of(corpus).count.tolist() == [0, 0]
    assert same_music(corpus) == [] == leaked_music(corpus)


def test_two_editions_in_a_real_corpus(shared_corpus):
    """Of the real pieces one has two editions, and one of these lacks the octave signs."""
    files = sorted((shared_corpus / "piano" / "Joplin").glob("*.mid"))
    corpus = Corpus.from_pieces([("Joplin", path.name, read_midi(path)) for path in files])
    ((pair,),) = same_music(corpus)
    names = corpus.names[pair.first], corpus.names[pair.second]
    assert names == ("krn_eugenia.mid", "mutopia_eugenia.mid")
    assert pair.semitones == 0 and 0.5 < pair.share < 0.7
