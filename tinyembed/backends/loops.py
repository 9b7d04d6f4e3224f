"""A formula of arrays, written out as loops over numbers: the text that numba compiles.

From

    def f(x, scale): return x * scale + 1

where scale has one number for each column, comes

    def loops(x_, scale_, OUT):
        for I in range(OUT.shape[0]):
            for J in range(OUT.shape[1]):
                x = x_[I, J]
                scale = scale_[J]
                OUT[I, J] = x * scale + f32(1)

in a file of its own, which stays in the cache folder, and beside it what numba made of it: compiled
once, it is there within milliseconds the next time. Names in capitals are the loops' own, since a
formula's are small.
"""

import ast
import functools
import hashlib
import importlib.util
import inspect
import os
import re
import sys
import textwrap
import threading
import types

from tinyembed.backends.numba import scalars
from tinyembed.storage.cache import cache_folder

GROUP = 32  # rows that are added up in float32, before their sum goes to the total in float64

HEAD = '''"""{title}: written by tinyembed, and made anew when it is missing."""

import numpy as np
from numba import njit

f32, index = np.float32, np.uint64
# Divisions are not checked, and a * b + c may be rounded once instead of twice.
fast = njit(nogil=True, error_model="numpy", fastmath={{"contract"}}, cache={cache})
'''

BY_COLUMN = """

@fast
def loops({parameters}, OUT):
    for I in range(OUT.shape[0]):
        for J in range(OUT.shape[1]):
            {body}
"""
FLAT = """

@fast
def loops({parameters}, OUT):
    for I in range(OUT.size):
        {body}
"""
SUMS = """

@fast
def loops({parameters}, TOTAL):
    ROWS, COLUMNS = {first}.shape
    OUT = np.empty(TOTAL.shape, np.float32)
    for START in range(0, ROWS, {group}):
        OUT[:] = 0
        for I in range(START, min(START + {group}, ROWS)):
            for J in range(COLUMNS):
                {body}
        for K in range(len(OUT)):
            for J in range(COLUMNS):
                TOTAL[K, J] += OUT[K, J]
    return TOTAL
"""
RESULT = {BY_COLUMN: "OUT[I, J] = ", FLAT: "OUT[I] = ", SUMS: "OUT[{k}, J] += "}

# What an array of a kind has for the number at hand: m has as many as the whole, r one a column,
# c one a row, s one for all.
PLACE = {"m": "{}_[I, J]", "r": "{}_[J]", "c": "{}_[I]", "s": "{}_"}


def compile_formula(formula, kinds, template):
    """The loops of an elementwise formula, and how many results it has: several for SUMS only.

    kinds: a letter of PLACE for each parameter; template: BY_COLUMN; FLAT, for m and s alone; or
    SUMS of columns.
    """
    text, results = write_out(formula, kinds, template)
    return load(f"{formula.__name__}_{kinds}", text), results


def compile_loops(function):
    """A function that is all loops already, of float32 arrays and integers."""
    return load(function.__name__.lstrip("_"), _source(function, "loops"))


def write_out(formula, kinds, template):
    """The text of a formula's loops, and how many results it has."""
    function = _parsed(formula)
    names = [argument.arg for argument in function.args.args]
    place = {name: PLACE[kind].format(name) for name, kind in zip(names, kinds, strict=True)}
    if template is FLAT:
        place = {name: text.replace("[I, J]", "[I]") for name, text in place.items()}
    lines, changed = [f"{name} = {text}" for name, text in place.items()], {}
    for statement in function.body:
        if isinstance(statement, ast.Return):
            lines += [
                RESULT[template].format(k=k) + ast.unparse(_OfNumbers().visit(value))
                for k, value in enumerate(_results(statement.value))
            ]
        elif not isinstance(statement, ast.Expr):  # which is the docstring
            lines += _line(statement)
            changed |= dict.fromkeys(_target(statement) & set(names))
    lines += [f"{place[name]} = {name}" for name in changed]
    indent = re.search(r"( *)\{body\}", template).group(1)
    text = template.format(
        parameters=", ".join(f"{name}_" for name in names),
        first=f"{names[0]}_",
        group=GROUP,
        body=("\n" + indent).join(lines),
    )
    return text, _count(function)


def count_results(formula):
    """How many results a formula has: none where it writes into its arguments."""
    return _count(_parsed(formula))


def _parsed(formula):
    return ast.parse(textwrap.dedent(inspect.getsource(formula))).body[0]


def _count(function):
    last = function.body[-1]
    return len(_results(last.value)) if isinstance(last, ast.Return) else 0


def _results(value):
    """What a formula returns: one expression, or as many as its tuple has."""
    return value.elts if isinstance(value, ast.Tuple) else [value]


def _line(statement):
    made = _OfNumbers().visit(statement)
    return [] if made is None else [ast.unparse(ast.fix_missing_locations(made))]


def _target(statement):
    """The name that a statement changes."""
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    return {getattr(target, "value", target).id}


class _OfNumbers(ast.NodeTransformer):
    """A formula's statements, of one number of each array."""

    def visit_Constant(self, node):
        if isinstance(node.value, int | float):
            return ast.Call(ast.Name("f32"), [node], [])
        return node

    def visit_Attribute(self, node):  # xp.exp, or array_module(x).exp
        return ast.Name(node.attr)

    def visit_Assign(self, node):
        target = node.targets[0]
        if (
            isinstance(node.value, ast.Call)
            and getattr(node.value.func, "id", "") == "array_module"
        ):
            return None  # xp = array_module(x)
        if isinstance(target, ast.Subscript):  # x[...] = 0
            target = target.value
        return ast.Assign([target], self.visit(node.value))


def _source(function, name):
    """A function's text, under another name and to be compiled."""
    text = inspect.getsource(function)
    text = text[text.index("def ") :].replace(f"def {function.__name__}(", f"def {name}(", 1)
    return f"\n\n@fast\n{text}"


@functools.cache
def _functions():
    names = ("minimum", "maximum", "sqrt", "exp", "tanh")
    return "".join(_source(getattr(scalars, name), name) for name in names)


_one_at_a_time = threading.Lock()  # loops may be wanted first by several threads at once


def load(title, text):
    """The `loops` of a text: imported from its file, which is written where it is missing."""
    with _one_at_a_time:
        return _load(title, text)


def _load(title, text):
    text = _functions() + text
    source = HEAD.format(title=title, cache=True) + text
    name = f"{title}_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    path = cache_folder() / "compiled" / f"{name}.py"
    try:
        if not path.exists() or path.read_text() != source:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.part")
            partial.write_text(source)
            partial.replace(path)
        spec = importlib.util.spec_from_file_location(f"tinyembed_compiled_{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where numba looks for it when it loads what it kept
        spec.loader.exec_module(module)
    except (OSError, RuntimeError):  # a folder that cannot be written to: compiled each time
        module = types.ModuleType(name)
        exec(HEAD.format(title=title, cache=False) + text, module.__dict__)
    return module.loops
