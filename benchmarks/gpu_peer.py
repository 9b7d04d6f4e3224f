"""The same training steps in PyTorch, on a GPU: eager, compiled, and replayed as a CUDA graph.

The networks are those of peer.py and of torch.nn.LSTM, with our weights. Adam is the fused one.
On a CPU, where `benchmarks.gpu --check` tries this code, there are no graphs, and what would be
compiled is only traced.
"""

import numpy as np
import torch

from benchmarks.lstm import their_step as lstm_step
from benchmarks.peer import Peer
from tinyembed.models.model import Model

WARM_UP = 3  # steps before a capture: cuDNN chooses its kernels, Adam makes its means


def use_tf32(on):
    """Whether products and convolutions may round their factors to TF32: 10 bits after the point.

    The older of PyTorch's two ways to say so, which sets both; a mixture of them is an error.
    """
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cudnn.benchmark = True  # the shapes stay the same: take the fastest kernels


def their_device():
    """The `torch.device` to measure: the GPU, where PyTorch finds one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autoencoder_steps(width, batch, device, compiles=True):
    """{name: function} of PyTorch's ways to take a training step of the context model.

    batch: a `Batch` on the host. Each way has a network of its own, with the weights that ours
    begins with; a function returns the loss, on the device.
    """
    given = [torch.tensor(a, device=device) for a in (batch.input, batch.target, batch.candidates)]

    def build(compiled, memory_format):
        peer = Peer(Model("context", width, [], np.random.default_rng(0))).train()
        peer = peer.to(device, memory_format=memory_format)
        on_gpu = device.type == "cuda"
        adam = torch.optim.Adam(peer.parameters(), lr=1e-3, fused=True, capturable=on_gpu)
        loss_of = compiled_function(peer.loss) if compiled else peer.loss

        def step():
            adam.zero_grad()
            loss = loss_of(*given)
            loss.backward()
            adam.step()
            return loss.detach()

        return step

    plain, last = torch.contiguous_format, torch.channels_last
    steps = {
        "torch eager": build(False, plain),
        "torch eager, channels last": build(False, last),
    }
    if compiles:
        steps["torch compiled"] = build(True, last)
    if device.type == "cuda":
        steps["torch graph"] = captured(build(False, plain))
        steps["torch graph, channels last"] = captured(build(False, last))
        if compiles:
            steps["torch compiled, graph"] = captured(build(True, last))
    return steps


def lstm_steps(network, x, dy, device, compiles=True):
    """The same for the LSTM of benchmarks/lstm.py. network, x, dy: ours, on the host."""

    def build(wrap=lambda function: function):
        return lstm_step(network, x, dy, device, wrap)

    steps = {"torch eager": build()}
    if compiles:
        steps["torch compiled"] = build(compiled_function)
    if device.type == "cuda":
        steps["torch graph"] = captured(build())
    return steps


def compiled_function(function):
    """torch.compile for one shape; on a CPU, where its code would take minutes, only traced."""
    backend = "inductor" if torch.cuda.is_available() else "eager"
    return torch.compile(function, backend=backend, dynamic=False)


def forget_compiled():
    """Drop what was compiled: PyTorch compiles only a few variants of a function."""
    torch._dynamo.reset()


def captured(step):
    """A function that replays one step, recorded as a CUDA graph with its buffers in place."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay():
        graph.replay()
        return result

    return replay
