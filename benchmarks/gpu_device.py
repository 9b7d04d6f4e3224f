"""Which GPU there is, and what drives it."""

import shutil
import subprocess

import numpy as np

from tinyembed.backends.arrays import device_module
from tinyembed.errors import InputError, WorkError


def find_gpu(check):
    """The array module to measure; or, to check the code, of whatever device there is.

    Raises WorkError where CuPy is missing or finds no GPU.
    """
    if check:
        return device_module("auto")
    try:
        return device_module("gpu")
    except InputError as error:
        why = str(error).removeprefix("--device gpu: ").partition(";")[0]
        raise WorkError(
            f"benchmarks.gpu measures an NVIDIA GPU: {why}; --check tries its code without one"
        ) from None


def find_peer(xp, check):
    """The module gpu_peer and None; or None and why PyTorch cannot be measured beside us."""
    try:
        from benchmarks import gpu_peer
    except (ImportError, OSError) as error:  # a library of its own may be missing
        return None, f"PyTorch does not load ({error})"
    if gpu_peer.DEVICE.type != "cuda" and not check:
        return None, f"PyTorch {gpu_peer.about()['torch']} finds no GPU"
    return gpu_peer, None


def describe(xp):
    """What GPU it is, its driver, and the versions of CUDA and CuPy: a dict."""
    if xp is np:
        return {"name": "none"}
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "name": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_bytes": xp.cuda.Device(0).mem_info[1],
        "compute_capability": xp.cuda.Device(0).compute_capability,
        "driver": driver_version(),
        "driver_cuda": runtime.driverGetVersion(),  # the newest that the driver can run
        "cuda": runtime.runtimeGetVersion(),
        "cupy": xp.__version__,
    }


def driver_version():
    """Such as "580.95.05", or None."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    words = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None
