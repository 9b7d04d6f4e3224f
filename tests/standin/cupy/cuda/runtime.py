"""The few calls of the CUDA runtime that are made by name."""

from cupy import standin

_MEMORY = 8 << 30  # bytes of the device that is played


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime, named as there."""


def deviceSynchronize():
    standin.synchronise("deviceSynchronize")


def getDeviceCount():
    """Raises where none answers, as CUDA does."""
    if not standin.device:
        raise CUDARuntimeError(
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
            "version"
            if standin.driver // 1000 < standin.runtime // 1000
            else "cudaErrorNoDevice: no CUDA-capable device is detected"
        )
    return 1


def getDeviceProperties(device):
    return {"name": b"stand-in", "multiProcessorCount": 1}


def memGetInfo():
    return _MEMORY - standin.memory.held, _MEMORY


def runtimeGetVersion():
    return standin.runtime


def driverGetVersion():
    return standin.driver
