"""Run the whole suite without the engine: python tests/without_engine.py [arguments of pytest]

Once under TINYEMBED_BACKEND=plain, where the definitions in layers/ run everything; and once in a
copy of the checkout that lacks backends/numba and the kernels of backends/cupy. In the usual suite,
test_backends.py does the second with the layers' tests and twenty training steps.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
LEFT_OUT = (
    "tinyembed/backends/numba/",
    "tinyembed/backends/mpi/",
    "tinyembed/backends/cupy/kernels.py",
)


def copy_without_engine(folder):
    """Copy the files that git knows, but for those that are to be missing."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, listed):
        if not name.startswith(LEFT_OUT) and (HERE / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / name, folder / name)


def run_suite(folder, arguments, **environment):
    """Run pytest in a checkout. Returns its exit status."""
    print(f"\n{folder}: {environment}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
    ).returncode


def main(arguments):
    status = run_suite(HERE, arguments, TINYEMBED_BACKEND="plain")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / "tinyembed"
        copy_without_engine(folder)
        return run_suite(folder, arguments) or status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
