"""What `tinyembed.compiled` was: its functions, each naming what replaces it."""

import warnings

from tinyembed.backends import choice


def switch_on(on: bool = True) -> bool:
    """Use numba from now on, or stop using it. Returns whether numba is in use.

    Warns with a FutureWarning: `tinyembed.use_backend` replaces this function.
    """
    name = "numba" if on else "cpu"
    warnings.warn(
        f"tinyembed.compiled.switch_on({'' if on else on}) is now tinyembed.use_backend({name!r})",
        FutureWarning,
        stacklevel=2,
    )
    return choice.use(name) == "numba"


def in_use() -> bool:
    """Whether numba is in use."""
    return choice.in_use() == "numba"
