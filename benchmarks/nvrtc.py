"""CuPy's own way from a kernel's source to a GPU's machine code, which needs no GPU.

CuPy asks the device for its architecture and loads the machine code into it. Both are replaced here
for as long as a kernel is compiled. Everything else is CuPy's: its headers, its options, NVRTC.
"""

import io
import re
import struct
from contextlib import ExitStack
from typing import NamedTuple
from unittest.mock import patch

from tinyembed.backends.arrays import import_cupy
from tinyembed.errors import WorkError

PTX = "compute_90"  # NVIDIA's portable code, as text
ONCE = "--pch"  # the headers are read once for all kernels
NOP = 0x918  # the lower 12 bits of an instruction that does nothing
# Arithmetic in double precision, not moves and conversions.
DOUBLE = re.compile(r"^\s*(?:@\S+\s+)?((?!cvt|ld|st|mov|selp)[a-z]\w*(?:\.\w+)*\.f64)\s", re.M)


class Compiled(NamedTuple):
    """What the compiler says: of a thread, and of the machine code."""

    registers: int
    spilled: int  # bytes that did not fit into the registers
    stack: int  # bytes
    instructions: int


def compiler():
    """CuPy's. Raises WorkError where CuPy or NVRTC is missing."""
    try:
        import_cupy().cuda.nvrtc.getVersion()
        return import_cupy().cuda.compiler
    except (ImportError, RuntimeError, AttributeError) as error:
        raise WorkError(
            f'CuPy and NVRTC are needed ({error}); pip install "tinyembed[compile]"'
        ) from None


def version():
    """Of CuPy and NVRTC."""
    compiler()
    cupy = import_cupy()
    return {"cupy": cupy.__version__, "nvrtc": "{}.{}".format(*cupy.cuda.nvrtc.getVersion())}


def machine_code(code, name, architecture):
    """Compile a source for an architecture, such as "sm_90". Returns `Compiled`.

    Raises CuPy's CompileException, whose text has the compiler's message.
    """
    log = io.StringIO()
    cubin = _compile(code, architecture, "cubin", log, "--ptxas-options=-v")
    said = log.getvalue()

    def number(pattern):
        return sum(map(int, re.findall(pattern, said)))

    return Compiled(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes spill stores"),
        number(r"(\d+) bytes stack frame"),
        _instructions(cubin, name),
    )


def double_precision(code):
    """The instructions of a source that compute in double precision: a sorted list of names."""
    ptx = _compile(code, PTX, "ptx", None).decode()
    return sorted(set(DOUBLE.findall(ptx)))


def _compile(code, architecture, form, log, *options):
    made, module = compiler(), _Module()
    compile_it = made._compile_module_with_cache

    def compile_only(*arguments, **others):
        compile_it(*arguments, **{**others, "log_stream": log})

    with ExitStack() as stack:
        for place, name, value in (
            (made, "_compile_module_with_cache", compile_only),
            (made, "_get_arch", lambda: "90"),  # part of a name in CuPy's cache
            (made, "_get_arch_for_options_for_nvrtc", lambda _: (f"-arch={architecture}", form)),
            (made.function, "Module", lambda: module),
        ):
            stack.enter_context(patch.object(place, name, value))
        stack.enter_context(patch.dict("os.environ", CUPY_CACHE_IN_MEMORY="1"))
        import_cupy()._core.core.compile_with_cache(code, (*options, ONCE))
    return module.loaded


class _Module:
    """In the place of what CuPy loads into a GPU."""

    def load(self, code):
        self.loaded = code

    def _set_mapping(self, names):
        """Of templates: our kernels are none."""


def _instructions(cubin, name):
    """How many instructions a kernel has, from its section of an ELF file of 64 bits."""
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names_at = struct.unpack_from("<3H", cubin, 58)
    sections = [struct.unpack_from("<IIQQQQ", cubin, table + n * size) for n in range(count)]
    names = sections[names_at][4]
    for label, *_, begin, length in sections:
        start = names + label
        if cubin[start : cubin.index(b"\0", start)] == f".text.{name}".encode():
            words = struct.unpack_from(f"<{length // 8}Q", cubin, begin)[::2]
            return sum(word & 0xFFF != NOP for word in words)
    raise ValueError(f"the machine code has no kernel {name}")
