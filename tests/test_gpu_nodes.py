"""benchmarks/gpu_nodes.py against a pretended driver: the recorded step, node by node.

The pretended driver keeps the nodes of the mock of CuPy and runs them by their edges; node k takes
k + 1 milliseconds, an event half of one.
"""

import random
from collections import Counter, defaultdict
from enum import IntEnum
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu, gpu_inside
from benchmarks.gpu_nodes import Recording, grouped, kernels
from tinyembed.backends.cupy.graphs import own_stream
from tinyembed.errors import WorkError
from tinyembed.evaluation import predictor
from tinyembed.models.table import WIDTHS, Width


class Status(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1


OK = Status.CUDA_SUCCESS


class CUgraphNodeType(IntEnum):
    CU_GRAPH_NODE_TYPE_KERNEL = 0
    CU_GRAPH_NODE_TYPE_MEMSET = 2
    CU_GRAPH_NODE_TYPE_EVENT_RECORD = 7


class Driver:
    """The functions of cuda.bindings.driver that are called, with their arguments and answers."""

    CUgraphNodeType = CUgraphNodeType
    CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED="relaxed")
    CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_NUM_REGS="registers")

    def __init__(self, xp):
        self.xp, self.events, self.destroyed, self.mode = xp, {}, [], None
        self.nodes, self.edges, self.event_of, self.clock = [], [], {}, 0.0

    def cuStreamBeginCapture(self, stream, mode):
        assert stream == self.xp.cuda.get_current_stream().ptr
        self.mode = mode
        self.xp.cuda.get_current_stream().begin_capture()
        return (OK,)

    def cuStreamEndCapture(self, stream):
        recorded = self.xp.cuda.get_current_stream().end_capture()
        self.nodes = list(range(100, 100 + len(recorded._recording.work)))
        self.edges = list(pairwise(self.nodes))
        self.event_of = {}
        return OK, "graph"

    def cuGraphGetNodes(self, graph, count=0):
        shuffled = random.Random(0).sample(self.nodes, len(self.nodes))
        return OK, shuffled[:count], len(self.nodes)

    def cuGraphGetEdges(self, graph, count=0):
        edges = random.Random(1).sample(self.edges, len(self.edges))[:count]
        return OK, [a for a, _ in edges], [b for _, b in edges], [None] * count, len(self.edges)

    def cuGraphNodeGetType(self, node):
        kinds = CUgraphNodeType
        return OK, kinds.CU_GRAPH_NODE_TYPE_MEMSET if node == 101 else (
            kinds.CU_GRAPH_NODE_TYPE_KERNEL
        )

    def cuGraphKernelNodeGetParams(self, node):
        of_a_library = node == 102
        return OK, SimpleNamespace(
            func=0 if of_a_library else node, kern=node + 1000 if of_a_library else 0,
            gridDimX=node, gridDimY=2, gridDimZ=3, blockDimX=32, blockDimY=4, blockDimZ=2,
            sharedMemBytes=64,
        )  # fmt: skip

    def cuKernelGetFunction(self, kernel):
        return OK, kernel - 1000

    def cuFuncGetName(self, function):
        return OK, f"kernel{function}".encode()

    def cuFuncGetAttribute(self, attribute, function):
        assert attribute == "registers"
        return OK, 40

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(self, function, threads, shared):
        assert (threads, shared) == (256, 64)
        return OK, 4

    def cuGraphAddEventRecordNode(self, graph, before, count, event):
        assert len(before) == count
        node = 10_000 + len(self.event_of)
        self.event_of[node] = self.xp.events[event]
        self.edges += [(b, node) for b in before]
        return OK, node

    def cuGraphAddDependencies_v2(self, graph, before, after, data, count):
        assert len(before) == len(after) == count and data is None
        self.edges += zip(before, after, strict=True)
        return (OK,)

    def cuGraphAddDependencies(self, *arguments):
        raise AssertionError("the older of two versions")

    def cuGraphInstantiate(self, graph, flags):
        return OK, "launchable"

    def cuGraphLaunch(self, launchable, stream):
        missing, after = Counter(b for _, b in self.edges), defaultdict(list)
        for a, b in self.edges:
            after[a].append(b)
        ready = [node for node in (*self.nodes, *self.event_of) if not missing[node]]
        while ready:
            assert len(ready) == 1  # nothing runs beside an event
            node = ready.pop()
            self.clock += 0.5 if node in self.event_of else node - 99
            if node in self.event_of:
                self.event_of[node].time = self.clock / 1e3
            missing.subtract(after[node])
            ready += [b for b in set(after[node]) if not missing[b]]
        return (OK,)

    def cuGraphExecDestroy(self, launchable):
        self.destroyed.append(launchable)
        return (OK,)

    cuGraphDestroy = cuGraphExecDestroy


@pytest.fixture
def pretended(gpu, standin, monkeypatch, engine):
    """The mock of CuPy, whose events have addresses: `events` finds them again."""
    found = {}

    class Event(gpu.cuda.Event):
        def __init__(self):
            super().__init__()
            self.ptr = 5000 + len(found)
            found[self.ptr] = self

    monkeypatch.setattr(gpu.cuda, "Event", Event)
    monkeypatch.setattr(gpu, "events", found, raising=False)
    return gpu


def work_of(xp):
    """A step of four kernels, which changes what it begins with."""
    x = xp.asarray(np.arange(12.0).reshape(3, 4), np.float32)

    def work():
        y = xp.tanh(x)
        y = y * 2
        x[...] = y + 1

    return work


def test_each_kernel_has_its_own_time_blocks_and_occupancy(pretended):
    driver = Driver(pretended)
    with own_stream(pretended):
        found = kernels(work_of(pretended), pretended, driver, repeats=3)
    count = found["nodes"]
    assert count > 2 and driver.mode == "relaxed"
    assert found["event_ms"] == pytest.approx(0.5)
    assert found["step_ms"]["median"] == pytest.approx(count * (count + 1) / 2 + count / 2)
    # The longest comes first: the last node. The second one is a fill, which has no blocks.
    names = [f"kernel{100 + k}" for k in range(count)]
    names[1] = "memset"
    assert [row["name"] for row in found["kernels"]] == names[::-1]
    assert [row["ms"] for row in found["kernels"]] == pytest.approx(
        [k + 1 + 0.5 for k in range(count)][::-1]
    )
    last = found["kernels"][0]
    assert (last["blocks"], last["threads"], last["registers"]) == (6 * (99 + count), 256, 40)
    assert last["at_once"] == 4 and last["occupancy"] == 4 * 256 / 2048
    assert "blocks" not in found["kernels"][-2]
    assert driver.destroyed == ["launchable", "graph"]


def test_the_part_of_the_command(pretended, standin, monkeypatch, capsys):
    """Of all three steps, over the mock: its lines name the kernels."""
    monkeypatch.setattr(standin, "device", True)
    monkeypatch.setitem(WIDTHS, "tiny", Width(conv=(4, 6, 6, 8), dense=(16, 12, 100)))
    monkeypatch.setattr(predictor, "UNITS", 16)
    for module in (gpu, gpu_inside):  # the recording is another for each step
        monkeypatch.setattr(module, "driver_bindings", lambda: Driver(pretended))
    assert gpu.main(["--check", "--parts", "kernels", "--width", "tiny"]) == 0
    printed = capsys.readouterr().out
    for text in ("context, tiny width, batch 10", "contrastive, tiny", "predictor, tiny"):
        assert text in printed
    assert " nodes, " in printed and " 50%  kernel" in printed


def test_nodes_that_run_side_by_side_are_refused(pretended):
    driver = Driver(pretended)
    end = driver.cuStreamEndCapture

    def forked(stream):
        found = end(stream)
        driver.edges[0] = (driver.nodes[0], driver.nodes[2])
        return found

    driver.cuStreamEndCapture = forked
    with own_stream(pretended), pytest.raises(WorkError, match="no chain"):
        Recording(work_of(pretended), pretended, driver)


def test_an_error_of_the_driver_is_named(pretended):
    driver = Driver(pretended)
    driver.cuGraphInstantiate = lambda graph, flags: (Status.CUDA_ERROR_INVALID_VALUE, None)
    with own_stream(pretended), pytest.raises(WorkError, match=r"Instantiate: CUDA_ERROR_INVALID"):
        kernels(work_of(pretended), pretended, driver, 1)


def test_a_step_that_fails_leaves_no_stream_recording(pretended):
    driver, work, done = Driver(pretended), work_of(pretended), []

    def failing():
        work()
        done.append(1)
        if len(done) == 3:
            raise ValueError("in the step")

    with own_stream(pretended):
        with pytest.raises(ValueError, match="in the step"):
            Recording(failing, pretended, driver)
        assert not pretended.cuda.get_current_stream().is_capturing()


def test_kernels_that_are_alike_are_added_up():
    a, b = {"name": "a", "blocks": 1}, {"name": "b", "blocks": 1}
    rows = grouped([a, b, dict(a)], [1.0, 5.0, 2.0])
    assert rows == [{**b, "launches": 1, "ms": 5.0}, {**a, "launches": 2, "ms": 3.0}]
