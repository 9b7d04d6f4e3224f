"""The engine of one of several processes: its part of each batch, joined with the others' parts."""

import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext, suppress

from tinyembed.backends.cpu import threads
from tinyembed.backends.engine import Engine
from tinyembed.backends.mpi.variants import joined
from tinyembed.backends.sharing import blas
from tinyembed.errors import InputError

# A process that a launcher kills has no time to speak. This one only waits for the pipe to close,
# in a session of its own, and speaks if nothing came through before.
LAST_WORDS = "import sys; sys.stdin.read(1) or print(sys.argv[1], file=sys.stderr)"


class MpiEngine(Engine):
    """Runs steps on one device, as another engine does, in several processes.

    alone: the engine for this process's part, which records no graph; company: a `Company`.
    """

    def __init__(self, alone, company):
        self.alone, self.company, self.xp = alone, company, alone.xp
        self.leads = company.rank == 0
        self.launcher = "mpiexec", "-n", str(company.size)
        _share_cores(company.local_size)

    @property
    def about(self):
        """As in `Engine`."""
        return {**self.alone.about, "processes": self.company.size}

    def batches(self, examples, size, numbers, steps):
        """As in `Engine`: this process's rows of each batch.

        Raises InputError for a batch that does not have an example for each process.
        """
        together = examples.spec.excerpt or 1  # examples that must not be parted
        first, end = (
            size // together * rank // self.company.size * together
            for rank in (self.company.rank, self.company.rank + 1)
        )
        if size // together < self.company.size:
            things = f"excerpts of {together} examples" if together > 1 else "examples"
            raise InputError(
                f"--batch-size {size}: {size // together} {things} cannot be split over "
                f"{self.company.size} processes; start fewer, or give a larger one"
            )
        part = examples.part(size, slice(first, end))
        return self.alone.batches(part, end - first, numbers, steps)

    def make(self, examples, chosen, step):
        """As in `Engine`: a whole batch, for this process."""
        return self.alone.make(examples, chosen, step)

    def repeat(self, work):
        """As in `Engine`: within `work`, operations exchange what they need of the whole batch."""
        run = self.alone.repeat(work)

        def run_together():
            with joined(self.company):
                run()

        return run_together

    def running(self):
        """As in `Engine`."""
        return self.alone.running()

    def unrecorded(self):
        """As in `Engine`."""
        return self.alone.unrecorded()

    def add_up(self, x):
        """As in `Engine`, by one Allreduce."""
        self.company.add_up(x)

    def largest(self, number):
        """As in `Engine`."""
        return self.company.largest(number)

    def share(self, items):
        """As in `Engine`: every n-th item of n processes."""
        return items[self.company.rank :: self.company.size]

    def total(self, numbers):
        """As in `Engine`."""
        parts, sums = self.company.objects(numbers), {}
        for part in parts:
            for name, number in part.items():
                sums[name] = sums.get(name, 0.0) + number
        return sums

    def once(self, work):
        """As in `Engine`: the first process does it."""
        return self.company.once(work)

    def last_words(self, line):
        """As in `Engine`: launchers of MPI kill all processes when one was killed."""
        return _last_words(line) if self.leads else nullcontext()


def _share_cores(processes):
    """Give each process of a machine as many threads as others, if nobody said how many."""
    said = any(os.environ.get(f"{name}_NUM_THREADS") for name in ("OPENBLAS", "OMP"))
    if not said and threads.usable_cores() == os.cpu_count():  # a launcher may bind to some cores
        each = max(1, threads.usable_cores() // processes)
        os.environ["OMP_NUM_THREADS"] = str(each)
        threads.workers.cache_clear()
        blas().limit(limits=each)


@contextmanager
def _last_words(line):
    command = [sys.executable, "-I", "-S", "-c", LAST_WORDS, line]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    waiting = subprocess.Popen(command, **pipes, start_new_session=True)
    try:
        yield
    finally:
        with suppress(OSError):  # somebody killed it
            waiting.communicate(b".")
