"""Which backend runs the operations: plain, cpu or numba for NumPy's arrays, cupy for CuPy's.

Whatever is chosen, the results are the same up to rounding.
"""

import functools
import importlib
import os
import sys
from importlib.util import find_spec

import numpy as np

from tinyembed.backends import dispatch
from tinyembed.backends.engine import Engine
from tinyembed.errors import InputError

BACKENDS = {  # for NumPy's arrays: the tables of variants, the preferred one first
    "plain": (),  # the definitions in layers/ alone
    "cpu": ("cpu.variants",),  # NumPy, in blocks on several threads
    "numba": ("numba.variants", "cpu.variants"),  # compiled loops, where numba is installed
}
VARIABLE = "TINYEMBED_BACKEND"

_in_use = None
_first = ()  # tables of variants before all others, whatever is in use
_chosen = False  # by the program or by the environment


def use(name: str | None = None) -> str:
    """Run operations with one backend from now on. Returns the name of the one in use.

    name: "plain", "cpu" or "numba"; None for the fastest that is installed. The environment
    variable TINYEMBED_BACKEND decides where it is set and no name is given. "numba" means "cpu"
    where numba is missing or does not work.
    Raises InputError for another name.
    """
    return _use(name or _from_environment() or "numba", f"{VARIABLE}=" if name is None else "")


def compile_one(name: str) -> bool:
    """Let numba run one operation, if no backend was chosen. Returns whether numba runs it.

    name: an operation whose results are the same to the last bit with any backend. This is for
    work that takes longer than the import of numba.
    """
    if _in_use == "cpu" and not _chosen and _numba_works():
        (compiled,) = _load(["numba.variants"])
        tables = [{name: compiled[name]}, *_load(BACKENDS["cpu"])]
        dispatch.set_backends("numpy", lambda: tables)
        return True
    return _in_use == "numba"


def _use(name, source="", chosen=True):
    global _in_use, _chosen
    if name not in BACKENDS:
        raise InputError(f"{source}{name}: choose one of {', '.join(BACKENDS)}")
    if name == "numba" and not _numba_works():
        name = "cpu"
    _in_use, _chosen = name, chosen
    dispatch.set_backends("numpy", functools.partial(_load, (*_first, *BACKENDS[name])))
    on_a_gpu = () if name == "plain" else ("cupy.kernels", "cupy.products")
    dispatch.set_backends("cupy", functools.partial(_load, (*_first, *on_a_gpu)))
    return name


def in_use() -> str:
    """The name of the backend that runs the operations."""
    return _in_use


def use_default():
    """What a program gets that does not choose: not numba, whose import takes half a second."""
    global _in_use
    try:
        name = _from_environment()
        _use(name or "cpu", f"{VARIABLE}=", chosen=name is not None)
    except InputError as error:  # raised where the first operation runs, inside a command's main()
        _in_use = None
        dispatch.set_backends("numpy", functools.partial(_raise, error))


def _raise(error):
    raise error


def _from_environment():
    """The backend that the environment asks for, or None."""
    name = os.environ.get(VARIABLE, "").strip()
    if not name and os.environ.get("TINYEMBED_NUMBA") == "0":
        print(f"note: TINYEMBED_NUMBA=0 is now {VARIABLE}=cpu", file=sys.stderr)
        name = os.environ[VARIABLE] = "cpu"  # said once: worker processes inherit the new name
    return name or None


@functools.cache
def _numba_works():
    try:
        import numba

        importlib.import_module("tinyembed.backends.numba.variants")
    except Exception:  # not installed, deleted, or refusing this NumPy: each in its own way
        return False
    return not numba.config.DISABLE_JIT


def _load(names):
    """The tables of variants in these modules. One that was deleted is passed over."""
    names = [f"tinyembed.backends.{name}" for name in names]
    return [importlib.import_module(name).VARIANTS for name in names if find_spec(name)]


def engine_for(xp, graph=True, company=None):
    """The engine for arrays of xp, numpy or cupy. graph: whether a GPU records its step.

    company: the processes that train together (mpi/company.py), None for one alone.
    """
    if company:
        return _engine_of_several(xp, graph, company)
    if xp is np:
        if _in_use == "plain" or not find_spec("tinyembed.backends.cpu.variants"):
            return Engine()
        from tinyembed.backends.cpu.engine import CpuEngine

        return CpuEngine()
    from tinyembed.backends.cupy.engine import GpuEngine

    return GpuEngine(xp, graph)


def _engine_of_several(xp, graph, company):
    global _first
    from tinyembed.backends.mpi.engine import MpiEngine

    if xp is not np:
        company.choose_gpu(xp)
        if graph and company.rank == 0:
            print(
                "note: the step is not recorded as a CUDA graph, which cannot hold what several "
                "processes exchange",
                file=sys.stderr,
            )
    _first = ("mpi.variants",)
    _use(_in_use, chosen=_chosen)
    return MpiEngine(engine_for(xp, graph=False), company)
