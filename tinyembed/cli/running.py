"""How a command ends: with an exit status, and with at most one line of error message."""

import errno
import os
import signal
import sys

from tinyembed.errors import InputError, WorkError
from tinyembed.storage.text import escaped

INTERRUPTED, TERMINATED = 130, 143  # the statuses that shells expect after Ctrl-C and SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does, wherever it is."""


def run(main):
    """Run a command's main() and exit: 0 done, 1 failed, 2 wrong use; never with a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see tinyembed/__init__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    from tinyembed.backends.cpu.memory import keep_memory  # which loads NumPy: not for --help

    keep_memory()
    escape_output()
    sys.exit(exit_status(main))


def _terminate(number, frame):
    raise Terminated


def escape_output():
    """Have characters that the terminal or the pipe cannot encode escaped: no name is an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a program without a console has no streams
            stream.reconfigure(errors="backslashreplace")


def exit_status(main):
    """The exit status of main(). An exception becomes one line on the error stream."""
    try:
        return main() or 0
    except (InputError, WorkError) as error:
        return _fail(str(error), error.exit_status)
    except Terminated as stop:
        return _fail(f"stopped by SIGTERM{stop}", TERMINATED)
    except KeyboardInterrupt as stop:
        return _fail(f"interrupted{stop}", INTERRUPTED)
    except BrokenPipeError:  # the reader of the output has closed it: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _fail("out of memory; a smaller --batch-size or --width needs less", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = "; free some space and try again" if error.errno == errno.ENOSPC else ""
        return _fail(f"{where}{error.strerror or error}{hint}", 1)


def _fail(message, status):
    print(f"tinyembed: {escaped(message)}", file=sys.stderr)  # on one line, whatever is in a name
    return status
