"""What a step frees is there for the next one: counted in pages that the system hands out."""

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
from tinyembed.backends.cpu.memory import keep_memory

def pages_a_step():
    steps = 20
    for _ in range(2):  # the first round is to warm up
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(steps):
            x = [np.ones(n << 16, np.float32) for n in range(1, 12)]
            y = [a + 1 for a in x]
            del x, y
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / steps

usual = pages_a_step()
print(keep_memory(), usual, pages_a_step())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_freed_memory_is_kept():
    run = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    kept, usual, asked = run.stdout.split()
    assert kept == "True" and float(asked) < 20 < float(usual)
