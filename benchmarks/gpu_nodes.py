"""The kernels of our recorded step: name, blocks, occupancy, and time by CUDA events.

CuPy drops the description of a graph once it can be launched. So the step is recorded here by
NVIDIA's bindings of the driver (the package cuda-bindings, which PyTorch brings), which also say
what each node is. For the times an event is put between any two nodes: each kernel runs where it
runs in training, on the same data, and no profiler is needed. An event has its own time, that of
two with nothing between them; it is in each kernel's.
"""

import itertools
from collections import defaultdict
from contextlib import suppress

import numpy as np

from benchmarks.machine import spread
from tinyembed.backends.cupy.graphs import WARM_UP
from tinyembed.errors import WorkError

REPEATS = 20  # launches of the graph


def driver_bindings():
    """The module `cuda.bindings.driver`. Raises WorkError where it or the driver is missing."""
    try:
        from cuda.bindings import driver
    except ImportError:
        raise WorkError("cuda-bindings is not installed (pip install cuda-bindings)") from None
    try:
        driver.cuDriverGetVersion()
    except RuntimeError as error:
        raise WorkError(f"cuda-bindings finds no driver ({error})") from None
    return driver


def kernels(step, xp, driver, repeats):
    """The kernels of a recorded step.

    step: a function; driver: as `driver_bindings` returns it; repeats: launches.
    Returns {"nodes", "step_ms", "event_ms", "kernels"}: how many there are, the time of the graph
    with its events and of an event, and a dict for each kernel, the longest first; see `grouped`.
    Copies and fills are nodes too, and stand among the kernels without blocks.
    """
    recording = Recording(step, xp, driver)
    found = [recording.describe(node) for node in recording.nodes]
    step_ms, event_ms, times = recording.time(repeats)
    return {
        "nodes": len(found),
        "step_ms": spread(step_ms),
        "event_ms": event_ms,
        "kernels": grouped(found, times),
    }


def grouped(found, times):
    """Nodes alike in all that is said of them as one: {..., "launches", "ms": of all of them}."""
    alike = defaultdict(list)
    for node, ms in zip(found, times, strict=True):
        alike[tuple(node.items())].append(ms)
    rows = [{**dict(node), "launches": len(ms), "ms": sum(ms)} for node, ms in alike.items()]
    return sorted(rows, key=lambda row: -row["ms"])


class Recording:
    """A step as a graph of the driver's. Within `own_stream`.

    nodes: one after the other, as they run.
    """

    def __init__(self, step, xp, driver):
        self.xp, self.driver = xp, driver
        self.stream = xp.cuda.get_current_stream()
        self.pool = xp.cuda.MemoryPool()  # whose memory the graph uses
        properties = xp.cuda.runtime.getDeviceProperties(0)
        self.threads = properties.get("maxThreadsPerMultiProcessor", 2048)
        relaxed = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        with xp.cuda.using_allocator(self.pool.malloc):
            for _ in range(WARM_UP):
                step()
            self.call("cuStreamBeginCapture", self.stream.ptr, relaxed)
            try:
                step()
            except Exception:  # a stream must not be left recording
                with suppress(WorkError):
                    self.call("cuStreamEndCapture", self.stream.ptr)
                raise
            self.graph = self.call("cuStreamEndCapture", self.stream.ptr)
        self.nodes = self._in_order()

    def call(self, name, *arguments):
        """What a function of the driver returns. Raises WorkError where it fails.

        Of two versions of one name, the later.
        """
        function = getattr(self.driver, f"{name}_v2", None) or getattr(self.driver, name)
        error, *found = function(*arguments)
        if int(error):
            raise WorkError(f"{name}: {getattr(error, 'name', error)}")
        return found[0] if len(found) == 1 else found

    def _in_order(self):
        _, count = self.call("cuGraphGetNodes", self.graph)
        nodes, _ = self.call("cuGraphGetNodes", self.graph, count)
        *_, edges = self.call("cuGraphGetEdges", self.graph)
        before, after, *_ = self.call("cuGraphGetEdges", self.graph, edges)
        following = {int(a): b for a, b in zip(before, after, strict=True)}
        targets = {int(b) for b in after}
        chain = [node for node in nodes if int(node) not in targets]
        if len(chain) != 1 or not edges == len(following) == count - 1:
            raise WorkError(f"{count} nodes and {edges} edges: the recorded step is no chain")
        while int(chain[-1]) in following:
            chain.append(following[int(chain[-1])])
        return chain

    def describe(self, node):
        """What a node is: {"name"}, and of a kernel blocks, threads, registers and occupancy.

        occupancy: threads that a multiprocessor can hold of this kernel, by the most that it holds;
        at_once: blocks that one multiprocessor runs at the same time.
        """
        driver = self.driver
        kind = self.call("cuGraphNodeGetType", node)
        if kind != driver.CUgraphNodeType.CU_GRAPH_NODE_TYPE_KERNEL:
            return {"name": kind.name.removeprefix("CU_GRAPH_NODE_TYPE_").lower()}
        about = self.call("cuGraphKernelNodeGetParams", node)
        function = about.func
        if not int(function):  # a kernel of a library that was loaded as a whole
            function = self.call("cuKernelGetFunction", about.kern)
        name = self.call("cuFuncGetName", function)
        threads = about.blockDimX * about.blockDimY * about.blockDimZ
        registers = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_NUM_REGS
        at_once = self.call(
            "cuOccupancyMaxActiveBlocksPerMultiprocessor", function, threads, about.sharedMemBytes
        )
        return {
            "name": (name.decode() if isinstance(name, bytes) else str(name))[:120],
            "blocks": about.gridDimX * about.gridDimY * about.gridDimZ,
            "threads": threads,
            "registers": self.call("cuFuncGetAttribute", registers, function),
            "at_once": at_once,
            "occupancy": at_once * threads / self.threads,
        }

    def time(self, repeats):
        """Milliseconds: of the whole, one per launch; of an event; and of each node, a median."""
        events = [self.xp.cuda.Event() for _ in range(len(self.nodes) + 2)]
        self._link([], self.nodes[0], events[:2])
        for k, node in enumerate(self.nodes):
            following = self.nodes[k + 1] if k + 1 < len(self.nodes) else None
            self._link([node], following, events[k + 2 : k + 3])
        launchable = self.call("cuGraphInstantiate", self.graph, 0)
        taken = []
        try:
            for _ in range(repeats):
                self.call("cuGraphLaunch", launchable, self.stream.ptr)
                self.stream.synchronize()
                pairs = itertools.pairwise(events)
                taken.append([self.xp.cuda.get_elapsed_time(a, b) for a, b in pairs])
        finally:
            self.call("cuGraphExecDestroy", launchable)
            self.call("cuGraphDestroy", self.graph)
            self.pool.free_all_blocks()
        event_ms, *nodes = np.median(taken, axis=0).tolist()
        return [sum(each[1:]) for each in taken], event_ms, nodes

    def _link(self, before, following, events):
        """Put events between two nodes: the one in the list `before`, and the following."""
        for event in events:
            arguments = self.graph, before, len(before), event.ptr
            before = [self.call("cuGraphAddEventRecordNode", *arguments)]
        if following is not None:
            self.call("cuGraphAddDependencies", self.graph, before, [following], None, 1)
