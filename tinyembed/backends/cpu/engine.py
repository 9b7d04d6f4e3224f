"""The engine of a CPU with several cores."""

from tinyembed.backends.cpu.turns import taking_turns
from tinyembed.backends.engine import Engine


class CpuEngine(Engine):
    """Runs steps one after the other, on all cores, beside what else runs there (turns.py)."""

    def running(self):
        """As in `Engine`."""
        return taking_turns()
