"""The few calls of the CUDA runtime that are made by name."""

from cupy import standin

MEMORY = 8 << 30  # bytes of the device that is played


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime, named as there."""


def deviceSynchronize():
    standin.synchronise("deviceSynchronize")


def getDeviceCount():
    return 1


def getDeviceProperties(device):
    return {"name": b"stand-in", "multiProcessorCount": 1}


def memGetInfo():
    return MEMORY - standin.memory.held, MEMORY


def runtimeGetVersion():
    return 13000


def driverGetVersion():
    return 13000
