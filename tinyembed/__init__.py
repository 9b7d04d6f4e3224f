"""Four beats of piano music become 100 numbers: deep autoencoders by hand, on NumPy or CuPy."""

import os
import signal
import sys

__version__ = "0.1.0"

# What Python was told to run: a module's name, where `-m` stands in sys.argv until the module is
# found, or a script. What precedes it are Python's own options, what follows are its arguments.
_started = "".join(sys.orig_argv[-len(sys.argv) :][:1]).removeprefix("-m")
# A command first imports for a quarter of a second. Until `cli.running.run` takes over, Ctrl-C ends
# it without a message. A program that imports tinyembed keeps its own signal handlers.
if sys.argv[0] != "-c" and os.path.basename(_started).partition(".")[0] == "tinyembed":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

_HOMES = {  # public name: the module that defines it, and its name there if that is another one
    "load": "tinyembed.embedding.trained",
    "embed": "tinyembed.embedding.embed",
    "EmbeddingWarning": "tinyembed.embedding.embed",
    "Embedder": "tinyembed.embedding.transformer",
    "similarity": "tinyembed.embedding.similarity",
    "Index": "tinyembed.neighbours.index",
    "Corpus": "tinyembed.music.corpus",
    "onset_roll": "tinyembed.music.roll",
    "read_midi": "tinyembed.music.midi",
    "roll_to_midi": "tinyembed.music.roll",
    "to_midi": "tinyembed.music.roll",
    "load_weights": "tinyembed.models.weights",
    "use_backend": "tinyembed.backends.choice:use",
}
__all__ = list(_HOMES)  # __init__.pyi names them for type checkers


def __getattr__(name):
    """Import a public name when it is first used, so that `import tinyembed` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tinyembed' has no attribute {name!r}")
    import importlib

    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def _former(name):
    from tinyembed.backends import former

    return getattr(former, name)


# A module that moved, still found by its former name. It is imported when it is first used.
compiled = type(sys)("tinyembed.compiled")
compiled.__getattr__ = _former
sys.modules[compiled.__name__] = compiled
