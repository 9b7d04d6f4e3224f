"""Files of ours: every byte is checked; no writer that fails or dies leaves half of anything."""

import errno
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from benchmarks import damage
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError
from tinyembed.storage import cache, mapped, temporary
from tinyembed.storage.arrays import load_arrays, save_arrays
from tinyembed.storage.files import read_json, write_atomically, write_json, write_together
from tinyembed.storage.mapped import CheckedArray, load_mapped, save_mapped
from tinyembed.storage.records import NAME, read_record, write_record
from tinyembed.storage.sealed import read_sealed, write_sealed
from tinyembed.storage.temporary import temporary_name
from tinyembed.training.checkpoints import load_checkpoint, save_checkpoint
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer

TYPES = ("<f4", "<f8", "<f2", "<i4", "<i8", "|u1", "|b1")


# Damage.


@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_changed_byte_is_noticed_or_harmless(kind, tmp_path):
    rng = np.random.default_rng(0)
    with damage.small():
        path, use = damage.KINDS[kind](tmp_path)
        data, spread = path.read_bytes(), damage.headers(path)
        places = [*rng.integers(len(data), size=40), *spread[:: max(1, len(spread) // 40)]]
        copies = [*damage.changed(data, places, rng), *damage.cut(data)]
        found = damage.tally(damage.damaged(path, use, copies))
    assert found.keys() <= {damage.REFUSED, damage.SAME}, found
    assert found[damage.REFUSED] > 60


def test_every_byte_of_a_sealed_file_counts(tmp_path):
    """Also those that no reader of .npz looks at, such as the dates in zip's directory."""
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    save_arrays(path, {"x": np.arange(9), "y": np.zeros(0)}, "test", compressed=True, about="this")

    def use():
        return damage.digest(*load_arrays(path).values())

    data = path.read_bytes()
    found = damage.tally(damage.damaged(path, use, damage.changed(data, range(len(data)), rng)))
    assert found == {damage.REFUSED: len(data)}


def test_damage_is_told_apart(tmp_path):
    """What the measure calls a fault, in a format that checks nothing."""
    path = tmp_path / "a.txt"
    path.write_text("12")

    def use():
        return int(path.read_text())

    found = list(damage.damaged(path, use, [b"13", b"x", b"12"]))
    assert found == [damage.SILENT, damage.CRASHED, damage.SAME]


# Arrays.


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_arrays_go_round(data):
    shapes = some.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    one = st.sampled_from(TYPES).flatmap(lambda kind: some.arrays(kind, shapes))
    names = st.text("abc.de_", min_size=1, max_size=9)
    arrays = data.draw(st.dictionaries(names, one, max_size=4))
    folder = Path(os.environ["TINYEMBED_CACHE"])
    save_arrays(folder / "a.npz", arrays, "test", data.draw(st.booleans()))
    save_mapped(folder / "a.index", "test", arrays, {"n": 1})
    with np.load(folder / "a.npz") as plain:  # other programs read it too
        found = [load_arrays(folder / "a.npz", "test"), dict(plain)]
    found.append(load_mapped(folder / "a.index", "test", "file")[0])
    for loaded in found:
        assert loaded.keys() == arrays.keys()
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype
            np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_the_order_of_a_matrix_and_of_its_bytes_does_not_matter(tmp_path):
    x = np.arange(6, dtype=">f4").reshape(2, 3).T
    save_arrays(tmp_path / "a.npz", {"x": x})
    np.savez(tmp_path / "former.npz", x=x.astype("<f4"))  # in Fortran's order
    for name in ("a.npz", "former.npz"):
        loaded = load_arrays(tmp_path / name)["x"]
        assert loaded.dtype.str == "<f4"
        np.testing.assert_array_equal(loaded, x)


def test_the_same_arrays_are_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, {"x": np.arange(3)}, "test", about={"n": 1})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    save_arrays(path, {"x": np.arange(3)}, "table")
    assert load_arrays(path).keys() == {"x"}
    with pytest.raises(InputError, match=r"a\.npz: a file of tinyembed, but of table, not a cat"):
        load_arrays(path, "cat", "cat")
    save_mapped(path, "table", {}, {})
    with pytest.raises(InputError, match="a file of tinyembed, but of table"):
        load_mapped(path, "index", "index")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (load_arrays, read_json, lambda path: load_mapped(path, "index", "index")):
        with pytest.raises(InputError, match="pipe: a pipe or a device, not a file"):
            read(tmp_path / "pipe")
    assert not mapped.is_mapped(tmp_path / "pipe", "index")


def test_a_cache_without_a_seal_is_no_cache(tmp_path):
    path = tmp_path / "a.npz"
    assert cache.save(path, "key", {"x": np.arange(3)}) is None
    assert cache.load(path, "key").keys() == {"x"} and cache.load(path, "other") is None
    np.savez(path, key=np.array("key"), x=np.arange(3))
    assert cache.load(path, "key") is None


def test_sealed_bytes(tmp_path):
    path = tmp_path / "a"
    for data in (b"", b"x" * 1000):
        write_sealed(path, "test", data)
        assert read_sealed(path, "test") == data
        with pytest.raises(ValueError, match="damaged"):
            read_sealed(path, "other")


# Arrays that are checked as they are read.


@pytest.fixture
def lazily(tmp_path, monkeypatch):
    """A function: an array -> the same, checked in blocks of 64 bytes, and the path of its file."""
    monkeypatch.setattr(mapped, "LAZY", 0)
    monkeypatch.setattr(mapped, "BLOCK", 64)

    def save(array, place=None):
        path = tmp_path / "a.index"
        save_mapped(path, "test", {"before": np.arange(3), "x": array}, {})
        if place is not None:  # counted from the first byte of the array
            data = bytearray(path.read_bytes())
            data[data.index(array.tobytes()) + place % array.nbytes] ^= 1
            path.write_bytes(data)
        return load_mapped(path, "test", "file", ("x",))[0]["x"], path

    return save


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_reading_rows_checks_the_blocks_they_lie_in(data):
    n, width = data.draw(st.integers(1, 60)), data.draw(st.sampled_from([None, 1, 3, 16, 100]))
    x = 1 + np.arange(n * (width or 1), dtype=np.float32).reshape((n, width) if width else n)
    rows = data.draw(
        st.slices(n)
        | some.arrays(int, st.integers(1, 5), elements=st.integers(-n, n - 1))
        | some.arrays(bool, n)
        | st.integers(-n, n - 1)
    )
    read = np.zeros(x.nbytes, bool)
    read.reshape(n, -1)[rows] = True
    place = data.draw(st.integers(0, x.nbytes - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "LAZY", 0)
        patch.setattr(mapped, "BLOCK", 64)
        path = Path(os.environ["TINYEMBED_CACHE"]) / "rows.index"
        save_mapped(path, "test", {"x": x}, {})
        loaded = load_mapped(path, "test", "file", ("x",))[0]["x"]
        found = loaded[rows]
        assert type(found) in (np.ndarray, np.float32)
        np.testing.assert_array_equal(found, x[rows])
        np.testing.assert_array_equal(loaded[rows], x[rows])

        content = bytearray(path.read_bytes())
        content[content.rindex(x.tobytes()) + place] ^= 1
        path.write_bytes(content)
        loaded = load_mapped(path, "test", "file", ("x",))[0]["x"]
        if read[place]:
            with pytest.raises(InputError, match="damaged"):
                loaded[rows]
        with pytest.raises(InputError, match=r"rows\.index: damaged"):
            loaded.verify()
        with pytest.raises(InputError, match=r"rows\.index: damaged"):
            load_mapped(path, "test", "file", ("x",), verify=True)


def test_only_what_is_read_is_checked(lazily):
    x = np.arange(1000, dtype=np.float32).reshape(100, 10)
    loaded, path = lazily(x, place=-1)
    assert isinstance(loaded, CheckedArray)
    np.testing.assert_array_equal(loaded[:90], x[:90])
    for rows in (99, -1, slice(95, None), [99], np.arange(100) == 99, (99, 9), Ellipsis):
        with pytest.raises(InputError, match=re.escape(str(path))):
            loaded[rows]
    with pytest.raises(InputError):  # which would give the damage a new checksum
        save_mapped(path, "test", {"x": loaded}, {})


@pytest.mark.parametrize("row", range(8))
def test_a_row_is_checked_from_its_first_byte_to_its_last(lazily, row):
    x = np.arange(1, 81, dtype=np.float32).reshape(8, 10)  # many rows lie in two blocks
    for place in (40 * row, 40 * row + 39):
        for rows in ([row], row, slice(row, row + 1), np.arange(8) == row):
            loaded, _ = lazily(x, place)
            with pytest.raises(InputError, match="damaged"):
                loaded[rows]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_noticed_as_they_are_read(lazily, bad, dtype):
    x = np.ones((100, 40 // np.dtype(dtype).itemsize), dtype)
    x[:40] = np.array([-65504, 65504, -6e-8, -0.0, 0.3])[np.arange(40) % 5, None]
    x[50, -1] = bad
    loaded, _ = lazily(x)
    np.testing.assert_array_equal(loaded[:40], x[:40])
    with pytest.raises(InputError, match="not finite"):
        loaded[50]


# Writers that fail, or die.


def full_disk(path, *_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("there", [True, False])
def test_of_several_files_all_or_none_is_written(there, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    if there:
        a.write_text("1")
        b.write_text("2")
    with pytest.raises(OSError) as caught:
        write_together({a: lambda file: file.write(b"3"), b: full_disk})
    assert caught.value.filename == str(b)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == (
        {"a": "1", "b": "2"} if there else {}
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda path: save_arrays(path, {"x": np.zeros(10**6)}),
        lambda path: save_mapped(path, "test", {"x": np.zeros(10**6)}, {}),
        lambda path: write_sealed(path, "test", bytes(10**7)),
        lambda path: write_json(path, "x" * 10**7),
        lambda path: write_atomically(path, lambda file: np.zeros(10**6).tofile(file)),
    ],
)
def test_a_disk_that_is_full_is_said_to_be_with_the_name_of_the_file(write, tmp_path, capsys):
    """A limit on the size of files raises the same kind of error."""
    path = tmp_path / "a.file"
    path.write_text("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, hard))
    try:
        status = exit_status(lambda: write(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 1 and f"{path}: " in line and "None" not in line
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    path, errors = tmp_path / "a.npz", []

    def work(n):
        try:
            for _ in range(20):
                save_arrays(path, {"x": np.full(1000, n)})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    x = load_arrays(path)["x"]
    assert not errors and (x == x[0]).all() and [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def _die(folder, pipe):
    """Die in the middle of writing a file and a folder."""
    (temporary_name(Path(folder) / "run")).mkdir()

    def write(file):
        file.write(b"half")
        file.flush()
        pipe.send("now")
        time.sleep(60)

    write_atomically(Path(folder) / "a.txt", write)


def test_the_next_writer_removes_what_a_killed_one_has_left(tmp_path):
    ours, theirs = multiprocessing.Pipe()
    writer = multiprocessing.get_context("fork").Process(target=_die, args=(tmp_path, theirs))
    writer.start()
    assert ours.recv() == "now"
    left = sorted(p.name for p in tmp_path.iterdir())
    assert len(left) == 2
    temporary.sweep.cache_clear()
    write_atomically(tmp_path / "b.txt", lambda file: None)
    assert sorted(p.name for p in tmp_path.iterdir()) == [*left, "b.txt"]  # still being written
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    others = [".mine.tmp", "x.tmp", ".a.txt.host-1.tmp", ".a.txt.12.tmp", ".git"]
    young = f".a.txt.elsewhere-{writer.pid}-0.tmp"
    for name in [*others, young]:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".old.txt.elsewhere-3-0.tmp").write_text("forgotten on another computer")
    long_ago = time.time() - 2 * temporary.STALE_AFTER
    os.utime(tmp_path / ".old.txt.elsewhere-3-0.tmp", (long_ago, long_ago))
    temporary.sweep.cache_clear()
    write_atomically(tmp_path / "b.txt", lambda file: None)
    assert {p.name for p in tmp_path.iterdir()} == {*others, young, "b.txt"}


def test_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"a": [1, None]}
    for text in ("{", "[" * 100_000, "1" * 10_000, "\x00", ""):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.json: not a readable JSON file"):
            read_json(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError):
        read_json(path)


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.floats() | st.text()), st.data())
def test_a_record_notices_each_change(values, data):
    values = {name: value for name, value in values.items() if name != NAME}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        write_record(path, values)
        assert repr(read_record(path)) == repr(values)  # also where it holds a NaN
        kept = json.loads(path.read_text())
        for changed in (
            {**kept, "another": 1},
            {**kept, data.draw(st.sampled_from(list(kept))): "other"},
        ):
            path.write_text(json.dumps(changed))
            with pytest.raises(InputError, match=r"a\.json: changed since"):
                read_record(path)
        del kept[NAME]
        path.write_text(json.dumps(kept))
        assert repr(read_record(path)) == repr(values)


# Checkpoints.


@pytest.fixture
def trainer(tmp_path):
    config = {"model": "note_drop", "width": "damaged", "examples": 40, "batch_size": 5, "seed": 0}
    config |= {"learning_rate": 1e-3, "temperature": 1.0}
    with damage.small():
        yield Trainer(Run.create(tmp_path / "run", config), config, damage.a_corpus())


def stand(trainer):
    state = trainer.model.state()
    return trainer.step, {name: array.copy() for name, array in state.items()}


@pytest.mark.parametrize("harm", ["a byte", "cut", "missing", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(trainer, harm):
    run, stood = trainer.run, []
    for step in range(2):
        trainer.take_step()
        run.append_log({"step": step})
        save_checkpoint(trainer)
        stood.append(stand(trainer))
    trainer.take_step()
    run.append_log({"step": "later"})
    data = bytearray(run.checkpoint_file.read_bytes())
    data[len(data) // 2] ^= 4
    if harm == "missing":  # killed between two names
        run.checkpoint_file.unlink()
    else:
        run.checkpoint_file.write_bytes({"a byte": data, "cut": data[:99], "empty": b""}[harm])
    note = load_checkpoint(trainer)
    assert (note is None) == (harm == "missing")
    assert note is None or (str(run.checkpoint_file) in note and "before" in note)
    step, state = stand(trainer)
    assert step == stood[0][0] == trainer.optimizer.t
    for name, array in stood[0][1].items():
        np.testing.assert_array_equal(state[name], array)
    assert run.read_log() == [{"step": 0}]

    run.previous_file.write_bytes(b"also damaged")
    run.checkpoint_file.write_bytes(b"damaged")
    before = stand(trainer)
    with pytest.raises(InputError, match="start a new run"):
        load_checkpoint(trainer)
    assert stand(trainer)[0] == before[0]


def test_a_whole_checkpoint_is_used_without_a_note(trainer):
    for _ in range(3):
        trainer.take_step()
        save_checkpoint(trainer)
    step, state = stand(trainer)
    trainer.take_step()
    assert load_checkpoint(trainer) is None and trainer.step == step == 3
    for name, array in state.items():
        np.testing.assert_array_equal(trainer.model.state()[name], array)
    assert load_arrays(trainer.run.previous_file, "checkpoint")


def test_a_log_that_is_damaged_is_one_line(trainer):
    trainer.run.append_log({"step": 1})
    with open(trainer.run.log_file, "ab") as log:
        log.write(b'{"step": \x00\xff\n')
    with pytest.raises(InputError, match=r"log\.jsonl: not a readable log"):
        trainer.run.read_log()
    trainer.run.cut_log(len(json.dumps({"step": 1})) + 3)
    assert trainer.run.read_log() == [{"step": 1}]


# Compiled kernels.

KERNEL = """
import numpy as np
from tinyembed.backends import choice
choice.use("numba")
from tinyembed.layers.elu import Elu
y, _ = Elu().forward(np.linspace(-2, 2, 100, dtype="f4").reshape(10, 10))
print(y.tobytes().hex())
"""


@pytest.mark.peer("numba")
def test_what_is_damaged_among_compiled_kernels_is_compiled_again(tmp_path):
    from tinyembed.backends.numba.caching import SealedFiles

    kept = SealedFiles(str(tmp_path), "kernel", "stamp")
    kept.save("types", {"code": bytes(1000)})
    assert kept.load("types") == {"code": bytes(1000)} and kept.load("others") is None
    assert SealedFiles(str(tmp_path), "kernel", "other stamp").load("types") is None
    index, data = tmp_path / "kernel.nbi", tmp_path / "kernel.1.nbc"
    for path in (index, data):
        whole = path.read_bytes()
        for harm in (b"", whole[:-10], whole[1:], whole[:30] + b"?" + whole[31:], whole + b"."):
            path.write_bytes(harm)
            assert kept.load("types") is None
        path.unlink()
        assert kept.load("types") is None
        kept.save("types", {"code": bytes(1000)})
        assert kept.load("types") == {"code": bytes(1000)}
    kept._version = "0.0"
    assert kept.load("types") is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kernel.1.nbc", "kernel.nbi"]


@pytest.mark.peer("numba")
def test_kernels_run_whatever_is_in_their_cache(tmp_path):

    def run():
        environment = {**os.environ, "TINYEMBED_CACHE": str(tmp_path)}
        command = [sys.executable, "-c", KERNEL]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run()
    files = sorted((tmp_path / "compiled").rglob("*.nb?"))
    before = [file.read_bytes() for file in files]
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    for n, file in enumerate(files):  # of one kernel the index, of the next the code
        if file.suffix == (".nbi", ".nbc")[n // 2 % 2]:
            file.write_bytes(before[n][:-100])
    assert run() == first and first
    assert all(read_sealed(file, "compiled") for file in files)
