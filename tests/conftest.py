"""For all tests: a cache folder of their own, folders of small made-up music, array modules."""

import sys
from pathlib import Path

import numpy as np
import pytest
from music import write_corpus

from tinyembed.backends import choice
from tinyembed.backends.arrays import import_cupy
from tinyembed.models.table import WIDTHS, Width

DEFAULT_BACKEND = choice.in_use()  # cpu, or what TINYEMBED_BACKEND asks for
STANDIN = Path(__file__).resolve().parent / "standin"  # for CuPy, where there is no GPU
SHARED = Path(__file__).resolve().parents[2] / "shared"  # real music, where there is any


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """No test reads or fills the cache of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYEMBED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def default_backend():
    """A command that ran within a test may have chosen another."""
    yield
    if choice.in_use() != DEFAULT_BACKEND:
        choice.use(DEFAULT_BACKEND)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip a test that is marked with an optional package where that is missing."""
    for mark in item.iter_markers("peer"):
        for name in mark.args:
            pytest.importorskip(name)


@pytest.fixture
def engine(monkeypatch):
    """The usual backends, in processes too, whatever TINYEMBED_BACKEND says: for tests of them."""
    monkeypatch.setenv("TINYEMBED_BACKEND", "cpu")
    choice.use("cpu")


@pytest.fixture(scope="module")
def tiny_width():
    """A width for tests that do not depend on it, where the arithmetic is next to nothing."""
    WIDTHS["tiny"] = Width(conv=(4, 6, 6, 8), dense=(16, 12, 100))
    yield "tiny"
    del WIDTHS["tiny"]


@pytest.fixture
def kernels(engine):
    """The same, or skip in a copy of the package that lacks the kernels of backends/cupy."""
    pytest.importorskip("tinyembed.backends.cupy.kernels")


def gpu_module():
    """CuPy where a GPU answers, else the stand-in for it."""
    try:
        import cupy

        if cupy.cuda.is_available():
            return cupy
        if not hasattr(cupy, "standin"):  # CuPy without a GPU
            for name in [n for n in sys.modules if n.partition(".")[0] in ("cupy", "cupyx")]:
                del sys.modules[name]
            import_cupy.cache_clear()
            raise ImportError
    except ImportError:
        sys.path.insert(0, str(STANDIN))
        import cupy

        cupy.standin.device = False  # --device auto remains the CPU; who wants it asks for it
    return cupy


@pytest.fixture(scope="session")
def gpu():
    """The module of arrays on a GPU: CuPy's, or where there is no GPU the stand-in's."""
    return gpu_module()


@pytest.fixture(scope="session", params=["cpu", "gpu"])
def xp(request):
    """The module of arrays on either device. What a test says of layers holds on both."""
    return np if request.param == "cpu" else gpu_module()


@pytest.fixture(scope="session")
def standin(gpu):
    """The stand-in's counts and prohibitions, or skip: a real GPU cannot say."""
    if not hasattr(gpu, "standin"):
        pytest.skip("there is a GPU, which counts nothing")
    return gpu.standin


@pytest.fixture(scope="session")
def piano_folder(tmp_path_factory):
    """A folder with 3 composers and 18 short pieces. Not to be written to."""
    return write_corpus(tmp_path_factory.mktemp("music") / "piano")


@pytest.fixture(scope="session")
def shared_corpus():
    """The folder of real pieces with `piano` and `odd` in it, or skip."""
    if not (SHARED / "corpus").is_dir():
        pytest.skip("no folder of real pieces beside this repository")
    return SHARED / "corpus"


@pytest.fixture(scope="session")
def shared_cases():
    """The folder of small odd inputs from public reports, or skip."""
    if not (SHARED / "cases").is_dir():
        pytest.skip("no folder of odd inputs beside this repository")
    return SHARED / "cases"
