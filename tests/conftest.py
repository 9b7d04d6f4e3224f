"""For all tests: a cache folder of their own, and folders of small made-up music."""

from pathlib import Path

import pytest
from music import write_corpus

SHARED = Path(__file__).resolve().parents[2] / "shared"  # real music, where there is any


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """No test reads or fills the cache of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYEMBED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
