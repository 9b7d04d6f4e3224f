"""The lock of a folder, between real processes, one of them killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tinyembed.errors import InputError
from tinyembed.storage.locks import NAME, locked

HOLD = """
import sys, time
from tinyembed.storage.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder):
    """A process that holds the lock of a folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout.readline() == "held\n"
    return child


def test_a_second_process_is_refused_and_a_dead_one_is_replaced(tmp_path):
    child = hold(tmp_path)
    try:
        name = f"--out {tmp_path}: process {child.pid} on {socket.gethostname()} is working in it"
        with pytest.raises(InputError, match=name), locked(tmp_path):
            raise AssertionError("both are in")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert (tmp_path / NAME).exists()  # a killed process cannot remove it
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / NAME).read_text()
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_its_block(tmp_path):
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), locked(tmp_path):
            raise ZeroDivisionError
    with locked(tmp_path):
        with pytest.raises(InputError), locked(tmp_path):
            pass
        with pytest.raises(InputError), locked(tmp_path):  # the refused one removed nothing
            pass


def test_a_damaged_file_is_no_lock(tmp_path):
    (tmp_path / NAME).write_bytes(b"\xff{")
    with locked(tmp_path):
        (tmp_path / NAME).write_text("[]")
        with pytest.raises(InputError, match="another process is working"), locked(tmp_path):
            pass


def test_never_two_at_once(tmp_path):
    inside, most, refused = 0, 0, 0

    def work():
        nonlocal inside, most, refused
        for _ in range(200):
            try:
                with locked(tmp_path):
                    inside += 1
                    most = max(most, inside)
                    time.sleep(0)
                    inside -= 1
            except InputError:
                refused += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
