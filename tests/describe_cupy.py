"""Print what the CuPy of this process offers, as JSON: for tests/test_standin_names.py.

{name: [parameters that may stand in this order, parameters that need their names]}, or null for
what takes no arguments or does not say which. Also its version, and the blocks of some reductions
where CuPy's own function can be asked.
"""

import inspect
import json
import re

import cupy

CLASSES = "Stream Graph MemoryPool Event Device PinnedMemoryPool"
PLACES = {
    "cupy": cupy,
    "cupy.ndarray": cupy.ndarray,
    "cupy.linalg": cupy.linalg,
    "cupy.cuda": cupy.cuda,
    "cupy.cuda.runtime": cupy.cuda.runtime,
    "cupy.cuda.memory": cupy.cuda.memory,
    "cupy._core": cupy._core,
    "cupy._core._routines_linalg": cupy._core._routines_linalg,
    **{f"cupy.cuda.{name}": getattr(cupy.cuda, name, None) for name in CLASSES.split()},
}


def parameters(call, of_class):
    if isinstance(call, type) and issubclass(call, Exception):
        return None
    try:
        found = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):  # compiled
        return from_docstring(call)
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
        return None
    named = [p.name for p in found if p.kind == p.KEYWORD_ONLY]
    ordered = [p.name for p in found if p.kind != p.KEYWORD_ONLY]
    without_self = of_class and (inspect.isfunction(call) or ordered[:1] == ["self"])
    return ordered[without_self:], named


def from_docstring(call):
    """The same from a first line like `name(self, int size, order='C') -> ndarray`."""
    lines = ((x.__doc__ or "").partition("\n")[0] for x in (call, call.__init__))
    inside = re.search(r"\((.*)\)", next((line for line in lines if "(" in line), ""))
    if not inside or "*" in inside[1] or "/" in inside[1]:
        return None
    names = [re.split("[=:]", part)[0].split() for part in inside[1].split(",")]
    return [name[-1] for name in names if name and name != ["self"]], []


def specs():
    """What CuPy's reductions do: [numbers, results, how many side by side, threads, ...]."""
    ask = getattr(getattr(cupy._core, "_reduction", None), "_get_block_specs", None)
    cases = [(n, out, c) for n in (500, 8000, 10**6) for out in (1, 7, 32, 500) for c in (1, 5, 99)]
    return [[*case, *ask(*case, -1)] for case in cases] if ask else []


if __name__ == "__main__":
    names = {
        f"{place}.{name}": parameters(value, inspect.isclass(held)) if callable(value) else None
        for place, held in PLACES.items()
        for name, value in inspect.getmembers(held)
        if not name.startswith("_")
        if not inspect.ismodule(value) or f"{place}.{name}" in PLACES
    }
    print(json.dumps({"version": cupy.__version__, "specs": specs(), "names": names}))
