"""Streams that record what is started on them, and the graphs that do it again."""

import weakref

from cupy import standin
from cupy.cuda import runtime
from cupy.cuda.pool import current, default

_streams = []  # the current one is the last; none is the null stream


class Stream:
    """A queue of work. Here everything is done at once, but while recording nothing is done."""

    _numbers = iter(range(1, 1 << 62))

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else next(self._numbers) << 8
        self.non_blocking = non_blocking
        self._recording = None

    def __enter__(self):
        _streams.append(self)
        return self

    def __exit__(self, *error):
        _streams.remove(self)

    def use(self):
        _streams.append(self)
        return self

    def synchronize(self):
        standin.synchronise("Stream.synchronize")

    def record(self, event=None):
        from cupy.cuda import Event

        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        pass

    @property
    def done(self):
        return True

    def is_capturing(self):
        return self._recording is not None

    def begin_capture(self, mode=None):
        if not self.ptr:
            raise runtime.CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the null stream")
        if self._recording is not None:
            raise runtime.CUDARuntimeError("cudaErrorIllegalState: capturing already")
        self._recording = Recording()

    def end_capture(self):
        if self._recording is None:
            raise runtime.CUDARuntimeError("cudaErrorIllegalState: not capturing")
        recording, self._recording = self._recording, None
        return Graph._of(recording)


Stream.null = Stream(null=True)


def get_current_stream():
    return _streams[-1] if _streams else Stream.null


def recording():
    """What the current stream records into, or None."""
    return get_current_stream()._recording


class Recording:
    """Work that was recorded, and the memory it touches."""

    def __init__(self):
        self.work = []
        self.nodes = 0  # kernels; some work is none, some is several
        self.memory = []  # of arrays from within: it stays, since cuBLAS writes to addresses
        self.born = weakref.WeakSet()  # buffers from within
        self.pools = set()  # of those
        self.touched = set()  # weak references to buffers from outside
        self.invalid = None

    def add(self, work, buffers, nodes=1):
        self.work.append(work)
        self.nodes += nodes
        for buffer in buffers:
            if buffer not in self.born:
                self.touched.add(weakref.ref(buffer))

    def bear(self, buffer):
        if buffer.pool is default:
            self.invalid = "memory of the default pool, which hands it out again after the capture"
        self.born.add(buffer)
        self.pools.add(weakref.ref(buffer.pool))


def refuse(what):
    """Raise, and spoil the capture, where the current stream is recording."""
    now = recording()
    if now is not None:
        now.invalid = what
        raise runtime.CUDARuntimeError(
            f"cudaErrorStreamCaptureUnsupported: operation not permitted when stream is "
            f"capturing ({what})"
        )


def in_use():
    """The pool that memory comes from."""
    return current[-1]


class Graph:
    """Recorded work, to be done again in the same memory."""

    def __init__(self, *arguments):
        raise NotImplementedError("a graph comes from a stream's end_capture")

    @classmethod
    def _of(cls, recording):
        if recording.invalid:
            raise runtime.CUDARuntimeError(
                f"cudaErrorStreamCaptureInvalidated: {recording.invalid}"
            )
        if len(recording.born):
            sizes = [buffer.nbytes for buffer in recording.born]
            raise runtime.CUDARuntimeError(
                f"{len(sizes)} arrays made while capturing outlive it ({sizes} bytes)"
            )
        graph = cls.__new__(cls)
        graph._recording = recording
        return graph

    def launch(self, stream=None):
        refuse("a graph inside a graph")
        if any(pool() is None for pool in self._recording.pools):
            raise runtime.CUDARuntimeError("the graph's memory pool is gone")
        if any(buffer() is None for buffer in self._recording.touched):
            raise runtime.CUDARuntimeError("the graph reads an array that is gone")
        for work in self._recording.work:
            work()
        standin.count("graph_launches")
        standin.count("replayed", self._recording.nodes)

    def upload(self, stream=None):
        pass
