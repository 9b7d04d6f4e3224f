"""What runs the same step again and again: as it is, or as a GPU does it best.

A trainer hands over its step, and asks for each step's batch. The engine of this file runs the step
as it stands, on batches made on the host. The one in `cupy/engine.py` makes batches on the GPU and
records the step as a graph. The one in `mpi/engine.py` runs a part of each batch, and joins it with
the parts of other processes.
"""

from contextlib import nullcontext

import numpy as np


class Engine:
    """Runs steps on the CPU, one after the other."""

    xp = np
    leads = True  # whether this process writes files and shows progress: one of several does
    launcher = ()  # the words in front of a command that starts as many processes

    @property
    def about(self):
        """What a log says of the engine, beside the results: a dict."""
        return {}

    def batches(self, examples, size, numbers, steps):
        """The batches of a training: an object whose at(step) returns a `Batch` and the numbers.

        examples: `Examples`; numbers: (step) -> a few numbers that the step needs; steps: how many
        there will be.
        """
        return Draws(lambda step: examples.batch(step, size), numbers)

    def draws(self, draw, numbers, steps):
        """The same for a step that is given an integer array, draw(step), instead of a batch."""
        return Draws(draw, numbers)

    def make(self, examples, chosen, step):
        """The batch of given examples: `Examples.make`, where the model is."""
        return examples.make(chosen, step)

    def repeat(self, work):
        """`work`, a function without arguments or result, in the form that is called each step.

        It must find what changes in arrays that stay the same objects.
        """
        return work

    def running(self):
        """The context in which steps are taken."""
        return nullcontext()

    def unrecorded(self):
        """An engine for the same device that runs each step as it stands, in this process alone."""
        return self

    # What several processes that train one model do together. One process alone has nothing to add.

    def add_up(self, x):
        """Add to an array, in place, what it holds in the other processes."""

    def largest(self, number):
        """The largest of the processes' whole numbers."""
        return number

    def share(self, items):
        """Those of some items that this process works on: all of them."""
        return items

    def total(self, numbers):
        """The sums over the processes of {name: number}, where each worked on its share."""
        return numbers

    def once(self, work):
        """What work() returns: one process does it, and the others are told, also of an error."""
        return work()

    def last_words(self, line):
        """A context; if a process is killed within it, others may have to end: `line` is said."""
        return nullcontext()


class Draws:
    """What each step is given, made when it is asked for."""

    def __init__(self, draw, numbers):
        self.draw, self.numbers = draw, numbers

    def at(self, step):
        """What step `step` is given, and its numbers."""
        return self.draw(step), self.numbers(step)

    def look_ahead(self, step):
        """Prepare what step `step` is given: nothing here."""
