"""What whole pieces are described by, against loops over their onsets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_corpus
from test_intervals import expected as intervals_of

from tinyembed.evaluation.passages import Passages
from tinyembed.evaluation.piece_features import count_features, embedding_features
from tinyembed.music.corpus import Corpus
from tinyembed.music.piece import Piece
from tinyembed.music.roll import piece_rolls

GROUPS = {"register": 31, "chords": 8, "beat": 24, "intervals": 113, "size": 2}


@st.composite
def pieces(draw):
    """A piece of 1 to 12 beats and 1 to 40 onsets, anywhere on the keyboard and beyond."""
    n_beats = draw(st.integers(1, 12))
    cell = st.tuples(st.integers(0, 24 * n_beats - 1), st.integers(0, 127))
    onsets = sorted(draw(st.sets(cell, min_size=1, max_size=40)))
    ticks, pitches = np.array(onsets).T
    return Piece(ticks.astype(np.int32), pitches.astype(np.uint8), n_beats)


def groups_of(row):
    """The parts of one row, by name."""
    ends = np.cumsum(list(GROUPS.values()))
    return dict(zip(GROUPS, np.split(row, ends[:-1]), strict=True))


@given(st.lists(pieces(), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_counts(several):
    corpus = Corpus.from_pieces([("Anon", f"Anon/{i}.mid", p) for i, p in enumerate(several)])
    rows = count_features(corpus, np.arange(len(several)))
    assert rows.shape == (len(several), sum(GROUPS.values()))
    for piece, row in zip(several, rows, strict=True):
        onsets = list(zip(piece.ticks.tolist(), piece.pitches.tolist(), strict=True))
        found, counts = groups_of(row), {name: np.zeros(n) for name, n in GROUPS.items()}
        for tick, pitch in onsets:
            counts["register"][min(max((pitch - 21) // 3, 0), 30)] += 1
            counts["beat"][tick % 24] += 1
        for tick in {tick for tick, _ in onsets}:
            counts["chords"][min(sum(t == tick for t, _ in onsets), 8) - 1] += 1
        counts["intervals"] = sum(intervals_of(roll) for roll in piece_rolls(piece))
        for name in ("register", "chords", "beat", "intervals"):
            shares = counts[name] / counts[name].sum()
            np.testing.assert_allclose(found[name] ** 2, shares, atol=1e-6, err_msg=name)
        beats = max(piece.n_beats, 4)  # a short piece is padded to one unit
        np.testing.assert_allclose(np.exp(found["size"]), [len(onsets) / beats, beats])


def test_transposed_music_differs_in_its_register_alone():
    rng = np.random.default_rng(0)
    ticks, pitches = rng.integers(0, 24 * 20, 100), rng.integers(50, 80, 100)
    pair = [
        ("Anon", f"{up}.mid", Piece.from_notes(ticks, pitches + up, 24, 24 * 20)) for up in (0, 12)
    ]
    a, b = map(groups_of, count_features(Corpus.from_pieces(pair), [0, 1]))
    for name in set(GROUPS) - {"register"}:
        np.testing.assert_allclose(a[name], b[name], err_msg=name)
    np.testing.assert_array_equal(a["register"][:-4], b["register"][4:])
    assert (a["register"] != b["register"]).any()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("music"), composers=2, pieces=3)
    return Corpus.from_folder(folder, progress=False)


def test_mean_and_standard_deviation_of_units_with_an_onset(corpus):
    passages = Passages.of(corpus, [4, 0, 2])
    passages.sounds[3:9] = False
    embeddings = np.random.default_rng(0).standard_normal((len(passages), 7), np.float32)
    embeddings[~passages.sounds] = 1e30  # must not be seen
    rows = embedding_features(passages, embeddings)
    assert rows.shape == (3, 14) and rows.dtype == np.float64
    for n, piece in enumerate((4, 0, 2)):
        of_piece = passages.piece_of(np.arange(len(passages))) == piece
        own = embeddings[of_piece & passages.sounds].astype(float)
        np.testing.assert_allclose(rows[n], [*own.mean(axis=0), *own.std(axis=0)])
