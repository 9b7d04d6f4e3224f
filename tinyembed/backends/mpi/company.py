"""The processes that train together, and how they exchange arrays. The only file to import mpi4py.

MPI reads and writes NumPy's arrays where they are. An array on a GPU goes by way of the host's
memory, unless MPI says that it knows GPUs ("cuda" among its kinds of memory, MPI 4.1). Either way
the stream's work is done before MPI is given a buffer.

MPI's own calls wait by spinning: where several processes share a core, the one that is waited for
would not run. Here a process that waits for others sleeps between two looks, soon where processes
share cores, and else only when it waits for longer than the parts of a step differ.
"""

import os
import pickle
import sys
import time
import warnings

import numpy as np

from tinyembed.backends.arrays import array_module, import_cupy, to_host
from tinyembed.backends.cpu.threads import cores
from tinyembed.errors import InputError, WorkError

# Seconds of waiting awake. To sleep after 0.2 ms on cores of their own too made a step of two
# processes take 0.30 s instead of 0.26 at `paper` width.
SPIN, SPIN_ON_OWN_CORE = 2e-4, 5e-3
DOZE = 1e-3  # seconds of sleep between two looks, at most
INSTALL = 'pip install "tinyembed[mpi]"'


def join(size):
    """The `Company` of the `size` processes that a launcher says it started.

    Raises InputError where there is no MPI, or where it is not the launcher's.
    """
    here = f"a launcher of MPI started {size} processes"
    alone = "TINYEMBED_MPI=0 lets each of them work by itself"
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # the main thread alone asks MPI for something
        with warnings.catch_warnings():  # it warns of another MPI, which is said below
            warnings.simplefilter("ignore", RuntimeWarning)
            from mpi4py import MPI
    except ImportError:
        raise InputError(f"{here}, but there is no mpi4py: {INSTALL}; {alone}") from None
    except RuntimeError as error:  # it looks for MPI's library when it is imported
        why = " ".join(str(error).split())
        raise InputError(f"{here}, but mpi4py finds no MPI ({why}): {INSTALL}; {alone}") from None
    if size != MPI.COMM_WORLD.size:
        library = " ".join(MPI.Get_library_version().strip("\0 ").partition("\n")[0].split())
        raise InputError(
            f"{here}, but mpi4py sees {MPI.COMM_WORLD.size}: it uses another MPI ({library}); "
            f"start it by that one's mpiexec, or build mpi4py for the launcher's: pip install "
            f"--no-binary mpi4py mpi4py; {alone}"
        )
    return Company(MPI, MPI.COMM_WORLD)


class Company:
    """Some processes, of which this is one.

    mpi: the module `mpi4py.MPI`; world: a communicator.
    rank: the place of this process, from 0 on; size: how many there are; local_rank, local_size:
    the same among those on this machine.
    """

    def __init__(self, mpi, world):
        self.mpi, self.comm, self.end = mpi, world.Dup(), world.Dup()
        self.rank, self.size = world.rank, world.size
        local = world.Split_type(mpi.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = local.rank, local.size
        has_own_core = self.local_size <= len(set().union(*local.allgather(cores())))
        self.spin = SPIN_ON_OWN_CORE if has_own_core else SPIN
        kinds = world.Get_info().get("mpi_memory_alloc_kinds") or ""
        self.knows_gpus = "cuda" in kinds

    def choose_gpu(self, xp):
        """Give the processes of one machine its GPUs in turn."""
        if (count := xp.cuda.runtime.getDeviceCount()) > 1:
            xp.cuda.Device(self.local_rank % count).use()

    # Arrays, of NumPy or CuPy.

    def add_up(self, x):
        """Add to x, in place, the same array of all other processes."""
        buffer = self._buffer(x)
        self._wait(self.comm.Iallreduce(self.mpi.IN_PLACE, buffer, self.mpi.SUM))
        if buffer is not x:
            x[...] = array_module(x).asarray(buffer)

    def gather_rows(self, x):
        """The rows of all processes, one after the other: (n, ...) -> (N, ...)."""
        counts, row = self.counts(len(x)), int(np.prod(x.shape[1:]))
        mine = self._buffer(x)
        whole = array_module(mine).empty((sum(counts), *x.shape[1:]), x.dtype)
        self._wait(self.comm.Iallgatherv(mine, [whole, [n * row for n in counts]]))
        return array_module(x).asarray(whole)

    def sum_of_own_rows(self, x, n):
        """The processes' arrays added up, and of that this one's n rows: (N, ...) -> (n, ...)."""
        counts, row = self.counts(n), int(np.prod(x.shape[1:]))
        all_rows = self._buffer(x)
        mine = array_module(all_rows).empty((n, *x.shape[1:]), x.dtype)
        sizes = [n * row for n in counts]
        self._wait(self.comm.Ireduce_scatter(all_rows, mine, sizes, self.mpi.SUM))
        return array_module(x).asarray(mine)

    def _buffer(self, x):
        """x, or a copy of it, where MPI can read it, without gaps."""
        x = array_module(x).ascontiguousarray(x)
        if array_module(x) is np:
            return x
        import_cupy().cuda.get_current_stream().synchronize()
        return x if self.knows_gpus else to_host(x)

    # A few numbers.

    def counts(self, n):
        """Everyone's n, a list."""
        return [int(m) for m in self.gather(np.array([n]))[:, 0]]

    def gather(self, numbers):
        """Everyone's few numbers, on the host: (k,) -> (size, k) float64."""
        mine = np.ascontiguousarray(numbers, float)
        whole = np.empty((self.size, len(mine)))
        self._wait(self.comm.Iallgather(mine, whole))
        return whole

    def largest(self, number):
        """The largest of everyone's whole numbers."""
        found = np.array([number], np.int64)
        self._wait(self.comm.Iallreduce(self.mpi.IN_PLACE, found, self.mpi.MAX))
        return int(found[0])

    def objects(self, thing):
        """Everyone's Python object, a list."""
        self._wait(self.comm.Ibarrier())
        return self.comm.allgather(thing)

    def compare(self, settings):
        """Raise InputError on all processes unless everyone's {name: value} are equal."""
        first, *others = self.objects(settings)
        for rank, other in enumerate(others, start=2):
            for name in first:
                if other.get(name) != first[name]:
                    option = name if name == "version" else f"--{name.replace('_', '-')}"
                    raise InputError(
                        f"{option}: {first[name]} in process 1 of {self.size} and "
                        f"{other.get(name)} in process {rank}; start all of them with the same"
                    )

    # Work that one process does for all, and the end.

    def once(self, work):
        """What work() returns in the first process, or the error it raises, on all of them."""
        outcome = None
        if self.rank == 0:
            try:
                outcome = work(), None
            except (InputError, WorkError, OSError, MemoryError) as error:
                outcome = None, error
            except BaseException:
                raise  # the others wait, until this process ends them
        result, error = self._broadcast(outcome)
        if error:
            raise error
        return result

    def meet_at_the_end(self, seconds=None):
        """Wait for all. Returns whether they came within so many seconds, None for any time."""
        return self._wait(self.end.Ibarrier(), seconds)

    def _broadcast(self, thing):
        """The first process's Python object."""
        pickled = np.frombuffer(pickle.dumps(thing), np.uint8).copy()
        length = np.array([len(pickled)])
        self._wait(self.comm.Ibcast(length))
        pickled = pickled if self.rank == 0 else np.empty(length[0], np.uint8)
        self._wait(self.comm.Ibcast(pickled))
        return pickle.loads(pickled.tobytes())

    def _wait(self, request, seconds=None):
        began = time.perf_counter()
        while not request.Test():
            waited = time.perf_counter() - began
            if seconds is not None and waited > seconds:
                return False
            if waited > self.spin:
                time.sleep(min(DOZE, waited / 10))
        return True

    def abort(self, status):
        """End all processes at once, this one with an exit status.

        The launcher exits with the same status, with one exception. On an abort, mpiexec of MPICH
        kills all processes, sometimes this one before it has exited, and then exits with 9, the
        status of a killed process. With some fifteen processes per core, that happened in 5 of 300
        runs. Exiting without an abort is worse: it happened in 137 of 300.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add a line of its own
        self.comm.Abort(status)
