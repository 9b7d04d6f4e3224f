"""Operations: plain functions that a backend may run faster, without the reader having to know.

    @operation
    def elu(x): ...

The marked function is the definition. A backend offers variants of it: functions of the same name
that compute the same. Their first parameter, `plain`, is what they fall back to for arguments that
they do not handle. The variants of several backends form a chain that ends at the definition.
"""

import functools
import types

_tables = {}  # {"numpy": () -> [{name: variant}, the preferred backend first], "cupy": the same}
_chains = {}  # {(plain, type of its first argument): what runs}
_defined = {}  # {name: plain}


def operation(plain):
    """Mark a function of arrays as one that a backend may override. Its first argument decides."""
    name = plain.__name__
    if _defined.setdefault(name, plain).__module__ != plain.__module__:
        raise ValueError(f"there are two operations called {name}")

    @functools.wraps(plain)
    def run(*arguments):
        kind = type(arguments[0])
        chain = _chains.get((plain, kind)) or _build_chain(plain, kind)
        return chain(*arguments)

    return run


def variants_in(*modules):
    """{name: variant} of the functions that modules define and whose first parameter is `plain`."""
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__
        if function.__code__.co_varnames[:1] == ("plain",)
    }


def operations():
    """{name: plain definition} of all operations that have been imported."""
    return dict(_defined)


def set_backends(library, tables):
    """Which variants to use from now on, for the arrays of one library.

    library: "numpy" or "cupy"; tables: () -> list of {name: variant}, called when it is needed.
    """
    _tables[library] = tables
    _chains.clear()


def _build_chain(plain, kind):
    # CuPy traces formulas with types of its own, and a number may come first: both take the plain
    # definition. The bytes of a file are in the memory of NumPy's arrays.
    library = kind.__module__.partition(".")[0] if kind.__name__ == "ndarray" else None
    library = "numpy" if kind is bytes else library
    chain = plain
    for table in reversed(_tables.get(library, list)()):
        if plain.__name__ in table:
            chain = functools.partial(table[plain.__name__], chain)
    _chains[plain, kind] = chain
    return chain
