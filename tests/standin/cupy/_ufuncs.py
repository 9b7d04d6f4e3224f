"""Elementwise functions, and their fusion into one kernel."""

import functools

import numpy as np

from cupy import standin
from cupy._array import ndarray
from cupy._launches import elementwise, reduction
from cupy._sums import block_sum
from cupy._work import SCALARS, accept, change, compute, raw


class ufunc:
    """An elementwise function of arrays and numbers: one launch."""

    def __init__(self, name):
        self.function = getattr(np, name)
        self.__name__, self.nin, self.nout = name, self.function.nin, self.function.nout

    def __call__(self, *args, out=None, dtype=None):
        if len(args) > self.nin:
            *args, out = args
        if any(isinstance(x, Fused) for x in args):
            return fused_call(self.function, args, out)
        args = [accept(x) for x in args]
        keywords = {} if dtype is None else {"dtype": dtype}
        if out is None:
            return compute(functools.partial(self.function, **keywords), *args)
        if not isinstance(out, ndarray):
            raise TypeError("return arrays must be of ArrayType")
        change(lambda a, *given: self.function(*given, out=a, **keywords), out, *args)
        return out


NAMES = (
    "add subtract multiply divide true_divide floor_divide remainder power negative positive "
    "absolute sign maximum minimum exp log log1p log2 sqrt square tanh floor ceil rint "
    "isfinite isnan isinf equal not_equal less less_equal greater greater_equal logical_and "
    "logical_or logical_not bitwise_and bitwise_or bitwise_xor invert left_shift right_shift "
    "divmod sin cos arctan2 arccos conjugate"
).split()
UFUNCS = {name: ufunc(name) for name in NAMES}
UFUNCS["abs"] = UFUNCS["absolute"]
UFUNCS["mod"] = UFUNCS["remainder"]

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal",
}  # fmt: skip


def _give_operators(cls):
    for short, name in _OPERATORS.items():
        call = UFUNCS[name]
        setattr(cls, f"__{short}__", lambda x, y, call=call: call(x, y))
        setattr(cls, f"__r{short}__", lambda x, y, call=call: call(y, x))
        setattr(cls, f"__i{short}__", lambda x, y, call=call: call(x, y, out=x))
    for short, name in _COMPARISONS.items():
        setattr(cls, f"__{short}__", lambda x, y, call=UFUNCS[name]: call(x, y))
    for short, name in (("neg", "negative"), ("invert", "invert"), ("abs", "absolute")):
        setattr(cls, f"__{short}__", lambda x, call=UFUNCS[name]: call(x))
    cls.__pos__ = lambda x: x


class Fused:
    """A value inside a fused formula. It has operators and elementwise functions, no more."""

    __slots__ = ("reduced", "state", "value")
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, value, state, reduced=False):
        self.value, self.state, self.reduced = value, state, reduced

    dtype = property(lambda self: np.asarray(self.value).dtype)
    ndim = property(lambda self: np.ndim(self.value))

    def __setitem__(self, index, value):
        if index is not Ellipsis and index != slice(None):
            raise ValueError("The fusion supports `[...]` or `[:]`.")
        fused_call(np.positive, (value,), self)

    def __bool__(self):
        raise TypeError("Can't cast to bool")

    def __array__(self, *args, **kwargs):
        raise TypeError("a value inside a fused formula has no array")


def fused_call(function, args, out):
    values, arrays = [], 0
    for x in args:
        if type(x) is Fused:
            values.append(x.value)
            arrays += isinstance(x.value, np.ndarray)
            state = x.state
            if x.reduced != state["reduced"]:
                raise TypeError("Shape mismatch: a formula goes on with what it has not added up")
        elif isinstance(x, SCALARS):
            values.append(x)
        else:
            raise TypeError(f"Unsupported type {type(x)}")
    if out is not None:
        state = out.state
    if not arrays:  # CuPy computes with numbers alone in float64, and the result stays that
        values = [np.float64(v) if isinstance(v, float) else v for v in values]
    if out is None:
        made = function(*values)
        many = isinstance(made, tuple)
        made = [Fused(v, state, state["reduced"]) for v in (made if many else (made,))]
        return tuple(made) if many else made[0]
    if not isinstance(out, Fused) or not isinstance(out.value, np.ndarray):
        raise TypeError("return arrays must be of ArrayType")
    if any(x is out for x in state["inputs"]) and out.value.shape != state["shape"]:
        raise ValueError("a fused formula writes into an array of another shape than the whole")
    np.copyto(out.value, function(*values), casting="same_kind")
    state["written"].add(id(out))
    return out


def fused_reduction(function, x, axis):
    """A sum or the like at the end of a fused formula: still one kernel."""
    if x.state["reduced"]:
        raise NotImplementedError("Multiple reduction is not implemented yet")
    x.state["reduced"], x.state["axis"] = True, axis
    whole = np.broadcast_to(x.value, x.state["shape"])
    inputs = np.broadcast_arrays(*x.state["arrays"])
    keywords = {"inputs": inputs} if function is block_sum else {}
    return Fused(function(whole, axis, **keywords), x.state, True)


_give_operators(ndarray)
_give_operators(Fused)


def fuse(*args, **kwargs):
    """Make an elementwise formula, with at most one reduction at its end, a single kernel."""
    if len(args) == 1 and not kwargs and callable(args[0]):
        return functools.update_wrapper(Fusion(args[0]), args[0])
    return lambda formula: functools.update_wrapper(Fusion(formula, **kwargs), formula)


class Fusion:
    def __init__(self, formula, kernel_name=None):
        self.formula = formula
        name = kernel_name or formula.__name__
        if not name.isidentifier():  # of a lambda, say
            raise ValueError(f"Invalid kernel name: {name!r}")
        self.name = name
        self.known = {}  # for arguments of each kind: which are written to, whether it returns
        self.axes = {}  # for these, in a list: the axis of the reduction, or nothing

    def __call__(self, *args):
        if any(isinstance(x, Fused) for x in args) or not any(isinstance(x, ndarray) for x in args):
            return self.formula(*args)  # inside another fused formula
        for x in args:
            if not (x is None or isinstance(x, (ndarray, *SCALARS))):
                raise TypeError(f"Invalid argument type for '{self.formula.__name__}': {type(x)}")
        kind = tuple((x.dtype.char, x.ndim) if _is(x) else type(x) for x in args)
        if kind not in self.known:  # once on copies, to see what it writes into and returns
            results, state = self._run([np.copy(raw(x)) if _is(x) else x for x in args])
            written = {n for n, x in enumerate(state["inputs"]) if id(x) in state["written"]}
            self.known[kind] = written, _is_tuple(results), len(results) > 0
            self.axes[kind] = [state["axis"]] if state["reduced"] else []
        written, many, returns = self.known[kind]

        started = functools.partial(self._started, kind, args) if standin.watched() else None
        targets = [x for n, x in enumerate(args) if n in written]
        if targets:
            places = [n for n in range(len(args)) if n in written]

            def write(arrays, *given):
                given = list(given)
                for n, a in zip(places, arrays, strict=True):
                    given[n] = a
                self._run(given)

            if not returns:
                change(
                    write, targets, *[None if n in written else x for n, x in enumerate(args)],
                    started=started,
                )  # fmt: skip
                return None
            # What it returns does not depend on whether it has written already: it is computed
            # from copies first. Both together are one launch.
            made = compute(
                lambda *given: _tuple(self._run([_copied(x) for x in given]), many), *args,
                started=started,
            )  # fmt: skip
            change(
                write, targets, *[None if n in written else x for n, x in enumerate(args)],
                launches=0,
            )  # fmt: skip
            return made

        return compute(lambda *given: _tuple(self._run(given), many), *args, started=started)

    def _started(self, kind, args, results, given):
        arrays = np.broadcast_arrays(*[raw(x) for x in args if _is(x)])
        if axes := self.axes[kind]:
            return [reduction(self.name, arrays, axes[0])]
        return [elementwise(self.name, arrays)]

    def _run(self, given):
        """The results, and what is known of the run: see the state's keys."""
        arrays = [x for x in given if isinstance(x, np.ndarray)]
        shape = np.broadcast(*arrays).shape
        state = {"reduced": False, "written": set(), "shape": shape, "arrays": arrays}
        state["inputs"] = [Fused(x, state) if x is not None else None for x in given]
        results = self.formula(*state["inputs"])
        if results is None:
            results = ()
        many = isinstance(results, tuple)
        values = [r.value if isinstance(r, Fused) else r for r in (results if many else (results,))]
        if state["reduced"]:
            state["shape"] = np.shape(values[0])
        return (_Tuple(values) if many else values), state


def _tuple(ran, many):
    results, state = ran
    found = tuple(np.broadcast_to(r, state["shape"]) for r in results)
    return found if many else found[0]


def _copied(x):
    return x.copy() if isinstance(x, np.ndarray) else x


class _Tuple(list):
    """Results of a formula that returned a tuple."""


def _is_tuple(results):
    return isinstance(results, _Tuple)


def _is(x):
    return isinstance(x, ndarray)
