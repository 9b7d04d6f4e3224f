"""Four beats of piano music become 100 numbers: deep autoencoders by hand, on NumPy or CuPy."""

__version__ = "0.1.0"

_HOMES = {
    "Corpus": "tinyembed.music.corpus",
    "onset_roll": "tinyembed.music.roll",
    "read_midi": "tinyembed.music.midi",
    "to_midi": "tinyembed.music.roll",
    "load_weights": "tinyembed.runs",
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
