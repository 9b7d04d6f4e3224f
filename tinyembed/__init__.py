"""Four beats of piano music become 100 numbers: deep autoencoders by hand, on NumPy or CuPy."""

import signal
import sys

__version__ = "0.1.0"

# A command (`python -m tinyembed.VERB`) spends its first half second importing. Until `command.run`
# takes over, Ctrl-C ends it without a word; a program that imports tinyembed keeps its own ways.
if any(word.startswith("tinyembed.") for word in sys.orig_argv[1:4]):
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

_HOMES = {
    "load": "tinyembed.embedding.embed",
    "embed": "tinyembed.embedding.embed",
    "EmbeddingWarning": "tinyembed.embedding.embed",
    "Embedder": "tinyembed.embedding.transformer",
    "Index": "tinyembed.neighbours.index",
    "Corpus": "tinyembed.music.corpus",
    "onset_roll": "tinyembed.music.roll",
    "read_midi": "tinyembed.music.midi",
    "roll_to_midi": "tinyembed.music.roll",
    "to_midi": "tinyembed.music.roll",
    "load_weights": "tinyembed.models.weights",
}
__all__ = list(_HOMES)


def __getattr__(name):
    """Import a public name when it is first used, so that `import tinyembed` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tinyembed' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
