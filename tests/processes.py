"""Processes of their own for tests of the course, as many at once as there are cores."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tinyembed.backends.cpu.threads import usable_cores


def python(*words, cwd, limit=None, **environment):
    """Run Python in a process of its own, on one core. Returns what subprocess.run does.

    limit: seconds of processor time after which the system ends the process.
    """
    command = [sys.executable, *map(str, words)]
    if limit:
        command = ["sh", "-c", f'ulimit -t {limit} && exec "$@"', "sh", *command]
    single = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
    environment = {
        **os.environ, **single, "MPLBACKEND": "Agg", "TINYEMBED_BACKEND": "cpu", **environment,
    }  # fmt: skip
    environment.pop("DISPLAY", None)
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@contextmanager
def on_all_cores(request, test, work):
    """Run `work` for each selected case of a parametrized test, as many at once as there are cores.

    request: of a fixture. Gives {name of the case: future of work(its parameters)}.
    """
    cases = [item.callspec for item in request.session.items if item.originalname == test]
    pool = ThreadPoolExecutor(usable_cores())
    try:
        yield {case.id: pool.submit(work, case.params) for case in cases}
    finally:
        pool.shutdown(cancel_futures=True)
