"""How a command runs and ends: one way to fail, one way to be stopped."""

import errno
import os
import signal
import sys

from tinyembed.backends.cpu.memory import keep_memory
from tinyembed.errors import InputError, WorkError

INTERRUPTED = 130  # what a shell expects of a command that Ctrl-C ended


def run(main):
    """Run a command's main() and exit: 0 done, 1 failed, 2 wrong use; one line, no traceback."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see tinyembed/__init__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_memory()
    sys.exit(exit_status(main))


def exit_status(main):
    """main()'s exit status; what it raises becomes one line on the error stream."""
    try:
        return main() or 0
    except (InputError, WorkError) as error:
        return _complain(str(error), error.exit_status)
    except KeyboardInterrupt as stop:
        return _complain(f"interrupted{stop}", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _complain("out of memory; a smaller --batch-size or --width needs less", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = "; free some space and try again" if error.errno == errno.ENOSPC else ""
        return _complain(f"{where}{error.strerror or error}{hint}", 1)


def _complain(message, status):
    print(f"tinyembed: {message}", file=sys.stderr)
    return status
