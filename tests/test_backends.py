"""Each variant of each operation against its plain definition; and how a backend is chosen."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import gpu_module
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyembed
from tinyembed.backends import choice, dispatch
from tinyembed.backends.arrays import to_host
from tinyembed.backends.cpu import threads
from tinyembed.backends.dispatch import operations
from tinyembed.errors import InputError
from tinyembed.evaluation import fitting  # noqa: F401 -- so that its operation is defined
from tinyembed.layers.batchnorm import BatchNorm, batch_statistics
from tinyembed.layers.elu import elu
from tinyembed.layers.first_conv import FirstConv2d
from tinyembed.layers.im2col import output_size
from tinyembed.layers.intervals import EDGES, WIDEST
from tinyembed.layers.lstm import Lstm  # noqa: F401 -- so that its operations are defined
from tinyembed.models.model import Model
from tinyembed.models.table import WIDTHS, Width
from tinyembed.music.midi_events import COLUMNS
from tinyembed.training.examples import Batch, draw_candidates
from tinyembed.training.optimizers import Adam, Flat

HERE = Path(__file__).resolve().parents[1]
ROOM = HERE / "tinyembed" / "backends"
MODULES = {
    "cpu": ["cpu.variants"],
    "numba": ["numba.variants"],
    "cupy": ["cupy.kernels", "cupy.products"],
}
BACKENDS = ["cpu", pytest.param("numba", marks=pytest.mark.peer("numba")), "cupy"]


def table_of(backend):
    """{name: variant} of a backend, or skip where it is not there."""
    if not all((ROOM / f"{module.replace('.', '/')}.py").exists() for module in MODULES[backend]):
        pytest.skip(f"there is no {backend} backend")
    modules = [importlib.import_module(f"tinyembed.backends.{m}") for m in MODULES[backend]]
    return {name: variant for m in modules for name, variant in m.VARIANTS.items()}


class Drawn:
    """Arrays for an operation, of one dtype and one library, with or without gaps in memory."""

    def __init__(self, data, dtype, xp):
        self.data, self.dtype, self.xp = data, dtype, xp
        self.rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        self.rows, self.columns = self.number(1, 70), self.number(1, 9)

    def number(self, low, high):
        return self.data.draw(st.integers(low, high))

    def array(self, *shape, positive=False):
        values = self.rng.standard_normal(shape)
        return self.laid_out(np.abs(values) + 0.1 if positive else values)

    def laid_out(self, values):
        """An array of the dtype that may be a view with gaps, or in another order of memory."""
        values = self.xp.asarray(np.asarray(values, self.dtype))
        layout = self.data.draw(st.sampled_from(["whole", "whole", "gaps", "transposed"]))
        if layout == "gaps" and values.ndim:
            with_gaps = self.xp.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
            with_gaps[..., ::2] = values
            return with_gaps[..., ::2]
        return values.T.copy().T if layout == "transposed" else values

    def table(self):
        return self.array(self.rows, self.columns)

    def channel(self, positive=False):
        return self.array(self.columns, positive=positive)

    def geometry(self):
        """An image's shape, and kernel size, stride and padding that fit it or leave a rest."""
        kernel = self.number(1, 4), self.number(1, 4)
        stride = kernel if self.number(0, 2) == 0 else (self.number(1, 4), self.number(1, 3))
        padding = (0, 0) if self.number(0, 1) else (self.number(0, 2), self.number(0, 3))
        n, c = self.number(1, 4), self.number(1, 3)
        h, w = (self.number(1, 3) * k if self.number(0, 1) else self.number(1, 8) for k in kernel)
        assume(h + 2 * padding[0] >= kernel[0] and w + 2 * padding[1] >= kernel[1])
        return (n, h, w, c), kernel, stride, padding

    def sparse(self, *shape):
        share = self.data.draw(st.sampled_from([0, 0.01, 0.05, 0.5]))
        return self.laid_out((self.rng.random(shape) < share) * self.rng.standard_normal(shape))


def im2col(d):
    shape, *geometry = d.geometry()
    return d.array(*shape), *geometry


def col2im(d):
    shape, *geometry = d.geometry()
    size = output_size(shape[1:3], *geometry)
    kh, kw = geometry[0]
    return d.array(shape[0], *size, kh * kw * shape[3]), shape, *geometry


def convolve_rolls(d):
    shape, *geometry = d.geometry()
    kh, kw = geometry[0]
    return d.sparse(*shape), d.array(kh * kw * shape[3], d.columns), *geometry


def add_weight_gradient(d):
    x, weight, *geometry = convolve_rolls(d)
    size = output_size(x.shape[1:3], *geometry)
    return d.array(*weight.shape), d.array(len(x), *size, d.columns), x, weight, *geometry


def candidate_cosines(d):
    n = d.number(5, 8)
    candidates = d.xp.asarray(draw_candidates(n, d.rng))
    return d.sparse(n, 40), d.array(n, 40), candidates


def candidate_cosines_backward(d):
    q, r, candidates = candidate_cosines(d)
    return d.array(*candidates.shape), q, r, candidates


def adam_step(d):
    value, grad, m = (d.array(d.rows * d.columns) for _ in range(3))
    v = d.array(d.rows * d.columns, positive=True)
    return value, grad, m, v, 1e-2, 1.5, 0.9, 0.1, 0.999, 0.001, 1e-8


def statistics(d):
    """mean, var, gamma."""
    return d.channel(), d.channel(positive=True), d.channel()


def sums(d):
    """dy_sum, dyu_sum, n, eps."""
    return d.channel(), d.channel(), d.rows, 1e-5


def classes(d):
    """The right class of each row."""
    return d.xp.asarray(d.rng.integers(d.columns, size=d.rows).astype(np.int32))


def read_events(d):
    data = d.data.draw(st.binary(max_size=60))  # test_midi_compiled.py has likelier ones
    columns = [np.zeros(len(data) // 2 + 1, kind) for kind in COLUMNS]
    return data, 0, len(data), 0, 0, 0, *columns


ARGUMENTS = {
    "matmul": lambda d: (d.table(), d.array(d.columns, d.number(1, 5))),
    "add_matmul": lambda d: (d.array(d.columns, 3), d.table().T, d.array(d.rows, 3)),
    "im2col": im2col,
    "col2im": col2im,
    "convolve_rolls": convolve_rolls,
    "add_weight_gradient": add_weight_gradient,
    "elu": lambda d: (d.array(d.rows, d.columns, 2),),
    "elu_gradient": lambda d: (d.table(), d.table()),
    "batch_statistics": lambda d: (d.table(),),
    "training_statistics": lambda d: (d.table(), d.channel(), d.channel(positive=True), 0.1),
    "normalize": lambda d: (d.table(), *statistics(d), d.channel(), 1e-5),
    "normalize_elu": lambda d: (d.table(), *statistics(d), d.channel(), 1e-5),
    "gradient_sums": lambda d: (d.table(), d.table(), d.channel()),
    "gradient_sums_elu": lambda d: (d.table(), d.table(), d.table(), d.channel()),
    "norm_gradients_elu": lambda d: (
        d.table(), d.table(), d.table(), d.channel(), d.channel(positive=True), d.channel(),
        d.channel(), 1e-5,
    ),
    "input_gradient": lambda d: (d.table(), d.table(), *statistics(d), *sums(d)),
    "input_gradient_elu": lambda d: (d.table(), d.table(), d.table(), *statistics(d), *sums(d)),
    "inverse_length": lambda d: (d.table(),),
    "row_products": lambda d: (d.table(), d.table()),
    "cosine_gradient": lambda d: (
        d.table(), d.array(d.rows, 1), d.table(), d.array(d.rows, 1), 0.25,
    ),
    "mean": lambda d: (d.array(d.rows),),
    "standardize": lambda d: (d.array(2, d.rows, d.columns), d.channel(), d.channel()),
    "cross_entropies": lambda d: (d.table(), classes(d)),
    "cross_entropy_gradient": lambda d: (d.table(), classes(d)),
    "candidate_cosines": candidate_cosines,
    "candidate_cosines_backward": candidate_cosines_backward,
    "interval_counts": lambda d: (
        d.sparse(d.number(1, 3), d.number(1, 20), d.number(1, 96)), WIDEST, EDGES,
    ),
    "lstm_step": lambda d: (
        *(d.array(d.rows, 4 * d.columns) for _ in range(2)), d.array(4 * d.columns), d.table(),
        d.array(d.rows, 4 * d.columns), d.table(), d.table(), d.table(),
    ),
    "lstm_step_backward": lambda d: (
        d.table(), d.table(), d.array(d.rows, 4 * d.columns), d.table(), d.table(),
        d.array(d.rows, 4 * d.columns), d.table(),
    ),
    "column_sums": lambda d: (d.table(),),
    "add_column_sums": lambda d: (d.channel(), d.table()),
    "adam_step": adam_step,
    "read_events": read_events,
}  # fmt: skip


def program(name, run, arguments):
    """An operation, or for those that take a cache the one that makes it and then this one.

    run: (name, arguments) -> results.
    """
    if name == "add_weight_gradient":
        grad, dy, *others = arguments
        return run(name, grad, dy, run("convolve_rolls", *others)[1])
    if name == "candidate_cosines_backward":
        dcosines, *others = arguments
        return run(name, dcosines, run("candidate_cosines", *others)[1])
    return run(name, *arguments)


def copied(x):
    return x.copy() if hasattr(x, "strides") else x


def numbers(values):
    """The arrays and numbers among values, on the host. A cache is not compared."""
    values = values if isinstance(values, (tuple, list)) else [values]
    compared = [v for v in values if hasattr(v, "dtype") or isinstance(v, (int, float))]
    return [np.asarray(to_host(v)) if hasattr(v, "dtype") else np.asarray(v) for v in compared]


@pytest.fixture
def plainly():
    """The operations that a definition calls are plain, too."""
    before = choice.in_use()
    choice.use("plain")
    yield
    choice.use(before)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_variant_computes_what_the_definition_says(plainly, backend, name):
    table, definitions = table_of(backend), operations()
    xp = gpu_module() if backend == "cupy" else np
    if name not in table:
        return  # there is only the definition

    def run_variant(name, *arguments):
        definition = definitions[name]
        return table[name](definition, *arguments) if name in table else definition(*arguments)

    def run_definition(name, *arguments):
        return definitions[name](*arguments)

    @given(data=st.data(), dtype=st.sampled_from([np.float32, np.float32, np.float64]))
    @settings(max_examples=25, deadline=None)
    def check(data, dtype):
        given = ARGUMENTS[name](Drawn(data, dtype, xp))
        apart = [copied(x) for x in given]
        found, expected = program(name, run_variant, given), program(name, run_definition, apart)
        close = 2e-5 if dtype == np.float32 else 1e-10
        pairs = [*zip(numbers(found), numbers(expected), strict=False)]
        pairs += zip(numbers(given), numbers(apart), strict=True)  # what was written, what was not
        for a, b in pairs:
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=close, atol=close)

    check()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_variant_is_tried_and_is_of_an_operation(backend):
    names = table_of(backend).keys()
    assert names and names <= ARGUMENTS.keys() and names <= operations().keys()


@pytest.mark.parametrize("backend", BACKENDS[:2])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_blocks_on_several_threads_change_nothing(plainly, monkeypatch, backend, n_threads):
    """Every variant once more, in blocks of a few numbers."""
    table, definitions = table_of(backend), operations()
    monkeypatch.setattr(threads, "BLOCK", 16)
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "workers", lambda: n_threads)
    threads._pool.cache_clear()

    def run(name, *arguments):
        return table[name](definitions[name], *arguments)

    @given(data=st.data(), name=st.sampled_from(sorted(table)))
    @settings(max_examples=60, deadline=None)
    def check(data, name):
        given = ARGUMENTS[name](Drawn(data, np.float64, np))
        apart = [copied(x) for x in given]
        found = program(name, run, given)
        expected = program(name, lambda name, *a: definitions[name](*a), apart)
        for a, b in zip(numbers(found), numbers(expected), strict=False):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

    check()
    threads._pool.cache_clear()


def test_sums_are_exact_over_many_rows_and_the_same_on_any_number_of_threads(monkeypatch):
    """In float32, as adding row after row would not be."""
    x = np.random.default_rng(0).standard_normal((300_000, 3)).astype(np.float32) + 7
    mean, var = x.astype(float).mean(axis=0), x.astype(float).var(axis=0)
    for backend in ("cpu", "numba"):
        if choice.use(backend) != backend:
            continue
        found = []
        for n_threads in (1, 2, 4):
            threads._pool.cache_clear()
            monkeypatch.setattr(threads, "workers", lambda n=n_threads: n)
            found.append(batch_statistics(x)[:2])
        np.testing.assert_allclose(found[0], [mean, var], rtol=5e-7)
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
    threads._pool.cache_clear()


def test_batch_norm_normalizes_what_is_far_from_zero():
    x = np.random.default_rng(0).standard_normal((4000, 5)).astype(np.float32) * 3 + 100
    for backend in ("cpu", "numba"):
        choice.use(backend)
        y, _ = BatchNorm(5).forward(x, training=True)
        assert np.abs(y.mean(axis=0)).max() < 1e-4 and np.abs(y.std(axis=0) - 1).max() < 1e-4


def test_nan_stays_nan():
    x = np.array([np.nan, np.inf, -np.inf, 1024, -1024], np.float32)
    for backend in ("plain", "cpu", "numba"):
        choice.use(backend)
        np.testing.assert_array_equal(elu(x), [np.nan, np.inf, -1, 1024, -1])
        roll = np.zeros((2, 60, 96, 1), np.float32)
        roll[1, 30, 40] = np.nan
        y, _ = FirstConv2d(
            1, 4, (12, 6), (12, 6), bias=False, rng=np.random.default_rng(0)
        ).forward(roll)
        assert not np.isnan(y[0]).any() and np.isnan(y[1, 2, 6]).all() and np.isnan(y).sum() == 4


@pytest.mark.parametrize("name", ["context", "composer"])
def test_plain_training_has_the_same_losses(name):
    """100 steps with the definitions alone, and with each backend."""
    losses = {}
    for backend in ("plain", "cpu", "numba"):
        if choice.use(backend) == backend:
            losses[backend] = train(name, steps=100)
    for found in losses.values():
        np.testing.assert_allclose(found, losses["plain"], rtol=1e-5)


def train(name, steps):
    """The losses of the first steps of a tiny model."""
    rng = np.random.default_rng(0)
    model = Model(name, "tiny", ["a", "b"], rng)
    optimizer = Adam(Flat(model.parameters()))
    found = []
    for _ in range(steps):
        rolls = (rng.random((20, 60, 96)) < 0.01).astype(np.float32)
        composer = np.arange(20) % 2
        batch = Batch(rolls, rolls, draw_candidates(20, rng), composer, rolls)
        losses, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        optimizer.step(1e-3)
        found.append(float(sum(losses.values())))
    return found


@pytest.fixture(autouse=True)
def tiny_width(monkeypatch):
    monkeypatch.setitem(WIDTHS, "tiny", Width(conv=(4, 6, 6, 8), dense=(16, 12, 100)))


# Which backend runs


def in_process(code, **environment):
    """Standard output and error of a process, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE, capture_output=True, text=True,
        env={**os.environ, "TINYEMBED_BACKEND": "", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


SAY = "import tinyembed.layers.elu; from tinyembed.backends import choice; print(choice.in_use()"


def test_what_the_environment_chooses():
    assert in_process(f"{SAY}, choice.use())", TINYEMBED_BACKEND="plain")[0] == ["plain plain"]
    fastest = "numba" if choice._numba_works() else "cpu"
    expected = [f"cpu {fastest} cpu plain"], []
    found = in_process(f"{SAY}, choice.use(), choice.use('cpu'), choice.use('plain'))")
    assert found == expected
    out, err = in_process(f"{SAY}, choice.use())", TINYEMBED_NUMBA="0")
    assert out == ["cpu cpu"] and err == ["note: TINYEMBED_NUMBA=0 is now TINYEMBED_BACKEND=cpu"]


def test_a_backend_that_there_is_not(monkeypatch):
    with pytest.raises(InputError, match=r"^fast: choose one of plain, cpu, numba$"):
        tinyembed.use_backend("fast")
    monkeypatch.setenv("TINYEMBED_BACKEND", "fast")
    with pytest.raises(InputError, match=r"^TINYEMBED_BACKEND=fast: choose one of"):
        choice.use()
    choice.use_default()  # is silent, so that importing never fails; the first operation says it
    with pytest.raises(InputError, match=r"^TINYEMBED_BACKEND=fast"):
        elu(np.ones(3))


def test_a_numba_that_is_not_to_be_used(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.2 or less')")
    path = os.pathsep.join([str(tmp_path), str(HERE)])
    for environment in ({"PYTHONPATH": path}, {"NUMBA_DISABLE_JIT": "1"}):
        assert in_process(f"{SAY}, choice.use('numba'))", **environment)[0] == ["cpu cpu"]


def test_two_operations_of_one_name_are_refused():
    def elu(x):
        return x

    with pytest.raises(ValueError, match="two operations called elu"):
        dispatch.operation(elu)


def test_without_numba_and_without_kernels(tmp_path):
    """A copy of the package without them imports, trains, and passes the layers' tests."""
    ignored = shutil.ignore_patterns("__pycache__", "numba", "kernels.py", "*.npz")
    shutil.copytree(HERE / "tinyembed", tmp_path / "tinyembed", ignore=ignored)
    shutil.copytree(
        HERE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(HERE / "setup.cfg", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    words = ["tests/test_layers.py", "tests/test_losses.py", "tests/test_twenty_steps.py"]
    (tmp_path / words[-1]).write_text(TWENTY_STEPS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


TWENTY_STEPS = """
from pathlib import Path

import tinyembed.backends
from tinyembed.backends import choice
from tinyembed.train import main


def test_twenty_steps(piano_folder, tmp_path):
    backends = Path(tinyembed.backends.__file__).parent
    assert not (backends / "numba").exists() and not (backends / "cupy" / "kernels.py").exists()
    assert choice.use("numba") == "cpu"
    words = ["--examples", "200", "--batch-size", "10", "--data", str(piano_folder)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
"""
