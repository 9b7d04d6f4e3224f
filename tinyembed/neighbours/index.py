"""`Index`: embeddings that are asked for the nearest ones to a query, exactly."""

import hashlib
from functools import cached_property

import numpy as np

from tinyembed.backends.arrays import array_module, to_host
from tinyembed.errors import InputError
from tinyembed.models.model import Model
from tinyembed.neighbours.exact import nearest
from tinyembed.neighbours.labels import Labels
from tinyembed.neighbours.mapped import load_mapped, save_mapped
from tinyembed.neighbours.question import Question
from tinyembed.neighbours.shortlist import Shortlist


class Index:
    """The nearest of N embeddings, by cosine.

    embeddings: (N, D), a NumPy or CuPy array, used where it is, and not copied if it is float32;
    labels: `Labels`, or None; model: the `Model` that made them, or its `weights_digest`.
    A row of zeros, which has no direction, and a row whose label says that the unit has no onset
    keep their numbers and are nobody's neighbours.
    Raises InputError where a row is not finite, or labels are not one a row.
    """

    def __init__(self, embeddings, labels=None, model=None, shortlist=None):
        xp = array_module(embeddings)
        if embeddings.ndim != 2 or 0 in embeddings.shape or embeddings.dtype.kind not in "fiu":
            raise InputError(f"embeddings are (N, D) numbers, one or more; not {embeddings.shape}")
        if labels is not None and len(labels) != len(embeddings):
            raise InputError(f"{len(labels):,} labels for {len(embeddings):,} embeddings")
        with np.errstate(over="ignore"):  # an infinite row is refused by name, below
            self.embeddings = xp.asarray(embeddings, np.float32)
        self.labels = labels
        self.model = weights_digest(model) if isinstance(model, Model) else model
        self.shortlist = shortlist or Shortlist.of(self.embeddings)

    def __len__(self):
        """How many rows there are, with those that are never found."""
        return len(self.embeddings)

    @cached_property
    def findable(self):
        """(N,) bool: which rows may be neighbours."""
        has_direction = self.shortlist.scale > 0
        if self.labels is None:
            return has_direction
        return has_direction & array_module(has_direction).asarray(self.labels.sounds)

    @cached_property
    def n_findable(self):
        """How many rows may be neighbours."""
        return int(self.findable.sum())

    def codes(self, name):
        """The number of the "piece" or the "composer" of each row: (N,) int32, on the device."""
        return array_module(self.embeddings).asarray(getattr(self.labels, name))

    def search(self, queries, k=10, where=None, not_piece=None, not_composer=None):
        """The k nearest rows to one query or to several.

        queries: (D,) or (Q, D); where: (N,) bool, which rows may be found; not_piece: the number
        of a piece, as in `labels.pieces`, whose rows are not; not_composer: the same of a
        composer. For several queries these are one number, or (Q,), where -1 is none.
        Returns `Neighbours`. The answer is exact: no other row has a greater cosine, to 12 digits
        of the one in float64, and of rows with equal ones the lower are found.
        Raises InputError for a query of another size or without a direction, and for a k that is
        larger than what there is to find.
        """
        question = Question.of(self, queries, k, where, not_piece, not_composer)
        return question.answer(*nearest(self.embeddings, self.shortlist, question))

    def save(self, path, arrays=None, **about):
        """Write the index to a file, all at once: what was there stays whole until it is done.

        arrays, about: what else to keep in it, arrays and JSON values by name.
        """
        parts = {
            "embeddings": self.embeddings,
            "table": self.shortlist.table,
            "scale": self.shortlist.scale,
            "basis": self.shortlist.basis,
        }
        about = {"model": self.model, "labelled": self.labels is not None, **about}
        if self.labels is not None:
            parts |= self.labels.arrays()
            about |= {"pieces": self.labels.pieces, "composers": self.labels.composers}
        save_mapped(path, parts | (arrays or {}), about)

    @classmethod
    def load(cls, path, model=None, xp=np):
        """A saved index, mapped into memory: it is read as it is searched.

        model: the `Model` that makes the queries, or its `weights_digest`; xp: cupy, to copy the
        index to a GPU, where it takes 4 D + 132 bytes a row: 0.53 GB for a million rows of 100.
        Raises InputError for a file that is missing, damaged, not one of ours, or the index of
        another model.
        """
        return cls.of_arrays(path, *load_mapped(path), model, xp)

    @classmethod
    def of_arrays(cls, path, arrays, about, model=None, xp=np):
        """The index in what `load_mapped(path)` gave: see `load`."""
        digest = weights_digest(model) if isinstance(model, Model) else model
        if digest is not None and about.get("model") != digest:
            raise InputError(
                f"{path}: an index of another model's embeddings, so cosines would mean nothing; "
                "make it again, or ask with the model that it was made with"
            )
        try:
            parts = [xp.asarray(arrays[name]) for name in ("table", "scale", "basis")]
            embeddings, labels = xp.asarray(arrays["embeddings"]), None
            if about["labelled"]:
                names = ("piece", "beat", "sounds", "seconds", "piece_composer")
                codes = {name: np.asarray(arrays[name]) for name in names}
                labels = Labels(**codes, pieces=about["pieces"], composers=about["composers"])
            n, d = embeddings.shape
            if [p.shape[0] for p in parts] != [n, n, d] or parts[2].shape != (d, d):
                raise ValueError("parts of different indexes")
            parts = (embeddings, labels, about["model"], Shortlist(*parts))
            return cls.restore(parts, arrays, about)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f"{path}: not a whole index of this kind ({error})") from None

    @classmethod
    def restore(cls, parts, arrays, about):
        """The index of `parts`, the arguments of the class, and whatever else was saved."""
        return cls(*parts)


def weights_digest(model):
    """The SHA-256 of a model's weights: the same on any device, and in whatever file they came."""
    digest = hashlib.sha256(model.width.encode())
    for name, array in sorted(model.state().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(to_host(array), np.float32).tobytes())
    return digest.hexdigest()
