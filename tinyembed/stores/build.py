"""Read the files of a plan: each worker process takes one task after the other.

A worker that dies costs the file that it was reading. Another one takes its task up, and reads the
files that are left.
"""

import multiprocessing
from collections import deque
from contextlib import suppress
from multiprocessing.connection import wait

from tinyembed.backends.cpu.threads import usable_cores
from tinyembed.errors import InputError, WorkError
from tinyembed.music.reading import begin_worker, starting
from tinyembed.storage.progress import progress_bar
from tinyembed.stores.tasks import FOLDER, blame, is_done, read_task

OFTEN = 20  # files after which a worker tells how far it is


def run_tasks(plan, share=(0, 1), workers=None, progress=None):
    """Read what is not read yet of a plan's tasks.

    share: (i, n), every n-th task from task i on; workers: the number of processes, by default one
    per core. progress: False for no progress bar. Raises OSError where something cannot be written,
    and InputError where another process has the same task; nothing that was read is lost.
    """
    (plan.folder / FOLDER).mkdir(exist_ok=True)
    own = range(plan.n_tasks)[share[0] :: share[1]]
    waiting = deque(task for task in own if not is_done(plan.folder, task))
    left, total = (sum(map(plan.size, tasks)) for tasks in (waiting, own))
    about = {"total": total, "initial": total - left, "desc": "Reading", "unit": "file"}
    with progress_bar(progress, **about) as bar:
        _Crew(plan, waiting, bar).work(min(workers or usable_cores(), len(waiting)))


class _Crew:
    """Some workers, and what they have still to do."""

    def __init__(self, plan, waiting, bar):
        self.plan, self.waiting, self.bar = plan, waiting, bar
        self.workers = {}  # connection: (process, task)
        self.known, self.failed = {}, set()  # per task: files known; whether making a shard failed

    def work(self, n):
        try:
            for _ in range(n):
                self._hire()
            while self.workers:
                for connection in wait(list(self.workers)):
                    self._hear(connection)
        finally:  # also after Ctrl-C: what is being read now is read again next time
            for process, _ in self.workers.values():
                process.kill()
            for process, _ in self.workers.values():
                process.join()

    def _hire(self):
        """Start a worker on the next task, if there is one."""
        if not self.waiting:
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.plan), daemon=True)
        with starting():
            process.start()
        theirs.close()
        self._assign(ours, process)

    def _assign(self, connection, process):
        task = self.waiting.popleft() if self.waiting else None
        with suppress(OSError):  # if it is dead, that is heard next
            connection.send(task)
        if task is None:
            self.workers.pop(connection, None)
            process.join()
        else:
            self.workers[connection] = process, task

    def _hear(self, connection):
        process, task = self.workers[connection]
        try:
            message = connection.recv()
        except (EOFError, OSError):
            message = None
        if message is None:
            self._replace(connection, process, task)
        elif isinstance(message, Exception):
            raise message
        else:
            known, done = message
            self.bar.update(known - self.known.get(task, 0))
            self.known[task] = known
            if done:
                self._assign(connection, process)

    def _replace(self, connection, process, task):
        """A worker died. The file that it was reading is left out, and another takes its task."""
        del self.workers[connection]
        process.join()
        how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"{process.exitcode}"
        if not blame(self.plan, task, f"the process that read it died ({how})"):
            if task in self.failed:
                raise WorkError(f"the process that makes a shard died twice ({how})")
            self.failed.add(task)
        self.waiting.appendleft(task)
        self._hire()


def _serve(connection, plan):
    """A worker: read the tasks that it is sent, until it is sent None or its parent ends."""
    begin_worker(compiled=True)
    while (task := connection.recv()) is not None:
        known = 0

        def tell(n):
            nonlocal known
            known = n
            if n % OFTEN == 0:
                connection.send((n, False))

        try:
            read_task(plan, task, tell)
        except (InputError, OSError) as error:
            connection.send(error)
        else:
            connection.send((known, True))
