"""Embeddings as a step of a scikit-learn pipeline, without any need of scikit-learn.

    make_pipeline(Embedder(), StandardScaler(), LogisticRegression()).fit(paths, composers)

What scikit-learn asks of a transformer is a way of speaking, not a base class: parameters are
taken by `__init__` as they are and found again by name, and `fit` returns the estimator.
"""

import inspect

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.embedding.embed import check_rolls, embed_piece, embed_rolls, loaded, named
from tinyembed.errors import InputError, MusicError
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING
from tinyembed.music.inputs import read_music
from tinyembed.music.midi import Piece
from tinyembed.music.roll import units_sound

POOLS = {"mean": np.mean, "max": np.max}


class Embedder:
    """Pieces of music to their embeddings, one row a piece; or rolls, one row a unit.

    model: what `tinyembed.load` takes, or a `Model`; pool: "mean" or "max", how the units of a
    piece become one row (those without an onset are left out); any_meter, device: as for
    `tinyembed.embed`. Nothing is learned from the music, so that `fit` only checks all this.
    """

    def __init__(self, model=None, pool="mean", any_meter=False, device="auto"):
        self.model = model
        self.pool = pool
        self.any_meter = any_meter
        self.device = device

    def fit(self, X, y=None):
        """Check the parameters. X and y are not looked at. Returns the estimator.

        Raises InputError for a model that is not there, or a wrong parameter.
        """
        self._ready()
        return self

    def transform(self, X):
        """(n, 100) float32 on the host.

        X: a list (or an array, or series) of n pieces, each whatever `tinyembed.embed` takes; or
        rolls (n, 60, 96).
        Raises InputError or WorkError, naming it, where one of them cannot be read: n rows are
        asked for, so that none can be left out.
        """
        model = self._ready()
        if getattr(X, "ndim", 1) > 1:
            return to_host(embed_rolls(check_rolls(X), model))
        rows = [self._row(music, model) for music in X]
        return np.stack(rows) if rows else np.zeros((0, EMBEDDING), np.float32)

    def fit_transform(self, X, y=None):
        """`fit`, then `transform`."""
        return self.fit(X, y).transform(X)

    def get_params(self, deep=True):
        """{name: value} of all parameters."""
        return {name: getattr(self, name) for name in _parameters()}

    def set_params(self, **params):
        """Set parameters by name. Returns the estimator. Raises InputError for other names."""
        for name, value in params.items():
            if name not in _parameters():
                raise InputError(f"{name}: an Embedder has {', '.join(_parameters())}")
            setattr(self, name, value)
        return self

    def get_feature_names_out(self, input_features=None):
        """The names of the columns: (100,) str, "embedder0" and so on, as scikit-learn has them."""
        return np.array([f"embedder{i}" for i in range(EMBEDDING)], dtype=object)

    def _ready(self):
        if self.pool not in POOLS:
            raise InputError(f"pool {self.pool!r}: choose one of {', '.join(POOLS)}")
        return self.model if isinstance(self.model, Model) else loaded(self.model, self.device)

    def _row(self, music, model):
        try:
            is_rolls = getattr(music, "ndim", 0) > 1
            units = check_rolls(music) if is_rolls else read_music(music, self.any_meter)
        except (InputError, MusicError) as error:
            raise named(error, music) from error
        if isinstance(units, Piece):
            rows, sounds = embed_piece(units, model), units_sound(units)
        else:
            rows = to_host(embed_rolls(units, model))
            sounds = to_host(units.reshape(len(rows), -1).any(axis=1))
        return POOLS[self.pool](rows[sounds] if sounds.any() else rows, axis=0)

    def __repr__(self):
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"Embedder({given})"

    # What scikit-learn asks; nobody else calls these, so that it is there where they run.

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True, string=True),
            requires_fit=False,
        )


def _parameters():
    return list(inspect.signature(Embedder).parameters)
