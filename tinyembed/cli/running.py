"""How a command ends: with an exit status, and with at most one line of error message."""

import errno
import os
import signal
import sys

from tinyembed.errors import InputError, WorkError

INTERRUPTED = 130  # the status that shells expect after Ctrl-C


def run(main):
    """Run a command's main() and exit: 0 done, 1 failed, 2 wrong use; never with a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see tinyembed/__init__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from tinyembed.backends.cpu.memory import keep_memory  # which loads NumPy: not for --help

    keep_memory()
    sys.exit(exit_status(main))


def exit_status(main):
    """The exit status of main(). An exception becomes one line on the error stream."""
    try:
        return main() or 0
    except (InputError, WorkError) as error:
        return _fail(str(error), error.exit_status)
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
    print(f"tinyembed: {message}", file=sys.stderr)
    return status
