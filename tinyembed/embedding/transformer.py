"""Embeddings as a step of a scikit-learn pipeline. The module itself does not need scikit-learn.

    make_pipeline(Embedder(), StandardScaler(), LogisticRegression()).fit(paths, composers)

A scikit-learn transformer follows a convention and needs no base class: `__init__` stores its
parameters unchanged under their own names, and `fit` returns the estimator.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tinyembed.backends.arrays import to_host
from tinyembed.embedding.embed import Rows, embed_piece, embed_rolls
from tinyembed.embedding.sources import check_rolls, read_source
from tinyembed.embedding.trained import ModelSource, load_cached
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.models.table import EMBEDDING
from tinyembed.music.piece import Piece
from tinyembed.music.roll import units_have_onsets

POOLS = {"mean": np.mean, "max": np.max}


class Embedder:
    """A transformer from pieces of music to embeddings, one row per piece; or from rolls, one each.

    model: an argument of `tinyembed.load`, or a `Model`; pool: "mean" or "max", how the units of
    a piece become one row (units without an onset are ignored); any_meter, device: as for
    `tinyembed.embed`. Nothing is learned from the music: `fit` only checks these parameters.
    """

    def __init__(
        self,
        model: ModelSource = None,
        pool: str = "mean",
        any_meter: bool = False,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.pool = pool
        self.any_meter = any_meter
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters; X and y are ignored. Returns the estimator.

        Raises InputError if there is no such model, or if a parameter is wrong.
        """
        self._checked_model()
        return self

    def transform(self, X: Any) -> Rows:
        """(n, 100) float32 on the host.

        X: a list (or an array, or series) of n pieces, each an argument of `tinyembed.embed`; or
        rolls (n, 60, 96).
        Raises InputError or WorkError that names a piece if it cannot be read. It is not left
        out, because the result must have n rows.
        """
        model = self._checked_model()
        if getattr(X, "ndim", 1) > 1:
            return to_host(embed_rolls(check_rolls(X), model))
        rows = [self._row(music, model) for music in X]
        return np.stack(rows) if rows else np.zeros((0, EMBEDDING), np.float32)

    def fit_transform(self, X: Any, y: Any = None) -> Rows:
        """`fit`, then `transform`."""
        return self.fit(X, y).transform(X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """{name: value} of all parameters."""
        return dict(vars(self))

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name. Returns the estimator. Raises InputError for other names."""
        for name, value in params.items():
            if name not in vars(self):
                raise InputError(f"{name}: an Embedder has {', '.join(vars(self))}")
            setattr(self, name, value)
        return self

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """The names of the columns, as scikit-learn forms them: (100,) str, "embedder0", ..."""
        return np.array([f"embedder{i}" for i in range(EMBEDDING)], dtype=object)

    def _checked_model(self):
        if self.pool not in POOLS:
            raise InputError(f"pool {self.pool!r}: choose one of {', '.join(POOLS)}")
        return self.model if isinstance(self.model, Model) else load_cached(self.model, self.device)

    def _row(self, music, model):
        units = read_source(music, self.any_meter)
        if isinstance(units, Piece):
            rows, sounds = embed_piece(units, model), units_have_onsets(units)
        else:
            rows = to_host(embed_rolls(units, model))
            sounds = to_host(units.reshape(len(rows), -1).any(axis=1))
        return POOLS[self.pool](rows[sounds] if sounds.any() else rows, axis=0)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"Embedder({given})"

    # Only scikit-learn calls these, so it is installed when they run.

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
