"""The run of benchmarks/gpu.py: one task after the other, and a file that grows with each.

A task that fails says why in the file, and the others go on. A part has some seconds; a task that
is not expected to end within them is left out, and the file says that too.
"""

import gc
import math
import os
import time
import traceback
from contextlib import suppress

import numpy as np

from benchmarks.machine import machine
from tinyembed.storage.files import write_json


class Bench:
    """What was asked for, where it runs, and what came out so far.

    options: of the command; xp: numpy or cupy; peer: the module gpu_peer, or None without PyTorch;
    file: the results file, or None; about: what the file says first; say: is told each line.
    """

    def __init__(self, options, xp, peer, file, about, say=print):
        self.options, self.xp, self.peer = options, xp, peer
        self.quick, self.file, self.say = options.check, file, say
        self.began = time.monotonic()
        self.peaks = {}  # what matrix products reach: {in TF32: 1e9 operations per second}
        self.result = {
            **about,
            "machine": machine(),
            "finished": False,
            "seconds": {},  # that each part took
            "failed": [],
            "left_out": [],
        }

    @property
    def left(self):
        """Seconds that are left of the whole; a check has no end."""
        if self.quick:
            return math.inf
        return self.options.seconds - (time.monotonic() - self.began)

    def run(self, part, tasks, seconds, lines_of):
        """Take the tasks of a part.

        tasks: [(what, function that returns an entry)], the most important first; seconds: that
        the part may take; lines_of: an entry as lines of text. A task is begun where half the time
        of the one before is left: what that one compiled is there now.
        """
        began, latest, late = time.monotonic(), 0.0, []
        self.result[part] = []
        for what, task in tasks:
            start = time.monotonic()
            left = min(self.left, math.inf if self.quick else seconds - (start - began))
            if left <= 0 or left < latest / 2:
                late.append(what)
                continue
            try:
                entry = task()
            except Exception as error:  # whatever it is: the next task may work
                self.note("failed", part, what, reason(error))
            else:
                self.result[part].append(entry)
                self.say("\n".join(lines_of(entry)))
                for name, why in entry.get("failed", {}).items():
                    self.note("failed", part, f"{what}: {name}", why)
            with suppress(Exception):  # a GPU that has failed says so in the next task
                self.release()
            latest = time.monotonic() - start
            self.result["seconds"][part] = time.monotonic() - began
            self.write()
        if late:
            why = f"no time was left of the {seconds} s of this part, or of all"
            self.note("left_out", part, "; ".join(late), why)

    def leave_out(self, part, why):
        """A part that cannot be taken here."""
        self.result[part] = []
        self.note("left_out", part, "all of it", why)

    def note(self, kind, part, what, why):
        """Why something is missing. kind: "failed" or "left_out"."""
        self.result[kind].append({"part": part, "what": what, "why": why})
        self.say(f"\n{kind.replace('_', ' ')}: {part}, {what}: {why}")
        self.write()

    def write(self):
        """All there is so far, into the file."""
        if self.file:
            write_json(self.file, self.result)

    def wait(self):
        """Until the GPU has done all it was given, by whichever library."""
        if self.xp is not np:
            self.xp.cuda.Device().synchronize()
        if self.peer:
            self.peer.wait()

    def release(self):
        """Give back the memory of what is no longer used, so that the next task starts alike."""
        gc.collect()
        if self.xp is not np:
            self.xp.get_default_memory_pool().free_all_blocks()
        if self.peer:
            self.peer.release()

    def use_tf32(self, on):
        """Multiply in TF32 or in FP32, both libraries; on a CPU, which has none, in FP32."""
        from tinyembed.backends.cupy.products import use_tf32

        if self.xp is not np:
            use_tf32(on)
        if self.peer:
            self.peer.use_tf32(on)


def reason(error):
    """An exception in one line: its kind, what it says, and the line of code that raised it."""
    said = " ".join(f"{error}".split())[:300]
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(where.filename)}:{where.lineno}"
    return f"{type(error).__name__}{': ' + said if said else ''} ({place})"
