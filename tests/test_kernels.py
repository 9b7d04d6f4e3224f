"""Hand-written kernels: the same numbers as the NumPy beside them.

On a GPU the kernels themselves run. Without one, the stand-in does what they are there for, and
their code is compiled as C where there is a compiler: it is plain enough for that.
"""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyembed.backends.arrays import to_host
from tinyembed.layers.im2col import col2im, im2col

SOURCE = """
#include <stddef.h>
#include <stdbool.h>
#define T(x) ((T_)(x))
typedef double T_;
void run(const T_ *{input}, const int *g, T_ *out, ptrdiff_t size) {{
    int h = g[0], w = g[1], c = g[2], ho = g[3], wo = g[4], kh = g[5], kw = g[6];
    int sh = g[7], sw = g[8], ph = g[9], pw = g[10];
    for (ptrdiff_t i = 0; i < size; i++) {{
        T_ {output};
        {code}
        out[i] = {output};
    }}
}}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """{kernel's name: function of input, geometry and output} of both kernels, compiled as C."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("kernels")
    return {kernel.name: compile_kernel(kernel, compiler, folder) for kernel in (
        kernels.IM2COL, kernels.COL2IM)}  # fmt: skip


def compile_kernel(kernel, compiler, folder):
    names = kernel.inputs.split(",")[0].split()[-1], kernel.outputs.split()[-1]
    code = kernel.code.replace("T total", "T_ total")
    source = folder / f"{kernel.name}.c"
    source.write_text(SOURCE.format(input=names[0], output=names[1], code=code))
    library = source.with_suffix(".so")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-unused-variable"]
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    function = ctypes.CDLL(str(library)).run

    def run(given, geometry, out):
        given = np.ascontiguousarray(given, float)
        numbers = np.array(geometry, np.intc)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (given, numbers, out)]
        function(*pointers, ctypes.c_ssize_t(out.size))
        return out

    return run


kernels = pytest.importorskip("tinyembed.backends.cupy.kernels")


@st.composite
def cases(draw):
    """An image's shape, a kernel's, stride and padding: they fit or leave a rest."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    n, h, w, c = (
        draw(st.integers(1, 3)),
        *draw(st.tuples(*[st.integers(1, 7)] * 2)),
        draw(st.integers(1, 3)),
    )
    assume(h + 2 * padding[0] >= kernel[0] and w + 2 * padding[1] >= kernel[1])
    return (n, h, w, c), kernel, stride, padding


@given(case=cases(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_gpu_lays_out_and_folds_as_a_cpu(gpu, case, seed):
    shape, *geometry = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    patches = im2col(x, *geometry)
    np.testing.assert_array_equal(to_host(im2col(gpu.asarray(x), *geometry)), patches)
    other = rng.standard_normal(patches.shape)
    found = to_host(col2im(gpu.asarray(other), shape, *geometry))
    np.testing.assert_allclose(found, col2im(other, shape, *geometry), rtol=1e-13, atol=1e-13)


@given(case=cases(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_code_itself(compiled, case, seed):
    shape, kernel, stride, padding = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    patches = im2col(x, kernel, stride, padding)
    numbers = (*shape[1:], *patches.shape[1:3], *kernel, *stride, *padding)
    out = np.full(patches.shape, np.nan)
    np.testing.assert_array_equal(compiled["tinyembed_im2col"](x, numbers, out), patches)
    other = rng.standard_normal(patches.shape)
    out = np.full(shape, np.nan)
    found = compiled["tinyembed_col2im"](other, numbers, out)
    np.testing.assert_array_equal(found, col2im(other, shape, kernel, stride, padding))


def test_each_is_one_launch(kernels, gpu, standin):
    x = gpu.ones((2, 4, 6, 3), np.float32)
    standin.reset()
    patches = im2col(x, (2, 4), (1, 2), (0, 1))
    col2im(patches, x.shape, (2, 4), (1, 2), (0, 1))
    assert standin.counts()["launches"] == 2
