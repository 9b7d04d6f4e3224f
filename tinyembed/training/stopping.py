"""How a training is stopped: the step under way is finished, and all is saved."""

import signal
import threading


class Interrupted(Exception):
    """A signal stopped the training; all is saved. step: how far it came.

    exit_status: what a shell expects of a command that the signal ended.
    """

    def __init__(self, step, signal_number):
        self.step = step
        self.exit_status = 128 + signal_number


class GentleStop:
    """Within it, Ctrl-C or SIGTERM only sets `signal`, the signal's number. A second one raises.

    Signals reach the main thread alone; in another thread this does nothing.
    """

    def __init__(self):
        self.signal, self._handlers = None, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number, frame):
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
