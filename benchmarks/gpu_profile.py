"""What a GPU does in a step: kernels, their number and their time, whoever launched them.

This is PyTorch's profiler, so it needs CUPTI, NVIDIA's interface for profilers. gpu_nodes.py and
gpu_operations.py do without, for our steps alone.
"""

from collections import defaultdict

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, supported_activities

# Parts of the names of kernels that multiply matrices, in cuBLAS, cuDNN, CUTLASS and Triton.
PRODUCTS = ("gemm", "gemv", "cutlass", "xmma", "nvjet", "conv", "wgrad", "dgrad", "_mm", "rnn")
LISTED = 12  # kernels, those that take longest


def profiled(step, wait, steps=20):
    """The kernels of one step: a dict, each number a mean over `steps` of them.

    launches: how many; kernel_ms: their time, added up; product_ms: that of matrix products and
    convolutions, known by their names; top: [name, ms per step, launches per step] of those that
    take longest. Empty where the profiler sees no GPU, or is not allowed to look at it.
    """
    activity = ProfilerActivity.CUDA
    if activity not in supported_activities():
        activity = ProfilerActivity.CPU
    step()
    wait()
    with profile(activities=[activity]) as profiler:
        for _ in range(steps):
            step()
        wait()
    taken = defaultdict(lambda: [0.0, 0])
    for event in profiler.events():
        copies = event.name.startswith(("Memcpy", "Memset"))
        if event.device_type == DeviceType.CUDA and not copies and not event.is_user_annotation:
            taken[event.name][0] += event.time_range.elapsed_us() / 1e3
            taken[event.name][1] += 1
    if not taken:
        return {}
    return summed(taken, steps)


def summed(taken, steps):
    """{name: (ms, launches)} over some steps, as `profiled` returns it."""
    of_products = [ms for name, (ms, _) in taken.items() if is_product(name)]
    longest = sorted(taken.items(), key=lambda item: -item[1][0])[:LISTED]
    return {
        "launches": sum(launches for _, launches in taken.values()) / steps,
        "kernel_ms": sum(ms for ms, _ in taken.values()) / steps,
        "product_ms": sum(of_products) / steps,
        "top": [[name[:120], ms / steps, launches / steps] for name, (ms, launches) in longest],
    }


def is_product(name):
    """Whether a kernel's name is that of a matrix product or a convolution."""
    name = name.lower().replace("convert", "")
    return any(part in name for part in PRODUCTS)
