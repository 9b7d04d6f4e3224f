"""Formulas and loops compiled by numba: as NumPy, to rounding; and the files they live in."""

import inspect
import itertools
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends import compiled, loops
from tinyembed.backends.cpu import threads
from tinyembed.backends.formulas import fuse, in_place, mean_rows, sum_rows
from tinyembed.backends.numba import scalars
from tinyembed.layers import batchnorm, batchnorm_elu, conv, elu, lstm, pairs, patches
from tinyembed.layers.batchnorm import BatchNorm
from tinyembed.layers.lstm import Lstm
from tinyembed.models.model import Model
from tinyembed.training import optimizers
from tinyembed.training.examples import Batch, draw_candidates

pytest.importorskip("numba")

HERE = Path(__file__).resolve().parents[1]
sizes = st.integers(1, 40)
FORMULAS = [
    (elu._elu, "m"),
    (elu._elu_gradient, "mm"),
    (batchnorm._scale_and_shift, "mrr"),
    (batchnorm._sum_of_multiples, "mmrrr"),
    (batchnorm._mean, "m"),
    (batchnorm._mean_of_squares, "mr"),
    (batchnorm._sums, "mmr"),
    (batchnorm_elu._scale_shift_elu, "mrr"),
    (batchnorm_elu._sums_through_elu, "mmmr"),
    (batchnorm_elu._multiples_through_elu, "mmmrrr"),
    (batchnorm_elu._multiple_through_elu, "mmr"),
    (conv.add_bias, "mr"),
    (pairs._take_away, "mccm"),
    (pairs._multiple, "mc"),
    (optimizers._move, "mmMMssssss+"),
    (lstm._activate, "mrr"),
    (lstm._keep_and_write, "mmmm"),
    (lstm._cell_gradient, "mmmm"),
    (lstm._through_sigmoid, "mmm"),
    (lstm._through_tanh, "mmm"),
]


@pytest.fixture
def numba(monkeypatch):
    monkeypatch.delenv("TINYEMBED_NUMBA", raising=False)
    assert compiled.switch_on()


def arguments(kinds, rows, columns, rng):
    """Arrays for a formula: as loops.PLACE, and M and + for one of numbers above zero."""
    shapes = {"m": (rows, columns), "r": (columns,), "c": (rows, 1), "s": ()}
    made = [rng.standard_normal(shapes.get(k.lower(), ())).astype(np.float32) for k in kinds]
    made = [np.abs(a) if k in "M+s" else a for k, a in zip(kinds, made, strict=True)]
    return [float(a) if a.ndim == 0 else a for a in made]


@pytest.mark.parametrize(("formula", "kinds"), FORMULAS, ids=lambda f: getattr(f, "__name__", f))
def test_a_formula_is_what_it_says(numba, formula, kinds):
    @given(rows=sizes, columns=sizes, seed=st.integers(0, 999))
    @settings(max_examples=15, deadline=None)
    def check(rows, columns, seed):
        given = arguments(kinds, rows, columns, np.random.default_rng(seed))
        apart = [np.copy(a) if isinstance(a, np.ndarray) else a for a in given]
        assert compiled._seen(given)[0] is not None
        found = formula(*given)
        expected = inspect.unwrap(formula)(*apart)
        if formula in (batchnorm._mean, batchnorm._mean_of_squares):
            expected = expected.mean(axis=0)
        elif formula in (batchnorm._sums, batchnorm_elu._sums_through_elu):
            expected = np.stack(expected).sum(axis=1)
        if expected is not None:
            assert found.shape == expected.shape and found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        for a, b in zip(given, apart, strict=True):  # what it wrote into, and what it left alone
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)

    check()


def test_every_formula_of_the_package_is_tried():
    tried = {formula for formula, _ in FORMULAS}
    for module in (batchnorm, batchnorm_elu, conv, elu, lstm, pairs, optimizers):
        text = Path(module.__file__).read_text().split("\n")
        for above, line in itertools.pairwise(text):
            if above in ("@fuse", "@in_place", "@sum_rows", "@mean_rows"):
                assert getattr(module, line[4 : line.index("(")]) in tried


def test_what_is_left_to_numpy(numba):
    x = np.ones((4, 6), np.float32)
    apart = [
        [x.astype(float)],
        [x, np.ones(6)],
        [x, np.float64(2)],
        [x, 1j],
        [x[:, ::2]],
        [x[:0]],
        [x, np.ones((4, 2), np.float32)],
    ]
    for arrays in apart:
        assert compiled.formula(add_up, arrays) is NotImplemented
        assert compiled.column_sums(add_up, arrays) is NotImplemented
    assert fuse(add_up)(x.astype(float), 1).dtype == float
    compiled.switch_on(False)
    assert compiled.formula(add_up, [x, x]) is NotImplemented


def add_up(x, y):
    return x + y


def squared(x):
    return x * x


def count_on(total, x):
    """Add, and then forget."""
    total += x
    x[...] = 0


def test_numbers_of_a_single_array_keep_their_shape(numba):
    for shape in ((), (1,), (3,), (2, 3, 4), (1, 1), (5, 1), (1, 5)):
        x = np.full(shape, 3, np.float32)
        assert fuse(squared)(x).shape == shape and (fuse(squared)(x) == 9).all()


def test_writing_into_an_argument(numba):
    total, x = np.ones((3, 5), np.float32), np.full((3, 5), 2, np.float32)
    assert in_place(count_on)(total, x) is None
    assert (total == 3).all() and (x == 0).all()


def test_what_is_not_a_number_stays_so(numba):
    x = np.array([np.nan, np.inf, -np.inf, 1024, -1024], np.float32)
    np.testing.assert_array_equal(elu._elu(x), [np.nan, np.inf, -1, 1024, -1])
    assert np.isnan(batchnorm._mean(x[:1, None])).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_blocks_on_threads_give_the_same(numba, monkeypatch, n):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 501, 7)).astype(np.float32)
    scale = rng.standard_normal(7).astype(np.float32)
    expected = batchnorm._scale_and_shift(x, scale, scale), batchnorm._sums(x, y, scale)
    found = []
    monkeypatch.setattr(threads, "SMALL", 64)
    monkeypatch.setattr(compiled, "SUMMED", 64)
    for threads_ in (str(n), "4"):
        threads.workers.cache_clear()
        threads._pool.cache_clear()
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", threads_)
        np.testing.assert_array_equal(batchnorm._scale_and_shift(x, scale, scale), expected[0])
        found.append(batchnorm._sums(x, y, scale))
    threads.workers.cache_clear()
    threads._pool.cache_clear()
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], expected[1], rtol=1e-5)


def test_sums_stay_exact_over_many_rows(numba):
    x = np.random.default_rng(0).standard_normal((300_000, 3)).astype(np.float32) + 7
    exactly = x.astype(float) ** 2
    np.testing.assert_allclose(sum_rows(squared)(x), exactly.sum(axis=0), rtol=1e-7)
    np.testing.assert_allclose(mean_rows(squared)(x), exactly.mean(axis=0), rtol=1e-7)


def test_patches(numba):
    @given(data=st.data(), seed=st.integers(0, 99))
    @settings(max_examples=40, deadline=None)
    def check(data, seed):
        draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
        geometry = [
            (draw(1, 3), draw(1, 4)),
            (draw(1, 3), draw(1, 4)),
            (draw(0, 2), draw(0, 3)),
        ]
        rng = np.random.default_rng(seed)
        shape = draw(1, 5), draw(3, 6), draw(4, 8), draw(1, 3)
        x = rng.standard_normal(shape).astype(np.float32)
        assert compiled.takes(x)
        rows = patches.columns(x, *geometry)
        other = rng.standard_normal(rows.shape).astype(np.float32)
        folded = patches.fold(other, shape, *geometry)
        compiled.switch_on(False)
        np.testing.assert_array_equal(rows, patches.columns(x, *geometry))
        np.testing.assert_allclose(folded, patches.fold(other, shape, *geometry), atol=1e-5)
        compiled.switch_on()

    check()


def test_an_lstm(numba):
    rng = np.random.default_rng(0)
    layer = Lstm(3, 5, rng=rng)
    x = rng.standard_normal((6, 4, 3)).astype(np.float32)
    dy = rng.standard_normal((6, 4, 5)).astype(np.float32)

    def both():
        for p in layer.parameters():
            p.grad[...] = 0
        y, cache = layer.forward(x)
        return [y, layer.backward(dy, cache), *[p.grad.copy() for p in layer.parameters()]]

    found = both()
    compiled.switch_on(False)
    for a, b in zip(found, both(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_batch_norm_normalizes(numba):
    x = np.random.default_rng(0).standard_normal((4000, 5)).astype(np.float32) * 3 + 100
    y, _ = BatchNorm(5).forward(x, training=True)
    assert np.abs(y.mean(axis=0)).max() < 1e-4 and np.abs(y.std(axis=0) - 1).max() < 1e-4


def test_training(numba):
    """The first steps of a model: losses and weights as without numba."""
    found = train_five_steps()
    compiled.switch_on(False)
    expected = train_five_steps()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert np.abs(found[1] - expected[1]).max() < 1e-3 * 5  # Adam's steps are of 1e-3, or not taken
    assert np.abs(found[1] - expected[1]).mean() < 1e-6


def train_five_steps():
    rng = np.random.default_rng(0)
    model = Model("regularized", "small", ["a", "b"], rng)
    optimizer = optimizers.Adam(optimizers.Flat(model.parameters()))
    rolls = (rng.random((20, 60, 96)) < 0.01).astype(np.float32)
    batch = Batch(rolls, rolls, draw_candidates(20, rng), np.arange(20) % 2, rolls)
    sums = []
    for _ in range(5):
        losses, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        optimizer.step(1e-3)
        sums.append(float(sum(losses.values())))
    return sums, optimizer.flat.values


# The functions of one number, in Python as they stand: numba or not, these are their formulas.


@given(x=st.floats(-87, 88, width=32))
def test_exp(x):
    assert scalars.exp(np.float32(x)) == pytest.approx(float(np.exp(np.float64(x))), rel=2e-7)


@given(x=st.floats(-200, 200, width=32))
def test_tanh(x):
    found = float(scalars.tanh(np.float32(x)))
    assert found == pytest.approx(float(np.tanh(np.float64(x))), abs=2e-7)


@pytest.mark.parametrize("x", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_beyond_the_range(x):
    with np.errstate(invalid="ignore"):
        found = scalars.exp(np.float32(x))
    assert np.isnan(found) if np.isnan(x) else (found > 1e38 if x > 0 else 0 <= found < 1e-37)


# Files, processes, and numba that is not there


CODE = """
import numpy as np
from tinyembed import compiled
from tinyembed.layers.elu import Elu
print(compiled.switch_on())
y, cache = Elu().forward(np.array([[-1.0, 2.0]], np.float32))
print(*y[0].round(4), *Elu().backward(y, cache)[0].round(4))
"""
SAID = ["True", "-0.6321 2.0 -0.2325 2.0"]


def in_process(code=CODE, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_was_compiled_is_there_the_next_time(tmp_path):
    cache = {"TINYEMBED_CACHE": str(tmp_path)}
    assert in_process(**cache) == SAID
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    written = [path for path in files if path.suffix == ".py"]
    assert len(written) == 2 and any(path.suffix == ".nbc" for path in files)
    assert in_process(**cache) == SAID
    assert files == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    written[0].write_text("def loops(: nonsense")
    assert in_process(**cache) == SAID


def test_several_processes_at_once(tmp_path):
    command, environment = [sys.executable, "-c", CODE], {"TINYEMBED_CACHE": str(tmp_path)}
    settings = {"cwd": HERE, "stdout": subprocess.PIPE, "env": {**os.environ, **environment}}
    running = [subprocess.Popen(command, text=True, **settings) for _ in range(3)]
    assert all(process.communicate()[0].splitlines() == SAID for process in running)


def test_loops_that_several_threads_want_first(numba, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path))
    image = np.ones((8, 4, 4), np.float32)

    def lay_out(n, columns, out):
        columns(image[n : n + 1], out[n : n + 1], 1, 1, 1, 0, 0)

    written, write = [], Path.write_text

    def write_slowly(path, text):
        written.append(path)
        time.sleep(0.05)  # so that all threads come while the first one writes
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", write_slowly)
    columns = compiled.compile_loops(inspect.unwrap(patches._columns))
    out = np.empty((8, 4, 4, 1, 1), np.float32)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lay_out, range(8), [columns] * 8, [out] * 8))
    assert (out == 1).all() and len(written) == 1


def test_a_cache_that_cannot_be_written_to(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert in_process(TINYEMBED_CACHE=str(blocked)) == SAID
    if os.geteuid():  # to root no folder is closed
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        assert in_process(TINYEMBED_CACHE=str(tmp_path)) == SAID


@pytest.mark.parametrize("switch", [{"TINYEMBED_NUMBA": "0"}, {"NUMBA_DISABLE_JIT": "1"}])
def test_switched_off_by_the_environment(tmp_path, switch):
    assert in_process(TINYEMBED_CACHE=str(tmp_path), **switch) == ["False", SAID[1]]
    assert not list(tmp_path.iterdir())


def test_a_numba_that_refuses_to_be_imported(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.2 or less')")
    assert in_process(PYTHONPATH=f"{tmp_path}{os.pathsep}{HERE}") == ["False", SAID[1]]


def test_a_formula_as_text():
    text, makes = loops.write_out(
        inspect.unwrap(batchnorm._scale_and_shift), "mrr", loops.BY_COLUMN
    )
    assert makes and text.split("\n", 3)[3].startswith(
        """def loops(x_, scale_, shift_, OUT):
    for I in range(OUT.shape[0]):
        for J in range(OUT.shape[1]):
            x = x_[I, J]
            scale = scale_[J]
            shift = shift_[J]
            OUT[I, J] = x * scale + shift
"""
    )


def test_padding_wider_than_the_kernel_stays_within_the_patches(numba):
    memory = np.ones(20, np.float32)  # the patches, and what lies behind them
    x, found = np.ones((2, 3, 2), np.float32), memory[:12].reshape(2, 3, 1, 1, 2)
    patches._columns(x, found, 2, 1, 9, 0, 3)
    np.testing.assert_array_equal(memory, np.repeat([0, 1], [12, 8]))
