"""Steps that are recorded and replayed, and what keeps them from being recorded."""

import gc

import numpy as np
import pytest

from tinyembed.backends.arrays import matmul, to_host
from tinyembed.backends.cupy.graphs import WARM_UP, Replayed, own_stream

pytestmark = pytest.mark.usefixtures("engine")


def make_step(gpu):
    """A step that depends on what it did before, with products and memory in between."""
    x = gpu.asarray(np.random.default_rng(0).standard_normal((4, 4)), np.float32)
    given, seen = gpu.zeros((4, 4), np.float32), gpu.zeros((), np.float32)

    def work():
        y = matmul(x, given) * 2
        x[...] = gpu.tanh(y + x)
        seen[...] += y.sum()

    return x, given, seen, work


def run(gpu, wanted, steps=7, said=None):
    x, given, seen, work = make_step(gpu)
    rng = np.random.default_rng(1)
    inputs = gpu.asarray(rng.standard_normal((steps, 4, 4)), np.float32)
    with own_stream(gpu):
        step = Replayed(work, gpu, wanted=wanted, say=(said if said is not None else []).append)
        for n in range(steps):
            given[...] = inputs[n]
            step()
    return step, to_host(x), to_host(seen)


def test_replayed_is_the_same_to_the_bit(gpu):
    plain, x, seen = run(gpu, wanted=False)
    said = []
    replayed, same_x, same_seen = run(gpu, wanted=True, said=said)
    assert replayed.graph and not plain.graph and not said
    np.testing.assert_array_equal(same_x, x)
    np.testing.assert_array_equal(same_seen, seen)


def test_after_the_warm_up_a_step_is_one_launch(gpu, standin):
    *_, work = make_step(gpu)
    with own_stream(gpu):
        step = Replayed(work, gpu)
        for _ in range(WARM_UP + 1):
            step()
        standin.reset()
        with standin.forbid_synchronisation():
            step()
        counts = standin.counts()
    assert counts["graph_launches"] == 1 and counts["launches"] == 0 and counts["replayed"] > 4


def test_on_a_cpu_nothing_is_recorded():
    done = []
    with own_stream(np):
        step = Replayed(lambda: done.append(1), np)
        for _ in range(WARM_UP + 2):
            step()
    assert len(done) == WARM_UP + 2 and step.graph is None


def failing(gpu, how):
    x, _, seen, work = make_step(gpu)
    kept = []

    def failing_work():
        work()
        if how == "a wait":
            kept.append(float(seen))
        elif how == "a transfer":
            x[...] += gpu.asarray(np.ones((4, 4), np.float32))
        elif how == "CuPy's own product":
            gpu.matmul(x, x)
        elif how == "memory that stays":
            kept.append(x + 1)

    return x, failing_work


@pytest.mark.parametrize("how", ["a wait", "a transfer", "CuPy's own product", "memory that stays"])
def test_what_cannot_be_recorded_runs_without(gpu, standin, how):
    x, work = failing(gpu, how)
    said = []
    with own_stream(gpu):
        step = Replayed(work, gpu, say=said.append)
        for _ in range(WARM_UP + 3):
            step()
    assert step.graph is None
    (line,) = said
    assert line.startswith("note: the step cannot be recorded") and "\n" not in line
    expected, plain = failing(gpu, how)
    for _ in range(WARM_UP + 3):
        plain()
    np.testing.assert_array_equal(to_host(x), to_host(expected))


def test_running_out_of_memory_is_raised(gpu, standin, monkeypatch):
    *_, work = make_step(gpu)
    with own_stream(gpu):
        step = Replayed(work, gpu)
        for _ in range(WARM_UP):
            step()
        step.pool.set_limit(size=8)
        with pytest.raises(MemoryError):
            step()


def test_running_out_of_memory_spoils_the_recording_too(gpu, standin):
    """As on a GPU, where ending the recording then is another error."""
    *_, work = make_step(gpu)

    def out_of_memory():
        work()
        if gpu.cuda.get_current_stream().is_capturing():
            with pytest.raises(gpu.cuda.runtime.CUDARuntimeError):
                gpu.cuda.get_current_stream().synchronize()
            raise MemoryError

    with own_stream(gpu):
        step = Replayed(out_of_memory, gpu)
        for _ in range(WARM_UP):
            step()
        with pytest.raises(MemoryError):
            step()


@pytest.mark.parametrize("how", ["recorded", "a wait"])
def test_a_step_that_is_dropped_gives_its_memory_back(gpu, how):
    """CuPy's pool would keep it: its free pieces and its lists of them hold each other."""
    work = make_step(gpu)[-1] if how == "recorded" else failing(gpu, how)[1]
    with own_stream(gpu):
        step = Replayed(work, gpu, say=lambda line: None)
        for _ in range(WARM_UP):
            step()
        assert step.pool.total_bytes() > 0
        step()
    pool = step.pool
    if how == "recorded":
        assert step.graph and pool.total_bytes() > 0
        del step
        gc.collect()
    assert pool.free_bytes() == 0


def test_what_is_said_goes_to_the_error_stream(gpu, standin, capsys):
    _, work = failing(gpu, "a wait")
    with own_stream(gpu):
        step = Replayed(work, gpu)
        for _ in range(WARM_UP + 1):
            step()
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("note: ") and err.count("\n") == 1
