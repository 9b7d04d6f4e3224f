"""Kernels written by hand, run on the host: the same code in a loop over i, compiled as C++.

What CuPy puts around a kernel's code is put around it here too: an index i, and its parameters by
their names. Arrays that are `raw` count the indices that are not theirs. Without memory they list
the indices that are asked for, so that arrays may have any size.
"""

import ctypes
import re
import shutil
import subprocess
from typing import NamedTuple

import numpy as np

COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
OPTIONS = "-std=c++17 -O1 -ffp-contract=off -w".split()
TYPES = {"float32": "float", "float64": "double", "int64": "long long"}
MOST_LISTED = 1000

HEADERS = """
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <type_traits>
using namespace std;
"""
CHECKED = f"""
extern "C" {{ long long outside = 0, listed = 0, list[{MOST_LISTED}]; }}
template <class V> struct Raw {{
    V *data; long long size;
    V &operator[](long long k) const {{
        static typename remove_const<V>::type none; none = 0;
        if (k < 0 || k >= size) {{ outside++; return none; }}
        if (!data) {{ if (listed < {MOST_LISTED}) list[listed++] = k; return none; }}
        return data[k];
    }}
}};
template <class V> struct One {{
    V *data; long long size;
    V &operator[](long long k) const {{
        static typename remove_const<V>::type none;
        return data ? data[k] : none;
    }}
}};
"""
UNCHECKED = """
template <class V> struct Raw {
    V *data; long long size;
    V &operator[](long long k) const { return data[k]; }
};
template <class V> using One = Raw<V>;
template <class V> V *some(long long size) {
    V *found = static_cast<V *>(malloc(size * sizeof(V)));
    if (fread(found, sizeof(V), size, stdin) != size_t(size)) abort();
    return found;
}
"""


class Parameter(NamedTuple):
    """Of a kernel: its C++ type, its name, and whether it is raw, a number, or written to."""

    kind: str
    name: str
    raw: bool
    number: bool
    output: bool


def parameters(kernel, arguments, dtype):
    """A `Parameter` for each argument of a kernel; T is `dtype`."""
    inputs, outputs = kernel.inputs.split(","), kernel.outputs.split(",")
    found = []
    for n, (words, x) in enumerate(zip(inputs + outputs, arguments, strict=True)):
        *raw, kind, name = words.split()
        kind = TYPES[np.dtype(dtype).name if kind == "T" else kind]
        number = not isinstance(x, np.ndarray)
        found.append(Parameter(kind, name, raw == ["raw"], number, n >= len(inputs)))
    return found


def function(label, kernel, found, dtype, fixed):
    """The C++ function of a kernel, as text.

    It is given where the loop begins and ends, the step from one i to the next, and the kernel's
    arguments: of an array an address and a size. With fixed, the constants are in the code as on a
    GPU, else they are further arguments.
    """
    given, named = ["long long begin", "long long end", "long long step"], []
    for p in found:
        kind = p.kind if p.output else f"const {p.kind}"
        if p.number:
            given.append(f"{kind} {p.name}")
            continue
        given += [f"{kind} *p_{p.name}", f"long long s_{p.name}"]
        holder, own = ("Raw", p.name) if p.raw else ("One", f"a_{p.name}")
        named.append(f"{holder}<{kind}> {own} = {{p_{p.name}, s_{p.name}}};")
    before = kernel.loop_prep
    if not fixed:
        before = before.partition(";")[0] + ";"  # the type of an index
        for name, value in kernel.constants.items():
            kind = "long long" if isinstance(value, int) else "double"
            given.append(f"{kind} c_{name}")
            before += f" const {'Index' if isinstance(value, int) else 'T'} {name} = c_{name};"
    whole = [p for p in found if not p.raw and not p.number]
    each = [f"{'' if p.output else 'const '}{p.kind} &{p.name} = a_{p.name}[i];" for p in whole]
    body = "\n".join([*each, kernel.code, ";"])
    return f"""
extern "C" void {label}({", ".join(given)}) {{
    typedef {TYPES[np.dtype(dtype).name]} T;
    {" ".join(named)}
    {before}
    for (long long i = begin; i != end; i += step) {{
        {body}
    }}
}}
"""


class Library:
    """Kernels as functions of a shared library.

    kernels: [(kernel, an example of its arguments, dtype, fixed)]; see `function`.
    """

    def __init__(self, kernels, folder):
        self.kernels, text = {}, [HEADERS, CHECKED]
        for n, (kernel, arguments, dtype, fixed) in enumerate(kernels):
            found = parameters(kernel, arguments, dtype)
            key = key_of(kernel, dtype, fixed)
            if key not in self.kernels:
                self.kernels[key] = f"k{n}", found
                text.append(function(f"k{n}", kernel, found, dtype, fixed))
        source, made = folder / "kernels.cpp", folder / "kernels.so"
        source.write_text("".join(text))
        compile_cpp(source, made, "-shared", "-fPIC")
        self.compiled = ctypes.CDLL(made)

    def run(self, key, arguments, constants=(), loop=None):
        """Run a kernel: write into its outputs, the last arguments.

        loop: (begin, end, step), by default over all numbers of its arrays that are not raw. Raises
        IndexError where a raw array is asked for what it does not have.
        """
        label, found = self.kernels[key]
        given, sizes = [], set()
        for p, x in zip(found, arguments, strict=True):
            if p.number:
                given.append(ctypes.c_longlong(x))
                continue
            if isinstance(x, np.ndarray):
                assert x.flags.c_contiguous and TYPES[x.dtype.name] == p.kind
                given += [ctypes.c_void_p(x.ctypes.data), ctypes.c_longlong(x.size)]
                sizes |= set() if p.raw else {x.size}
            else:  # the size of an array without memory
                given += [ctypes.c_void_p(), ctypes.c_longlong(x.size)]
        if loop is None:
            (size,) = sizes
            loop = 0, size, 1
        floats = (ctypes.c_longlong, ctypes.c_double)
        given += [floats[isinstance(value, float)](value) for value in constants]
        outside = ctypes.c_longlong.in_dll(self.compiled, "outside")
        outside.value = 0
        self.compiled[label](*map(ctypes.c_longlong, loop), *given)
        if outside.value:
            raise IndexError(f"{outside.value} indices outside of a raw array")

    def indices(self, key, arguments, constants, i):
        """The indices of arrays without memory that are asked for at one i, in order."""
        listed = ctypes.c_longlong.in_dll(self.compiled, "listed")
        listed.value = 0
        self.run(key, arguments, constants, (i, i + 1, 1))
        return list((ctypes.c_longlong * MOST_LISTED).in_dll(self.compiled, "list"))[: listed.value]


class Size(NamedTuple):
    """In the place of an array: only its size."""

    size: int


def key_of(kernel, dtype, fixed=False):
    """What tells a function of a `Library` from others."""
    own = tuple(kernel.constants.values()) if fixed else None
    return kernel.name, np.dtype(dtype).name, kernel.wide, own


def sanitized(kernels, folder):
    """A program that runs each of `kernels` on its arguments, which it reads, with sanitizers.

    kernels: [(kernel, arguments, dtype)]. Returns what `subprocess.run` returns; None where the
    compiler has no sanitizers.
    """
    labels, text, calls, data = {}, [HEADERS, UNCHECKED], [], []
    for kernel, arguments, dtype in kernels:
        found = parameters(kernel, arguments, dtype)
        key = key_of(kernel, dtype, fixed=True)
        if key not in labels:
            labels[key] = f"k{len(labels)}"
            text.append(function(labels[key], kernel, found, dtype, True))
        given, lines, size = [], [], 0
        for p, x in zip(found, arguments, strict=True):
            if p.number:
                given.append(f"{x}LL")
                continue
            lines.append(f"{p.kind} *{p.name} = some<{p.kind}>({x.size});")
            given += [p.name, f"{x.size}"]
            size = size if p.raw else x.size
            data.append(np.ascontiguousarray(x).tobytes())
        freed = [f"free({p.name});" for p in found if not p.number]
        call = f"{labels[key]}(0, {size}, 1, {', '.join(given)});"
        calls.append("{ " + " ".join([*lines, call, *freed]) + " }")
    text.append("int main() {\n" + "\n".join(calls) + '\nputs("done");\n}\n')
    source, made = folder / "sanitized.cpp", folder / "sanitized"
    source.write_text("".join(text))
    flags = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    try:
        compile_cpp(source, made, *flags)
    except subprocess.CalledProcessError as error:
        if re.search(r"cannot find.*(asan|ubsan)|unsupported option '-fsanitize", error.stderr):
            return None
        raise
    return subprocess.run([made], input=b"".join(data), capture_output=True)


def compile_cpp(source, made, *options):
    """Raises CalledProcessError, whose stderr says what the compiler says."""
    subprocess.run(
        [COMPILER, *OPTIONS, *options, source, "-o", made],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
