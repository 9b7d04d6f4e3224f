"""The reader of MIDI files that numba compiles against the plain one: same events, same errors."""

import functools
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import fuzz
from tinyembed.backends import choice
from tinyembed.backends.dispatch import operations
from tinyembed.errors import MusicError
from tinyembed.music import reading
from tinyembed.music.folders import find_pieces
from tinyembed.music.midi import read_midi
from tinyembed.music.midi_events import COLUMNS, read_events
from tinyembed.music.midi_tracks import read_tracks
from tinyembed.music.reading import read_pieces

pytest.importorskip("numba")
pytestmark = pytest.mark.peer("numba")
kernels = pytest.importorskip("tinyembed.backends.numba.midi_events")
PLAIN = operations()["read_events"]


@pytest.fixture(autouse=True)
def working(engine):
    if choice.use("numba") != "numba":
        pytest.skip("numba is not to be used")
    choice.use("cpu")


def both(read, *arguments):
    """What a function returns, or the text of its MusicError, with the plain reader and with the
    compiled one."""
    found = []
    for backend in ("cpu", "numba"):
        choice.use(backend)
        try:
            found.append(read(*arguments))
        except MusicError as error:
            found.append(str(error))
    return found


def everything_in(data):
    """All that `read_tracks` returns, as values that can be compared."""
    midi_format, resolution, columns, bounds, repairs = read_tracks(data)
    return midi_format, resolution, [column.tobytes() for column in columns], bounds, repairs


def music_in(data, any_meter):
    piece = read_midi(data, any_meter)
    notes = piece.ticks.tolist(), piece.pitches.tolist(), piece.n_beats
    return *notes, piece.on_grid, piece.tempi, piece.repairs


PARTS = st.one_of(
    st.sampled_from(
        [
            b"\0\x90\x3c\x40",  # a note
            b"\x10\x3e\0",  # with a running status
            b"\0\xff\x2f\0",  # the end of the track
            b"\0\xff\x51\3\7\xa1\x20",  # a tempo
            b"\0\xff\1\x83\xff\x7f",  # a text that is not there
            b"\0\xf0\2ab",
            b"\0\xc0\5",
            b"\0\xd0",  # cut
            b"\0\xf2\1\2",
            b"\0\xf8",
            b"\0\xf4",  # undefined
            b"\x81\x80\0\x80\x3c\x40",  # numbers of three, four and more bytes
            b"\xff\xff\xff\x7f\xb0\1\2",
            b"\x80\x80\x80\x80\5",
        ]
    ),
    st.binary(max_size=6),
)


@given(
    data=st.lists(PARTS, max_size=30).map(b"".join),
    ends=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    time=st.integers(0, 2**51),
    running=st.sampled_from([0, 0x80, 0x9F, 0xC0, 0xEF]),
    n=st.integers(0, 3),
)
@settings(max_examples=500, deadline=None)
def test_same_events_and_same_reason_to_stop(data, ends, time, running, n):
    at, end = sorted(min(number, len(data)) for number in ends)
    found = []
    for run in (PLAIN, functools.partial(kernels.read_events, PLAIN)):
        columns = [np.full(len(data) // 2 + 4, 77, kind) for kind in COLUMNS]
        found.append([run(data, at, end, time, running, n, *columns), columns])
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])  # also where nothing was written


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_same_piece_or_same_error_of_damaged_files(seed):
    data = fuzz.mutate(SEEDS[seed % len(SEEDS)], SEEDS, np.random.default_rng(seed))
    plain, compiled = both(music_in, data, bool(seed % 2))
    assert plain == compiled


SEEDS = fuzz.seeds()


def test_same_events_of_real_files(shared_corpus):
    paths = sorted([*(shared_corpus / "piano").rglob("*.mid"), *(shared_corpus / "odd").iterdir()])
    contents = [path.read_bytes() for path in paths]
    found = both(lambda: [value_or_error(data) for data in contents])
    assert found[0] == found[1] and len(contents) > 400


def test_same_events_of_the_cases_of_public_reports(shared_cases):
    contents = [path.read_bytes() for path in sorted(shared_cases.glob("*/*.mid"))]
    found = both(lambda: [value_or_error(data) for data in contents])
    assert found[0] == found[1] and sum(isinstance(value, str) for value in found[0]) > 2


def value_or_error(data):
    try:
        return everything_in(data)
    except MusicError as error:
        return str(error)


def test_an_operation_reads_bytes_by_the_backend_in_use(monkeypatch):
    calls = []
    compiled = kernels.compiled
    monkeypatch.setattr(kernels, "compiled", lambda plain: calls.append(plain) or compiled(plain))
    both(everything_in, SEEDS[0])
    assert calls == [PLAIN]
    choice.use("plain")
    everything_in(SEEDS[0])
    assert len(calls) == 1


def test_it_is_the_same_code_which_lets_other_threads_run():
    dispatcher = kernels.compiled(PLAIN)
    assert dispatcher.py_func.__code__ is PLAIN.__code__
    assert dispatcher.targetoptions["nogil"] and dispatcher.targetoptions["boundscheck"]


def test_an_index_outside_is_an_error():
    """The loop never has one; if it had, nothing outside the arrays would be read or written."""
    data = b"\0\x90\x3c\x40" * 9
    short = [np.zeros(4, kind) for kind in COLUMNS]
    with pytest.raises(IndexError):
        kernels.read_events(PLAIN, data, 0, len(data), 0, 0, 0, *short)
    long = [np.zeros(40, kind) for kind in COLUMNS]
    with pytest.raises(IndexError):  # beyond the bytes
        kernels.read_events(PLAIN, data, 0, len(data) + 1, 0, 0, 0, *long)


def test_what_was_compiled_is_kept():
    kernels.compiled.cache_clear()
    first = kernels.compiled(PLAIN)
    everything = both(everything_in, SEEDS[1])
    kernels.compiled.cache_clear()
    assert both(everything_in, SEEDS[1]) == everything
    second = kernels.compiled(PLAIN)
    assert second is not first and sum(second.stats.cache_hits.values()) == 1
    assert not second.stats.cache_misses


# When a program that chose no backend reads with it.


@pytest.fixture
def unchosen(monkeypatch):
    monkeypatch.delenv("TINYEMBED_BACKEND")
    choice.use_default()
    yield monkeypatch
    choice.use("cpu")


def reader_in_use():
    """The name of the package's folder with the reader that runs."""
    columns = [np.zeros(9, kind) for kind in COLUMNS]
    kernels.compiled.cache_clear()
    read_events(b"\0\x90\x3c\x40", 0, 4, 0, 0, 0, *columns)
    return "numba" if kernels.compiled.cache_info().currsize else "plain"


def test_one_operation_alone_is_compiled(unchosen):
    assert reader_in_use() == "plain"
    assert choice.compile_one("read_events") and choice.in_use() == "cpu"
    assert reader_in_use() == "numba"
    choice.use_default()
    assert reader_in_use() == "plain"


@pytest.mark.parametrize("name", ["plain", "cpu"])
def test_a_backend_that_was_chosen_stays(unchosen, name):
    choice.use(name)
    assert not choice.compile_one("read_events") and reader_in_use() == "plain"
    unchosen.setenv("TINYEMBED_BACKEND", name)
    choice.use_default()
    assert not choice.compile_one("read_events") and reader_in_use() == "plain"


def says_backend(path):
    raise MusicError(f"{choice.in_use()} {reader_in_use()}")


@pytest.mark.parametrize(
    ("most", "workers", "expected"),
    [
        (4, 1, "cpu plain"),  # few files
        (3, 1, "cpu numba"),  # four files are many
        (3, 2, "cpu plain"),  # but too few for each of two processes
        (1, 2, "numba numba"),
    ],
)
def test_many_files_are_read_with_it(unchosen, most, workers, expected):
    unchosen.setattr(reading, "COMPILED_FILES", most)
    items = [("", str(n), f"{n}.mid") for n in range(4)] + [("", "score", "4.krn")]
    _, left_out = read_pieces(items, says_backend, workers, progress=False)
    assert {reason for _, reason in left_out} == {expected}


def test_thousands_of_files_are_read_by_several_processes(monkeypatch):
    monkeypatch.setattr(reading, "usable_cores", lambda: 8)
    for n_midi, n_scores, workers in ((4000, 0, 1), (4001, 0, 8), (0, 13, 8), (500, 12, 8)):
        paths = ["a.mid"] * n_midi + ["b.MXL"] * n_scores
        assert reading._enough_workers(paths, compiled=True) == workers


def test_a_folder_is_the_same_music(unchosen, piano_folder):
    items, _, _ = find_pieces(piano_folder)
    plain, _ = read_pieces(items, read_midi, 1, progress=False)
    unchosen.setattr(reading, "COMPILED_FILES", 3)
    compiled, _ = read_pieces(items, read_midi, 1, progress=False)
    for (*names, a), (*same, b) in zip(plain, compiled, strict=True):
        assert names == same and a.tempi == b.tempi and a.n_beats == b.n_beats
        np.testing.assert_array_equal(a.ticks * 128 + a.pitches, b.ticks * 128 + b.pitches)
    assert reader_in_use() == "numba"


def test_every_kind_of_bytes():
    data = SEEDS[0]
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        choice.use("numba")
        assert len(read_midi(source).ticks) > 30
