"""A reader of scores that does what a file's name says. It imports little, so it starts quickly."""

import os
import re
import signal
import sys
import time
from pathlib import Path

from tinyembed.errors import InputError, MusicError


def strange_reader(path, any_meter):
    """Does what the name of the file says, or returns the process, the path and `any_meter`."""
    name = os.path.basename(path)
    if name == "sleep":
        Path(path).write_text(str(os.getpid()))
        time.sleep(300)
    elif name == "loop in C":  # no other thread of Python's runs meanwhile
        re.match(r"(a+)+$", "a" * 60 + "b")
    elif name == "fill":
        return [bytearray(10_000_000) for _ in range(100_000)]
    elif name == "exit":
        os._exit(3)
    elif name == "leave":
        sys.exit(1)  # the status of a time-out
    elif name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "divide":
        return 1 / 0
    elif name == "refuse":
        raise MusicError("out of tune")
    elif name == "impossible":
        raise InputError("no reader")
    elif name == "recurse":
        return strange_reader(path, any_meter)
    elif name == "print":
        print("a word", flush=True)
        print("a warning", file=sys.stderr, flush=True)
        os.write(1, b"more\n")
    return os.getpid(), path, any_meter
