"""What one would write to embed a folder: symusic reads, NumPy cuts rolls, PyTorch encodes.

The encoder is the context model's, with the package's weights (peer.py). symusic loses notes of
some files; where it finds as many beats, it finds as many units as tinyembed.
"""

import sys
import time

import numpy as np
import symusic
import torch

from benchmarks.peer import Peer
from tinyembed.backends.cpu.threads import workers
from tinyembed.embedding.trained import load
from tinyembed.music.folders import find_files

LAYOUTS = torch.contiguous_format, torch.channels_last
BATCHES = None, 250, 1000  # units at a time, from all files together; None: file by file


class FolderPeer:
    """Embeds MIDI files that symusic reads. paths: of the files; choose: whether to try several
    layouts and batch sizes on the first files, and to take the fastest."""

    def __init__(self, paths, choose=True):
        torch.set_num_threads(workers())
        self.paths = list(paths)
        self.encoder = Peer(load("context")).eval().encoder
        ways = [(layout, batch) for layout in LAYOUTS for batch in BATCHES]
        self._choose(*(min(ways, key=lambda way: self._seconds(*way)) if choose else ways[0]))

    def embed(self, paths=None):
        """A list of (units, 100), one for each file."""
        files = map(rolls_of, paths or self.paths)
        with torch.inference_mode():
            if self.batch is None:
                return [self.encoder(torch.from_numpy(rolls)[:, None]) for rolls in files]
            rolls = list(files)
            parts = torch.split(torch.from_numpy(np.concatenate(rolls)), self.batch)
            rows = torch.cat([self.encoder(part[:, None]) for part in parts])
            return torch.split(rows, [len(units) for units in rolls])

    def _choose(self, layout, batch):
        self.encoder, self.batch = self.encoder.to(memory_format=layout), batch

    def _seconds(self, *way):
        self._choose(*way)
        self.embed(self.paths[:5])
        began = time.perf_counter()
        self.embed(self.paths[:5])
        return time.perf_counter() - began


def rolls_of(path):
    """The onset rolls of a file's units: (units, 60, 96) float32."""
    score = symusic.Score(path)
    per_beat = score.ticks_per_quarter
    notes = [track.notes.numpy() for track in score.tracks if not track.is_drum]
    time, duration, pitch = (
        np.concatenate([part[name] for part in notes]) for name in ("time", "duration", "pitch")
    )
    ticks = (time.astype(np.int64) * 48 + per_beat) // (2 * per_beat)  # 24 per beat, half up
    beats = max(-(-int((time + duration).max()) // per_beat), int(ticks.max()) // 24 + 1, 4)
    row = np.where(pitch < 36, pitch % 12, np.where(pitch > 95, 48 + pitch % 12, pitch - 36))
    whole = np.zeros((60, beats * 24), np.float32)
    whole[row, ticks] = 1
    units = np.lib.stride_tricks.sliding_window_view(whole, 96, axis=1)[:, ::24]
    return np.ascontiguousarray(units.swapaxes(0, 1))


if __name__ == "__main__":
    FolderPeer([path for _, path in find_files(sys.argv[1]).files], choose=False).embed()
