"""What cuBLAS is asked for, carried out by a column-major BLAS: SciPy's."""

import ctypes

import numpy as np
import pytest
import scipy.linalg.blas
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import add_matmul, matmul, to_host
from tinyembed.backends.cupy import cublas as blas
from tinyembed.backends.cupy import products
from tinyembed.backends.cupy.cublas import Matrix, product

pytestmark = pytest.mark.usefixtures("engine")

sizes = st.integers(1, 5)


def matrix(a, base):
    """A `Matrix` for a view of `base`, whose first number has the address 0."""
    address = a.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return Matrix(address, a.shape, tuple(s // a.itemsize for s in a.strides))


@st.composite
def operands(draw, shape, memory, rng):
    """A view of part of `memory` with that shape: rows apart or not, transposed or not."""
    *stack, rows, columns = shape
    turned = draw(st.booleans())
    r, c = (columns, rows) if turned else (rows, columns)
    gap, shift = draw(st.integers(0, 3)), draw(st.integers(0, 5))
    length = int(np.prod([*stack, r, c + gap]))
    part = memory[shift : shift + length].reshape(*stack, r, c + gap)[..., :c]
    part[...] = rng.standard_normal(part.shape)
    return part.swapaxes(-1, -2) if turned else part


def by_scipy(p, memories):
    """Do what a `Product` says, in memories of floats, with SciPy's `dgemm`."""
    b_memory, a_memory, c_memory = memories  # the operands change places
    for i in range(p.count):

        def stored(memory, address, stride, rows, columns, leading, i=i):
            begin = address // 8 + i * stride
            column_starts = begin + leading * np.arange(columns)
            assert rows <= leading
            return memory[column_starts[None, :] + np.arange(rows)[:, None]]

        a = stored(a_memory, p.a, p.stride_a, *((p.k, p.m) if p.transa else (p.m, p.k)), p.lda)
        b = stored(b_memory, p.b, p.stride_b, *((p.n, p.k) if p.transb else (p.k, p.n)), p.ldb)
        c = scipy.linalg.blas.dgemm(1.0, a, b, trans_a=p.transa, trans_b=p.transb)
        assert c.shape == (p.m, p.n) and p.m <= p.ldc
        begin = p.c // 8 + i * p.stride_c
        places = begin + p.ldc * np.arange(p.n)[None, :] + np.arange(p.m)[:, None]
        c_memory[places] = c


@given(data=st.data(), n=sizes, k=sizes, m=sizes, count=st.sampled_from([None, 1, 3]))
@settings(max_examples=150, deadline=None)
def test_the_arguments_of_a_product(data, n, k, m, count):
    rng = np.random.default_rng(0)
    memories = [np.full(400, np.nan) for _ in range(3)]
    stack = () if count is None else (count,)
    alone = data.draw(st.sampled_from("ab-"))  # a matrix that serves the whole stack
    a = data.draw(operands((*(() if alone == "a" else stack), n, k), memories[0], rng))
    b = data.draw(operands((*(() if alone == "b" else stack), k, m), memories[1], rng))
    gap = data.draw(st.integers(0, 2))
    rows = memories[2][: int(np.prod([*stack, n, m + gap]))].reshape(*stack, n, m + gap)
    c = rows[..., :m]
    p = product(matrix(a, memories[0]), matrix(b, memories[1]), matrix(c, memories[2]))
    expected = np.matmul(a, b)
    by_scipy(p, memories)
    np.testing.assert_allclose(c, np.broadcast_to(expected, c.shape), rtol=1e-12)
    assert np.isnan(rows[..., m:]).all()  # nothing beside it is touched


def test_what_the_library_cannot_read():
    x = np.zeros((6, 8))
    c = matrix(np.zeros((3, 2)), x)
    assert product(matrix(x[::2, ::2], x), matrix(x[:4, :2], x), c) is None  # gaps both ways
    assert product(matrix(x[2::-1, :4], x), matrix(x[:4, :2], x), c) is None  # backwards
    assert product(matrix(x[:3, :4], x), matrix(x[:5, :2], x), c) is None  # not of one length
    assert product(matrix(x[:3, :0], x), matrix(x[:0, :2], x), c) is None  # nothing to add up
    turned = matrix(np.zeros((2, 3)).T, x)
    assert product(matrix(x[:3, :4], x), matrix(x[:4, :2], x), turned) is None


@given(data=st.data(), n=sizes, k=sizes, m=sizes, stack=st.sampled_from([(), (2,)]))
@settings(max_examples=40, deadline=None)
def test_products_on_both_devices(xp, data, n, k, m, stack):
    """Views that are turned round or have gaps, what is added to, and what is written into."""
    rng = np.random.default_rng(0)
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.complex128]))

    def operand(rows, columns):
        x = xp.asarray(rng.standard_normal((*stack, columns, rows + 1)).astype(dtype))
        turned = x[..., :rows].swapaxes(-1, -2)
        how = data.draw(st.sampled_from(["turned", "plain", "gaps"]))
        if how == "plain":
            return xp.ascontiguousarray(turned)
        if how == "turned":
            return turned
        wide = xp.zeros((*stack, 2 * rows, 2 * columns), dtype)
        wide[..., ::2, ::2] = turned
        return wide[..., ::2, ::2]

    a, b = operand(n, k), operand(k, m)
    expected = np.matmul(to_host(a), to_host(b))
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    found = matmul(a, b)
    assert found.dtype == dtype and found.shape == expected.shape
    np.testing.assert_allclose(to_host(found), expected, **close)
    out = found.copy()
    add_matmul(out, a, b)
    np.testing.assert_allclose(to_host(out), 2 * expected, **close)
    turned = xp.zeros(expected.swapaxes(-1, -2).shape, dtype).swapaxes(-1, -2)
    add_matmul(turned, a, b)
    np.testing.assert_allclose(to_host(turned), expected, **close)


@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((2, 3), (3,)), ((2, 0), (0, 3)), ((0, 2), (2, 3))]
)
def test_products_of_other_shapes(xp, shapes):
    a, b = (np.random.default_rng(0).standard_normal(shape) for shape in shapes)
    np.testing.assert_allclose(to_host(matmul(xp.asarray(a), xp.asarray(b))), np.matmul(a, b))


def test_the_library_itself_multiplies(gpu, standin):
    """In the stand-in too it is called by ctypes, with addresses: one launch, no other copies."""
    x = gpu.ones((3, 4), np.float32)
    total = gpu.ones((3, 3), np.float32)
    standin.reset()
    add_matmul(total, x, x.T)
    assert standin.counts()["launches"] == 1
    assert to_host(total).tolist() == [[5.0] * 3] * 3


def test_a_library_that_is_not_there(gpu, monkeypatch):
    def none(name):
        raise OSError(f"{name}: cannot open shared object file")

    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", none)
        assert blas.load(13) is None
    monkeypatch.setattr(products, "_handle", lambda stream: None)
    x = gpu.ones((3, 4), np.float32)
    total = gpu.ones((3, 3), np.float32)
    add_matmul(total, x, x.T)
    assert to_host(matmul(x, x.T) + total).tolist() == [[9.0] * 3] * 3


def test_where_the_library_is_looked_for(monkeypatch, tmp_path):
    """By its name once CuPy has loaded it, else in CUDA's own folder and in those of pip."""
    done = []

    def missing(name):
        done.append(name)
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(blas.importlib, "import_module", done.append)
    monkeypatch.setattr(blas.site, "getsitepackages", lambda: [str(tmp_path / "pip [3]")])
    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setenv("CUDA_PATH", str(tmp_path / "cuda [13]"))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    places = [
        tmp_path / "cuda [13]" / "lib64" / "libcublas.so.13",
        tmp_path / "pip [3]" / "nvidia" / "cu13" / "lib" / "libcublas.so.13",
    ]
    for place in places:
        place.parent.mkdir(parents=True)
        place.touch()
    assert blas.load(13) is None
    first, *searched = done[:4]
    assert first == "cupy_backends.cuda.libs.cublas"
    assert searched == ["libcublas.so.13", *map(str, places)]


@pytest.mark.parametrize(("status", "kind"), [(3, MemoryError), (13, RuntimeError)])
def test_what_the_library_answers(status, kind):
    class Library:
        def cublasCreate_v2(self, handle):
            return status

    with pytest.raises(kind, match="cublasCreate_v2"):
        blas.Cublas(Library(), 0, 0)
