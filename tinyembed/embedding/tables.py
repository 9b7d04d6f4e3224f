"""Tables of embeddings: the units of several files, or the files, one per row."""

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from tinyembed.embedding.embed import embed_pieces, units_bar
from tinyembed.embedding.per_piece import pooled
from tinyembed.embedding.sources import folder_errors, name_error
from tinyembed.embedding.trained import weight_file
from tinyembed.errors import InputError
from tinyembed.music.folders import find_files, passed_over
from tinyembed.music.inputs import read_files
from tinyembed.music.roll import units_have_onsets
from tinyembed.storage.files import digest
from tinyembed.storage.text import printable


@dataclass(frozen=True)
class Table:
    """R units of F files.

    embeddings: (R, 100) float32; files: F names; file_index: (R,) int32, index into files; beat:
    (R,) int32, the first beat of the unit; time: (R,) float64, when it begins, in seconds;
    sounds: (R,) bool, whether it has an onset; model: the name or path of the model; weights: the
    SHA-256 of its weight file.
    """

    embeddings: np.ndarray
    files: list
    file_index: np.ndarray
    beat: np.ndarray
    time: np.ndarray
    sounds: np.ndarray
    model: str
    weights: str

    columns = ("file", "beat", "time", "sounds")

    @classmethod
    def of(cls, pieces, model, which, progress=None):
        """Embed a list of (path, `Piece`). which: the name or path of the model."""
        paths, pieces = zip(*pieces, strict=True)
        with units_bar(pieces, progress) as bar:
            rows = embed_pieces(pieces, model, bar)
        beats = [np.arange(len(r), dtype=np.int32) for r in rows]
        return cls(
            embeddings=np.concatenate(rows),
            files=[printable(path) for path in paths],
            file_index=np.repeat(np.arange(len(rows), dtype=np.int32), [len(r) for r in rows]),
            beat=np.concatenate(beats),
            time=np.concatenate([p.seconds(b) for p, b in zip(pieces, beats, strict=True)]),
            sounds=np.concatenate([units_have_onsets(piece) for piece in pieces]),
            model=printable(which),
            weights=digest(weight_file(which)),
        )

    def __len__(self):
        """The number of units."""
        return len(self.beat)

    def labels(self, row):
        """The columns of a row except its embedding, as text: file, beat, time, sounds."""
        name, time = self.files[self.file_index[row]], f"{self.time[row]:.3f}"
        return [name, str(self.beat[row]), time, str(int(self.sounds[row]))]


@dataclass(frozen=True)
class PieceTable:
    """F files, one vector each.

    embeddings: (F, 200) float32, from `piece_vector`; files, model, weights: as in `Table`.
    """

    embeddings: np.ndarray
    files: list
    model: str
    weights: str

    columns = ("file",)

    @classmethod
    def of(cls, pieces, model, which, progress=None):
        """Embed a list of (path, `Piece`). which: the name or path of the model."""
        paths, pieces = zip(*pieces, strict=True)
        with units_bar(pieces, progress) as bar:
            rows = embed_pieces(pieces, model, bar)
        vectors = [pooled("piece", r, piece) for r, piece in zip(rows, pieces, strict=True)]
        names = [printable(path) for path in paths]
        return cls(np.stack(vectors), names, printable(which), digest(weight_file(which)))

    def __len__(self):
        """The number of files."""
        return len(self.files)

    def labels(self, row):
        """The columns of a row except its embedding, as text: file."""
        return [self.files[row]]


def read_paths(paths, any_meter=False, progress=None):
    """Read files, and all files in folders.

    Returns a list of (path, `Piece`), a list of the errors, each of which names its file, and a
    list of notes on what is passed over.
    """
    files, errors, pieces, endings = [], [], [], Counter()
    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        try:
            found = find_files(path)
        except InputError as error:
            errors.append(error)
            continue
        files += [file for _, file in found.files]
        errors += folder_errors(path, found)
        endings += found.endings
    for path, piece in zip(files, read_files(files, any_meter, progress), strict=True):
        if isinstance(piece, Exception):
            errors.append(name_error(piece, path))
        else:
            pieces.append((path, piece))
    return pieces, errors, passed_over(endings)
