"""Unique units equal a brute-force count over packed rolls, even if hashes collide."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repetitive import corpora, corpus_of

from tinyembed.music import duplicates
from tinyembed.music.corpus import Corpus
from tinyembed.music.duplicates import cells_of, unique_units, unit_hashes
from tinyembed.music.midi import read_midi
from tinyembed.music.roll import KEYS, fold


def slow_groups(corpus, beats, keys=KEYS):
    """Packed roll -> its occurrences (key, beat), in the order of keys and then of beats."""
    groups = {}
    for key in keys:
        for beat, roll in zip(beats, corpus.rolls(beats, key, np.uint8), strict=True):
            if roll.any():
                groups.setdefault(np.packbits(roll).tobytes(), []).append((key, int(beat)))
    return groups


def check(corpus, beats, keys=KEYS, table=None):
    units = unique_units(corpus, beats, keys, table)
    slow = slow_groups(corpus, beats, keys)
    assert len(units) == len(slow)
    assert units.occurrence_beat.dtype == np.int32 and units.occurrence_key.dtype == np.int8
    found = [
        list(
            zip(
                units.occurrence_key[a:b].tolist(), units.occurrence_beat[a:b].tolist(), strict=True
            )
        )
        for a, b in zip(units.group_start[:-1], units.group_start[1:], strict=True)
    ]
    assert found == list(slow.values())


# A few pitches an octave or a semitone apart and a few ticks of the beat: many rolls are equal, in
# one key or across keys, and many notes fold into one cell.
few = st.tuples(st.sampled_from([0, 6, 12]), st.sampled_from([24, 36, 60, 61, 90, 96, 102, 108]))
beats_of_notes = st.lists(st.lists(few, max_size=3), min_size=1, max_size=8)


repetitive = corpora(beats_of_notes, st.integers(1, 3), st.integers(0, 3))


@given(repetitive, st.sampled_from([KEYS, (0,), (6, -5, 0)]))
@settings(max_examples=60, deadline=None)
def test_equals_brute_force(corpus, keys):
    check(corpus, corpus.unit_beats(), keys)


@given(repetitive, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_colliding_hashes_change_nothing(corpus, largest):
    """With a table of a few small numbers most different rolls have equal hashes."""
    table = np.random.default_rng(0).integers(largest + 1, size=(96, 60)).astype(np.uint64)
    check(corpus, corpus.unit_beats(), table=table)


def test_a_hash_is_the_sum_over_the_cells_of_a_roll():
    """A wrong hash only costs time, so no other test would notice it."""
    notes = [(7 * i, 30 + 5 * i % 80) for i in range(40)] + [(200, 96), (200, 108)]
    corpus = corpus_of((notes, 13))
    table = np.random.default_rng(1).integers(2**64, size=(96, 60), dtype=np.uint64)
    for key in (-5, 0, 6):
        rolls = corpus.rolls(corpus.unit_beats(), key, np.uint64)
        expected = (rolls * table.T).sum((1, 2), dtype=np.uint64)
        cells = cells_of(corpus, fold(corpus.pitches, key), 60)
        assert unit_hashes(cells, table).tolist() == expected.tolist()


def test_comparing_in_chunks(monkeypatch):
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", 3)
    notes = [(24 * beat, 60 + beat % 3) for beat in range(20)]
    table = np.random.default_rng(0).integers(2, size=(96, 60)).astype(np.uint64)
    corpus = corpus_of((notes, 20))
    check(corpus, corpus.unit_beats())
    check(corpus, corpus.unit_beats(), table=table)


def test_counts_known_by_hand():
    # One note per beat, always the same: all units of the piece are equal, one roll per key.
    one = corpus_of(([(24 * beat, 60) for beat in range(10)], 10))
    assert len(unique_units(one, one.unit_beats())) == 12
    assert np.diff(unique_units(one, one.unit_beats()).group_start).tolist() == [7] * 12
    # The same a semitone higher: eleven of its keys are already present.
    two = corpus_of(
        ([(24 * beat, 60) for beat in range(10)], 10), ([(24 * beat, 61) for beat in range(4)], 4)
    )
    assert len(unique_units(two, two.unit_beats())) == 13


def test_silent_units_are_left_out():
    corpus = corpus_of(([(0, 60), (24 * 9, 62)], 10))
    units = unique_units(corpus, corpus.unit_beats(), keys=[0])
    assert units.occurrence_beat.tolist() == [0, 6]
    check(corpus, corpus.unit_beats())
    silent = unique_units(corpus, np.array([2, 3]))
    assert len(silent) == 0 and len(silent.occurrence_beat) == 0


def test_only_the_given_beats():
    corpus = corpus_of(([(24 * beat, 60) for beat in range(9)], 9), ([(0, 60), (95, 60)], 4))
    check(corpus, corpus.unit_beats([1]))
    check(corpus, np.array([5, 0, 3]))
    assert len(unique_units(corpus, np.array([], np.int32))) == 0


def test_real_pieces(shared_corpus):
    names = ["Bach/bach_846.mid", "Chopin/chpn_op10_e12.mid", "Joplin/*.mid", "Grieg/*.mid"]
    paths = [next(iter(sorted((shared_corpus / "piano").glob(name)))) for name in names]
    pieces = [(path.parent.name, path.name, read_midi(path)) for path in paths]
    corpus = Corpus.from_pieces(pieces)
    check(corpus, corpus.unit_beats())


@pytest.mark.skipif("TINYEMBED_FULL" not in os.environ, reason="minutes; TINYEMBED_FULL=1 runs it")
def test_the_whole_corpus(shared_corpus, capsys):
    """Every roll is built, packed to 720 bytes, and put into a set."""
    corpus = Corpus.from_folder(shared_corpus / "piano")
    for split, pieces in (("train", ~corpus.piece_is_test), ("test", corpus.piece_is_test)):
        beats = corpus.unit_beats(pieces)
        beats = beats[corpus.has_onset(beats)]
        # Equal rolls have equal numbers of cells, so they are counted in buckets that each fit into
        # memory.
        n_buckets, n_unique = 16, 0
        n_cells = np.concatenate([[r.sum() for r in rolls] for _, rolls in chunks(corpus, beats)])
        for bucket in range(n_buckets):
            chosen = n_cells.reshape(len(KEYS), -1) % n_buckets == bucket
            seen = set()
            for key, mine in zip(KEYS, chosen, strict=True):
                for _, rolls in chunks(corpus, beats[mine], [key]):
                    seen.update(np.packbits(roll).tobytes() for roll in rolls)
            n_unique += len(seen)
        with capsys.disabled():
            print(f"\n{split}: {len(beats):,} units, {n_unique:,} unique over twelve keys")
        assert len(unique_units(corpus, beats)) == n_unique


def chunks(corpus, beats, keys=KEYS, size=2000):
    for key in keys:
        for start in range(0, len(beats), size):
            yield key, corpus.rolls(beats[start : start + size], key, np.uint8)
