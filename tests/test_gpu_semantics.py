"""What the kernels written by hand compute, without a GPU: their code as C++ on the host.

Each is compared with the NumPy function beside it; and, in the place of those functions in the
stand-in for CuPy, with the plain definitions of the operations.
"""

import functools
import subprocess

import numpy as np
import pytest
import test_backends
from cplusplus import COMPILER, Library, Size, key_of, sanitized
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyembed.backends import choice
from tinyembed.backends.dispatch import operations, variants_in
from tinyembed.layers.im2col import output_size

our_kernels = pytest.importorskip("tinyembed.backends.cupy.kernels")

from tinyembed.backends.cupy import column_sums as sums  # noqa: E402
from tinyembed.backends.cupy.im2col import col2im_kernel, im2col_kernel  # noqa: E402
from tinyembed.backends.cupy.kernel import Kernel  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler"),
]

DTYPES = np.float32, np.float64
ROUNDED = ("exp(", "log(", "tanh(")  # functions that NumPy rounds in other ways than C++
GEOMETRIES = (  # image, kernel, stride, padding: that of two layers, then odd ones
    ((60, 96, 1), (12, 6), (12, 6), (0, 0)),
    ((5, 16, 3), (2, 4), (1, 2), (0, 1)),
    ((1, 1, 1), (3, 5), (1, 1), (1, 2)),  # a kernel larger than the image
    ((7, 5, 2), (2, 2), (3, 4), (0, 0)),  # strides past the kernel: pixels that no patch meets
    ((5, 3, 3), (1, 1), (1, 1), (2, 3)),  # patches of nothing but padding
    ((3, 7, 1), (3, 3), (2, 2), (1, 1)),
)


def sizes_of(shape, kernel_size, stride, padding):
    """The constants of im2col's kernel, in its order."""
    h, w, c = shape
    return (
        h,
        w,
        c,
        *output_size((h, w), kernel_size, stride, padding),
        *kernel_size,
        *stride,
        *padding,
    )


def patches_shape(n, sizes):
    _, _, c, ho, wo, kh, kw, *_ = sizes
    return n, ho, wo, kh * kw * c


def as_dtype(x, dtype):
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


@functools.cache
def all_examples():
    """[(kernel, arguments)] of all kernels, and of im2col's in the geometries above."""
    found = [
        (k, arguments) for k, examples, _ in our_kernels.all_kernels() for arguments in examples
    ]
    rng = np.random.default_rng(0)
    for geometry in GEOMETRIES:
        sizes = sizes_of(*geometry)
        for n in (0, 1, 2):
            image, patches = (rng.random(s) for s in ((n, *sizes[:3]), patches_shape(n, sizes)))
            for wide in (False, True):
                found.append((im2col_kernel(sizes, wide), (image, patches)))
                found.append((col2im_kernel(sizes, wide), (patches, image)))
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All kernels as C++: with the constants of each example, and with any constants."""
    wanted = [
        (kernel, arguments, dtype, fixed)
        for kernel, arguments in all_examples()
        for dtype in DTYPES
        for fixed in (True, False)
    ]
    return Library(wanted, tmp_path_factory.mktemp("cplusplus"))


def copied(arguments):
    return [np.copy(x) if isinstance(x, np.ndarray) else x for x in arguments]


def check(kernel, arguments, run):
    """Compare what a kernel writes, by NumPy and by `run`, a function of the same arguments."""
    expected, found = copied(arguments), copied(arguments)
    kernel.same(*expected)
    run(found)
    exact = not any(name in kernel.code for name in ROUNDED)
    count = len(kernel.inputs.split(","))
    for n, (a, b) in enumerate(zip(found, expected, strict=True)):
        if exact or n < count:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 1e-14)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_compute_what_numpy_does(library, dtype):
    """Bit for bit, but where NumPy rounds in its own way; in both orders of the threads."""
    names = set()
    for kernel, arguments in all_examples():
        names.add(kernel.name)
        arguments = [as_dtype(x, dtype) for x in arguments]
        key = key_of(kernel, dtype, fixed=True)
        forward = check(kernel, arguments, lambda x, key=key: library.run(key, x))
        arrays = [n for n, x in enumerate(arguments) if isinstance(x, np.ndarray)]
        size = next(arguments[n].size for n in arrays if not library.kernels[key][1][n].raw)
        backward = copied(arguments)
        library.run(key, backward, loop=(size - 1, -1, -1))
        for n in arrays:
            np.testing.assert_array_equal(backward[n], forward[n])
    assert names == {kernel.name for kernel, *_ in our_kernels.all_kernels()}


def test_sanitizers_find_nothing(tmp_path):
    examples = [
        (kernel, [as_dtype(x, np.float32) for x in arguments], np.float32)
        for kernel, arguments in all_examples()
    ]
    done = sanitized(examples, tmp_path)
    if done is None:
        pytest.skip("this compiler has no sanitizers")
    assert done.stderr == b"" and done.stdout == b"done\n" and done.returncode == 0


FAULTS = {  # code of a kernel of x, raw, and y: what a sanitizer says of it
    "y = x[i];": "",
    "y = x[i + 1];": "heap-buffer-overflow",
    "y = x[i - 1];": "heap-buffer-overflow",
    "y = 1; x_of_i;": None,  # does not compile
    "int large = 2147483647 - 4; y = large + int(i);": "signed integer overflow",
}


@pytest.mark.parametrize("code", FAULTS)
def test_faults_are_found(tmp_path, code):
    """By sanitizers and by ourselves: indices outside of an array, and other numbers."""
    kernel = Kernel("faulty", "raw T x", "T y", code, lambda x, y: np.copyto(y, x), wide=False)
    arguments = np.arange(6.0), np.zeros(6)
    wanted = [(kernel, arguments, np.float64, True)]
    if FAULTS[code] is None:
        with pytest.raises(subprocess.CalledProcessError):
            Library(wanted, tmp_path)
        return
    run = functools.partial(Library(wanted, tmp_path).run, key_of(kernel, np.float64, fixed=True))
    if FAULTS[code]:
        with pytest.raises((AssertionError, IndexError)):
            check(kernel, arguments, run)
    else:
        check(kernel, arguments, run)
    done = sanitized([(kernel, arguments, np.float64)], tmp_path)
    if done is not None:
        assert FAULTS[code] in done.stderr.decode() and bool(done.returncode) == bool(FAULTS[code])


# im2col and col2im in any geometry


@st.composite
def geometries(draw):
    """An image's shape, a kernel's, stride and padding: they fit or leave a rest."""
    kernel_size, stride, padding = (
        draw(st.tuples(st.integers(low, high), st.integers(low, high)))
        for low, high in ((1, 5), (1, 6), (0, 4))
    )
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)))
    for size, k, p in zip(shape, kernel_size, padding, strict=False):
        assume(size + 2 * p >= k)
    return shape, kernel_size, stride, padding


@given(geometry=geometries(), n=st.integers(0, 3), wide=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_im2col_and_col2im_in_any_geometry(library, geometry, n, wide, seed):
    """Bit for bit as the plain definitions, in both types of numbers."""
    rng, sizes = np.random.default_rng(seed), sizes_of(*geometry)
    for dtype in DTYPES:
        image = rng.standard_normal((n, *geometry[0])).astype(dtype)
        patches = rng.standard_normal(patches_shape(n, sizes)).astype(dtype)
        definitions = operations()
        for kernel, arguments, plain in (
            (
                im2col_kernel(sizes, wide),
                (image, np.full_like(patches, np.nan)),
                definitions["im2col"](image, *geometry[1:]),
            ),
            (
                col2im_kernel(sizes, wide),
                (patches, np.full_like(image, np.nan)),
                definitions["col2im"](patches, image.shape, *geometry[1:]),
            ),
        ):
            key = key_of(kernel, dtype)
            found = check(kernel, arguments, lambda x, key=key: library.run(key, x, sizes))
            np.testing.assert_array_equal(found[1], plain)


@given(data=st.data(), geometry=geometries(), wide=st.booleans())
@settings(max_examples=100, deadline=None)
def test_im2col_in_arrays_too_large_for_memory(library, data, geometry, wide):
    """Up to 2^31 numbers with indices of 32 bits; past that with 64."""
    sizes = sizes_of(*geometry)
    (h, w, c), (kh, kw), (sh, sw), (ph, pw) = geometry
    most = (1 << 36 if wide else (1 << 31) - 1) // max(h * w * c, np.prod(patches_shape(1, sizes)))
    assume(most)
    image, patches = (most, h, w, c), patches_shape(most, sizes)
    sizes_in_memory = [Size(int(np.prod(s, dtype=object))) for s in (image, patches)]
    last = sizes_in_memory[1].size - 1
    i = last - data.draw(st.integers(0, min(last, 5000)))
    *place, rest = (int(x) for x in np.unravel_index(i, patches))
    a, b, channel = np.unravel_index(rest, (kh, kw, c))
    row, column = place[1] * sh + a - ph, place[2] * sw + b - pw
    inside = 0 <= row < h and 0 <= column < w
    pixel = ((place[0] * h + int(row)) * w + int(column)) * c + int(channel)
    key = key_of(im2col_kernel(sizes, wide), np.float32)
    found = library.indices(key, sizes_in_memory, sizes, i)
    assert found == ([pixel] if inside else [])
    # The way back: this number of the patches is among those of its pixel.
    if inside:
        key = key_of(col2im_kernel(sizes, wide), np.float32)
        found = library.indices(key, sizes_in_memory[::-1], sizes, pixel)
        assert i in found and len(found) == len(set(found)) <= kh * kw


# The operations


@pytest.fixture
def in_cplusplus(library, standin, monkeypatch):
    """The stand-in runs the C++ code of kernels, not the NumPy functions beside them.

    The names of those that ran: a set.
    """
    from cupy import _kernels

    known, ran = {}, set()
    for kernel, _ in all_examples():
        known.setdefault(kernel.name, kernel)

    def run(name, *arguments, **constants):
        kernel = known[name]
        ran.add(name)
        dtype = next(x.dtype for x in arguments[::-1] if isinstance(x, np.ndarray))
        key = key_of(kernel, dtype)
        whole = [not (p.raw or p.number) for p in library.kernels[key][1]]
        pairs = [*zip(arguments, whole, strict=True)]
        shape = np.broadcast_shapes(*[x.shape for x, all_of_it in pairs if all_of_it])
        given = [
            np.ascontiguousarray(np.broadcast_to(x, shape) if all_of_it else x)
            if isinstance(x, np.ndarray)
            else x
            for x, all_of_it in pairs
        ]
        library.run(key, given, [constants[name] for name in kernel.constants])
        for x, y in zip(arguments, given, strict=True):
            if isinstance(x, np.ndarray) and x.shape == y.shape and not np.array_equal(x, y):
                x[...] = y

    functions = {name: functools.partial(run, name) for name in known}
    monkeypatch.setattr(_kernels, "_kernels", lambda: functions)
    monkeypatch.setenv("TINYEMBED_BACKEND", "plain")
    choice.use("plain")
    return ran


@pytest.mark.parametrize("stages", ["as they are", "many"])
@pytest.mark.parametrize("name", sorted(variants_in(*our_kernels.HAND_WRITTEN)))
def test_operations_compute_what_their_definitions_say(in_cplusplus, monkeypatch, name, stages):
    """Once more as in test_backends.py, with the code of the kernels themselves."""
    if stages == "many":
        for constant, value in (("LAST", 4), ("SMALL", 20), ("FEWEST", 4), ("EACH", 3)):
            monkeypatch.setattr(sums, constant, value)
    test_backends.test_a_variant_computes_what_the_definition_says(None, "cupy", name)
    assert in_cplusplus or name == "mean"
