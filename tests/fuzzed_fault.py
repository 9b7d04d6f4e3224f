"""The process that fuzzes, with a fault in the reader of MIDI files: does it find the fault?

The environment's FAULT says which: an exception, a hang, or memory.
"""

import os
import sys

import numpy as np

from benchmarks import guided_child, guided_targets

read_midi = guided_targets.read_midi


def faulty(data, any_meter):
    piece = read_midi(data, any_meter)
    if piece.repairs:
        if os.environ["FAULT"] == "exception":
            raise IndexError("a fault")
        while os.environ["FAULT"] == "hang":
            pass
        np.ones(300_000_000, np.uint8)
    return piece


if __name__ == "__main__":
    guided_targets.read_midi = faulty
    guided_child.main(*sys.argv[1:])
