"""A command that runs in several processes, which a launcher of MPI started."""

import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO

from tinyembed.backends.processes import started
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError, WorkError

PATIENCE = 10.0  # seconds between the first process that fails and the last that fails likewise


def together(work):
    """The exit status of work(company), where company is those who train together, None for one.

    Only the first process prints. What goes wrong in all of them is said once. When something goes
    wrong in one of them alone, that one says so and ends the others.
    """
    rank, size = started()
    if size == 1:
        return work(None)
    members, said = [], (StringIO(), StringIO())
    if rank == 0:
        status = exit_status(lambda: _work(work, size, members))
    else:
        with redirect_stdout(said[0]), redirect_stderr(said[1]):
            status = exit_status(lambda: _work(work, size, members))
    if not members:  # without MPI, each has found that out by itself
        time.sleep(PATIENCE / 5 if rank else 0)  # a launcher may end all when one of them fails
        return status
    (company,) = members
    if not company.meet_at_the_end(PATIENCE if status else None):
        for line in said[1].getvalue().splitlines():
            print(f"{line} (process {rank + 1} of {size})", file=sys.stderr)
        company.abort(status)
    return status


def _work(work, size, members):
    if not find_spec("tinyembed.backends.mpi"):
        raise InputError(
            f"a launcher of MPI started {size} processes, but this copy of tinyembed has no "
            "backends/mpi; TINYEMBED_MPI=0 lets each of them work by itself"
        )
    from tinyembed.backends.mpi.company import join

    company = join(size)
    members.append(company)
    try:
        return work(company)
    except (InputError, WorkError, OSError, MemoryError):
        raise
    except company.mpi.Exception as error:
        raise WorkError(f"MPI: {error}") from None
    except Exception:  # a mistake of ours; the others wait for this process
        traceback.print_exc()
        return 1
