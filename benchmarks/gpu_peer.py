"""The same training steps in PyTorch, on a GPU: eager, compiled, and replayed as a CUDA graph.

The networks are those of peer.py and of torch.nn.LSTM, with our weights, and all they need lies on
the GPU. PyTorch is given its best: images channels first and last, cuDNN's choice among its
kernels, Adam in one kernel (fused), gradients that are dropped and not set to zero, no answer asked
for within a step. Compiled is the loss with its gradient, by torch.compile as it comes: its mode
`max-autotune` takes minutes per shape.

On a CPU, where `benchmarks.gpu --check` tries this code, a graph is the step itself, and what would
be compiled is only traced.
"""

import numpy as np
import torch

from benchmarks.lstm import their_step as their_lstm_step
from benchmarks.peer import Peer
from tinyembed.models.model import Model

WARM_UP = 3  # steps before a capture: cuDNN chooses its kernels, Adam makes its means
FORMATS = {"": torch.contiguous_format, ", channels last": torch.channels_last}

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def about():
    """The versions of PyTorch and of what it brings: a dict."""
    versions = {"torch": torch.__version__, "torch_cuda": torch.version.cuda}
    if DEVICE.type == "cuda":
        versions["cudnn"] = torch.backends.cudnn.version()
    return versions


def wait():
    """Until the GPU has done what PyTorch gave it."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def release():
    """Give the memory back that no tensor holds, and drop what was compiled.

    PyTorch compiles only a few variants of a function.
    """
    torch._dynamo.reset()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


def use_tf32(on):
    """Whether products and convolutions may round their factors to TF32: 10 bits after the point.

    The older of PyTorch's two ways to say so, which sets both; a mixture of them is an error.
    """
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cudnn.benchmark = True  # the shapes stay the same: take the fastest kernels


def autoencoder_step(width, batch, memory_format, compiled=False):
    """A function that takes a training step of the context model and returns its loss.

    batch: a `Batch` on the host; memory_format: of the images.
    """
    given = [torch.tensor(a, device=DEVICE) for a in (batch.input, batch.target, batch.candidates)]
    peer = Peer(Model("context", width, [], np.random.default_rng(0))).train()
    peer = peer.to(DEVICE, memory_format=memory_format)
    # Fused, its count of steps is on the GPU anyway; capturable only says so.
    on_gpu = DEVICE.type == "cuda"
    adam = torch.optim.Adam(peer.parameters(), lr=1e-3, fused=True, capturable=on_gpu)
    loss_of = compiled_function(peer.loss) if compiled else peer.loss

    def step():
        adam.zero_grad()
        loss = loss_of(*given)
        loss.backward()
        adam.step()
        return loss.detach()

    return step


def autoencoder_ways(width, batch):
    """{name: builder} of PyTorch's ways to take that step without compiling."""
    builders = {}
    for name, memory_format in FORMATS.items():
        builders |= _both("torch eager", name, autoencoder_step, width, batch, memory_format)
    return builders


def compiled_ways(width, batch, images):
    """The same, compiled, and compiled inside a graph. images: a key of `FORMATS`."""
    return _both("torch compiled", images, autoencoder_step, width, batch, FORMATS[images], True)


def lstm_ways(network, x, dy):
    """{name: builder} for the LSTM of benchmarks/lstm.py. network, x, dy: ours, on the host."""
    return _both("torch eager", "", their_lstm_step, network, x, dy, DEVICE)


def compiled_lstm_ways(network, x, dy):
    """The same, compiled. cuDNN's LSTM is one call, which the compiler leaves as it is."""
    return _both("torch compiled", "", their_lstm_step, network, x, dy, DEVICE, compiled_function)


def _both(name, images, build, *arguments):
    """Builders of one step: by itself, and as a graph. A compiled one is compiled once for both."""
    graph = "torch graph" if name == "torch eager" else f"{name}, graph"
    made = []

    def once():
        made.append(build(*arguments))
        return made[-1]

    def as_graph():
        shared = made if name == "torch compiled" else []
        return captured(shared[-1] if shared else build(*arguments))

    return {name + images: once, graph + images: as_graph}


def compiled_function(function):
    """torch.compile for one shape; on a CPU, where its code would take minutes, only traced."""
    backend = "inductor" if DEVICE.type == "cuda" else "eager"
    return torch.compile(function, backend=backend, dynamic=False)


def captured(step):
    """A function that replays one step, recorded as a CUDA graph with its buffers in place."""
    if DEVICE.type != "cuda":
        return step
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
