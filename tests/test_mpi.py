"""Training over several processes, started as a person starts it: the results of one process.

All of it skips where mpi4py or an mpiexec is missing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import write_corpus
from small_networks import nearly_same_weights

from tinyembed.backends import processes
from tinyembed.errors import InputError
from tinyembed.models.table import MODELS
from tinyembed.music.corpus import Corpus
from tinyembed.storage.arrays import load_arrays
from tinyembed.train import main
from tinyembed.training.kinds import examples_for
from tinyembed.training.runs import Run

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.peer("mpi4py")
pytest.importorskip("tinyembed.backends.mpi")
HERE = Path(__file__).resolve().parents[1]
MPIEXEC = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
if not MPIEXEC:
    pytest.skip("there is no mpiexec", allow_module_level=True)

TRAIN = "-m", "tests.small_networks", "train", "--width", "tiny"
QUICK = "--examples", 200, "--batch-size", 10
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TINYEMBED_BACKEND": "cpu",
}  # fmt: skip


def words(n, *options):
    return [MPIEXEC, "-n", str(n), sys.executable, *map(str, options)]


def run(n, *options, **more):
    """Run Python in n processes."""
    return subprocess.run(
        words(n, *options), cwd=HERE, capture_output=True, text=True, timeout=300,
        env={**os.environ, **ENVIRONMENT, **more},
    )  # fmt: skip


def said_once(done, status, *parts):
    """The one line on the error stream."""
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.strip().splitlines()
    for part in parts:
        assert part in line
    return line


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory):
    """Pieces with excerpts for the contrastive model."""
    return write_corpus(tmp_path_factory.mktemp("long") / "piano", beats=80)


# The same results


@pytest.fixture(scope="module")
def alone(long_folder, tmp_path_factory):
    """Losses and gradients of one process."""
    return taken(1, long_folder, tmp_path_factory.mktemp("steps"), 50)


def taken(n, folder, tmp_path, *options, **more):
    out = tmp_path / "steps.npz"
    start = run if n > 1 else (lambda n, *o, **more: plainly(*o, **more))
    done = start(n, "tests/mpi_steps.py", folder, out, *options, **more)
    assert done.returncode == 0, done.stderr
    return np.load(out), done


def plainly(*options, **more):
    return subprocess.run(
        [sys.executable, *map(str, options)], cwd=HERE, capture_output=True, text=True,
        timeout=300, env={**os.environ, **ENVIRONMENT, **more},
    )  # fmt: skip


@pytest.mark.parametrize("n, backend", [(2, "plain"), (3, "cpu")])
def test_fifty_steps_of_every_model_are_those_of_one_process(
    alone, long_folder, tmp_path, n, backend
):
    """Three processes have unequal parts. Losses of steps and of validation; gradients."""
    found, _ = taken(n, long_folder, tmp_path, 50, TINYEMBED_BACKEND=backend)
    assert found.keys() == alone[0].keys() and len(found) == 2 * len(MODELS)
    for name, expected in alone[0].items():
        apart = np.abs(found[name] - expected).max() / np.abs(expected).max()
        assert expected.std() > 0 and apart < (1e-4 if "losses" in name else 1e-10), name


def test_on_gpus(alone, long_folder, tmp_path, standin):
    """On the stand-in for CuPy, in processes of their own."""
    names = "note_drop", "contrastive"
    found, done = taken(2, long_folder, tmp_path, 6, "gpu", *names)
    said_once(done, 0, "not recorded as a CUDA graph")
    for name in names:
        steps = f"losses of {name}"
        np.testing.assert_allclose(found[steps][:6], alone[0][steps][:6], rtol=1e-4)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), away=st.sampled_from([0, 1, 1e4]),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None)
def test_statistics_of_parts_are_those_of_the_whole(sizes, away, seed):
    from tinyembed.backends.mpi.variants import combine

    x = np.random.default_rng(seed).standard_normal((sum(sizes), 3)) + away
    parts = np.split(x, np.cumsum(sizes)[:-1])
    rows = [np.concatenate([[len(p)], p.mean(axis=0), p.var(axis=0) * len(p)]) for p in parts]
    n, mean, squares = combine(np.stack(rows))
    assert n == len(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(squares / n, x.var(axis=0), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["note_drop", "beat_drop", "octave_split", "context"])
def test_the_parts_of_a_batch_make_the_batch(piano_folder, name, monkeypatch):
    """Notes that fold into one cell take no random number: keys are such that many do."""
    corpus = Corpus.from_folder(piano_folder, progress=False)
    corpus.pitches[::3] = np.minimum(corpus.pitches[::3], 80) + 36
    examples = examples_for(corpus, MODELS[name], np.arange(corpus.n_pieces))
    made = []
    monkeypatch.setattr(examples, "cut", lambda *a, cut=examples.cut: made.append(cut(*a)))
    for step in (0, 7):
        examples.batch(step, 20)
        for first, end in ((0, 6), (6, 13), (13, 20)):
            examples.part(20, slice(first, end)).batch(step, end - first)
        whole, *parts = made[-4:]
        for field, value in vars(whole).items():
            joined = np.concatenate([getattr(part, field) for part in parts])
            np.testing.assert_array_equal(joined, value, err_msg=field)


# Buffers of a GPU


class Listening:
    """A communicator of one process that looks at what it is given."""

    rank, size = 0, 1

    def __init__(self, gpu, kinds):
        self.gpu, self.kinds, self.seen = gpu, kinds, []

    def Dup(self):
        return self

    def Split_type(self, kind):
        return self

    def allgather(self, thing):
        return [thing]

    def Get_info(self):
        return {"mpi_memory_alloc_kinds": self.kinds}

    def Iallreduce(self, own, buffer, operation):
        self.seen.append((buffer, self.gpu.standin.counts()["synchronisations"]))
        buffer += buffer  # as if there were another with the same
        return self

    def Test(self):
        return True


@pytest.mark.parametrize("kinds", ["mpi,system", "mpi,system,cuda:device"])
def test_the_stream_is_done_before_mpi_sees_a_buffer(gpu, standin, kinds):
    from types import SimpleNamespace

    from tinyembed.backends.mpi.company import Company

    mpi = SimpleNamespace(COMM_TYPE_SHARED=0, IN_PLACE=None, SUM=None)
    company = Company(mpi, Listening(gpu, kinds))
    x = gpu.arange(6, dtype=np.float32)
    standin.reset()
    company.add_up(x)
    ((buffer, waited),) = company.comm.seen
    assert waited >= 1 and isinstance(buffer, gpu.ndarray if "cuda" in kinds else np.ndarray)
    np.testing.assert_array_equal(x.get(), 2 * np.arange(6))


# The command


@pytest.fixture(scope="module")
def finished(piano_folder, tmp_path_factory):
    """One run of one process, from beginning to end."""
    out = tmp_path_factory.mktemp("finished") / "run"
    done = plainly(*TRAIN, *QUICK, "--data", piano_folder, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_run_of_two_processes_leaves_what_one_leaves(finished, piano_folder, tmp_path):
    out, expected = finished
    done = run(2, *TRAIN, *QUICK, "--data", piano_folder, "--out", tmp_path / "two")
    assert done.returncode == 0 and done.stderr == ""
    assert "on the cpu in 2 processes: " in done.stdout
    assert len(done.stdout.splitlines()) == len(expected.stdout.splitlines())
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in out.iterdir()}
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["processes"] == 2
    logs = [Run(folder).read_log() for folder in (tmp_path / "two", out)]
    for ours, theirs in zip(*logs, strict=True):
        for name, value in theirs.items():
            assert name == "examples_per_s" or ours[name] == pytest.approx(value, rel=1e-4)
    nearly_same_weights(tmp_path / "two", out)


LONG = "--examples", 100_000, "--batch-size", 20


def start(n, out, *options):
    """A training that has written a checkpoint."""
    running = subprocess.Popen(
        words(n, *TRAIN, *options, "--out", out), cwd=HERE, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **ENVIRONMENT},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    end = time.monotonic() + 100
    while not (out / "checkpoint.npz").exists():
        assert running.poll() is None and time.monotonic() < end, running.communicate()
        time.sleep(0.05)
    return running


def process_of(rank, out):
    """The number of the process of a rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")
            environment = (folder / "environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(out) in command and "train" in command and f"PMI_RANK={rank}" in environment:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


def step_of(out):
    return json.loads(str(load_arrays(out / "checkpoint.npz")["standing"]))["step"]


def test_a_process_that_is_killed_ends_the_run_which_resumes_with_any_number(
    piano_folder, tmp_path
):
    out = tmp_path / "run"
    running = start(2, out, *LONG, "--data", piano_folder)
    os.kill(process_of(1, out), signal.SIGKILL)
    began = time.monotonic()
    _, said = running.communicate(timeout=60)
    assert running.returncode and time.monotonic() - began < 30
    lines = [line for line in said.splitlines() if line.startswith("tinyembed: ")]
    (line,) = lines
    assert "a process was killed" in line and line.endswith(f"train --resume --out {out}")
    reached = [step_of(out)]
    for n in (1, 3):
        (out / "checkpoint.npz").rename(out / "checkpoint-before.npz")
        running = start(n, out, "--resume")
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
        assert running.returncode == 128 + signal.SIGTERM
        (line,) = said.strip().splitlines()
        assert "stopped at step" in line and "all saved" in line
        reached.append(step_of(out))
    assert 0 < reached[0] < reached[1] < reached[2]


def test_it_resumes_where_it_was_with_another_number(finished, piano_folder, tmp_path):
    """Half of the steps in two processes, and the rest in one: the weights of one process."""
    out = tmp_path / "run"
    shutil.copytree(finished[0], out)
    for name in ("checkpoint.npz", "checkpoint-before.npz", "summary.json"):
        (out / name).unlink()
    running = start(2, out, "--resume")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode in (0, 128 + signal.SIGINT)
    done = plainly(*TRAIN, "--resume", "--out", out)
    assert done.returncode == 0, done.stderr
    nearly_same_weights(out, finished[0])


# Reading


def test_processes_share_the_files_of_a_store(piano_folder, tmp_path):
    options = "-m", "tinyembed.corpus", "build", piano_folder, "--files-per-task", 5, "-o"
    done = run(2, *options, tmp_path / "two")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("18 pieces of 3 composers") == 1
    assert plainly(*options, tmp_path / "one").returncode == 0
    for path in (tmp_path / "one").rglob("*.*"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert other.read_bytes() == path.read_bytes()
    said_once(run(2, *options, tmp_path / "two", "--shard", "1/2"), 2, "--shard: under mpiexec")


# What goes wrong


def test_wrong_use_is_said_once(piano_folder, tmp_path):
    out = "--out", tmp_path / "run"
    small = "--batch-size", 5, "--data", piano_folder
    said_once(run(6, *TRAIN, *small, *out), 2, "--batch-size 5", "split over 6 processes")
    said_once(run(2, *TRAIN, "--nonsense"), 2, "--nonsense")
    said_once(run(2, *TRAIN, "--data", tmp_path / "nowhere", *out), 2, "nowhere")
    assert not (tmp_path / "run").exists()


def test_unequal_options_are_refused(piano_folder, tmp_path):
    each = [[sys.executable, *TRAIN, "--out", str(tmp_path), "--seed", str(n)] for n in (1, 2)]
    done = subprocess.run(
        [MPIEXEC, "-n", "1", *each[0], ":", "-n", "1", *each[1]], cwd=HERE, capture_output=True,
        text=True, timeout=100, env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip
    said_once(done, 2, "--seed: 1 in process 1 of 2 and 2 in process 2")


@pytest.mark.parametrize(
    "why, status, words", [("input", 2, "one/piece.mid"), ("bug", 1, "KeyError: 'nothing'")]
)
def test_one_that_fails_alone_says_so_and_ends_the_others(why, status, words):
    began = time.monotonic()
    for _ in range(5):
        done = run(3, "tests/mpi_fails.py", why)
        if "EXIT CODE: 9" not in done.stderr:
            break  # otherwise mpiexec killed the process before it exited: see `Company.abort`
    assert time.monotonic() - began < 60 and done.returncode == status, done.stderr
    assert words in done.stderr and "(process 2 of 3)" in done.stderr
    assert ("Traceback" in done.stderr) == (why == "bug")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_launcher_of_another_mpi(rank, tmp_path):
    """Each process is then the only one that MPI sees."""
    other = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": str(rank)}
    done = plainly(*TRAIN, "--out", tmp_path / "run", **other)
    if rank:
        assert done.returncode == 2 and done.stderr == ""
    else:
        said_once(done, 2, "started 2 processes", "mpi4py sees 1", "TINYEMBED_MPI=0")


def test_no_mpi4py(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path), str(HERE)])
    done = run(2, *TRAIN, "--out", tmp_path / "run", PYTHONPATH=path)
    said_once(done, 2, "started 2 processes", 'pip install "tinyembed[mpi]"')


def test_what_the_environment_says(monkeypatch):
    for names in processes.LAUNCHERS.items():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    assert processes.started() == (0, 1)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")  # srun started one mpiexec per machine
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert processes.started() == (1, 2)
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "3")
    assert processes.started() == (3, 4)
    monkeypatch.setenv("TINYEMBED_MPI", "0")
    assert processes.started() == (0, 1)


def test_one_process_imports_no_mpi4py(piano_folder, tmp_path):
    code = f"""
import sys
from tinyembed.train import main
main(["--data", {str(piano_folder)!r}, "--out", {str(tmp_path / "run")!r}, "--examples", "20",
      "--batch-size", "10"])
print("mpi4py" in sys.modules)
"""
    assert plainly("-c", code).stdout.splitlines()[-1] == "False"


def test_without_the_room(piano_folder, tmp_path):
    """A copy of the package without backends/mpi trains, and says what it cannot."""
    ignored = shutil.ignore_patterns("__pycache__", "mpi", "*.npz")
    shutil.copytree(HERE / "tinyembed", tmp_path / "tinyembed", ignore=ignored)
    where = {"PYTHONPATH": str(tmp_path)}
    code = "import sys; from tinyembed.cli.running import run; from tinyembed.train import main"
    code += "; import tinyembed; assert 'tmp' in tinyembed.__file__; run(main)"
    options = "-c", code, "--data", piano_folder, "--out", tmp_path / "run", "--examples", 20
    options = *options, "--batch-size", 10
    shutil.copy(HERE / "setup.cfg", tmp_path)
    command = [sys.executable, *map(str, options)]
    environment = {**os.environ, **ENVIRONMENT, **where}
    keywords = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 100}
    done = subprocess.run(command, env=environment, **keywords)
    assert done.returncode == 0, done.stderr
    several = {**environment, "OMPI_COMM_WORLD_SIZE": "2"}
    said_once(subprocess.run(command, env=several, **keywords), 2, "no backends/mpi")


def test_a_batch_is_one_process_s_business_alone(piano_folder, monkeypatch):
    """Without a launcher nothing is compared or exchanged: wrong use is an error as ever."""
    monkeypatch.delenv("PMI_SIZE", raising=False)
    with pytest.raises(InputError, match="at least 5 are compared"):
        main(["--batch-size", "2"])
