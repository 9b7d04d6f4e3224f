"""Where the values of images are that are not 0: a unit has some twenty of 5,760."""

from dataclasses import dataclass

import numpy as np

from tinyembed.backends.numba.compiling import kernel

LIKELY = 64  # onsets per image, for which there is room at the first attempt
MANY = 200  # onsets in an image, beyond which products of matrices are faster than loops over them


@dataclass
class Onsets:
    """The P values that are not 0 of N images (H, W), image by image, row by row.

    start: (N + 1,), where each image's values begin; row, column: (P,) int32; value: (P,) float32.
    """

    start: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray

    def many(self):
        """Which images have more than MANY, each judged by itself: (N,) bool."""
        return np.diff(self.start) > MANY


def find_onsets(images):
    """The `Onsets` of images, (N, H, W) float32 without gaps."""
    start, room = np.zeros(len(images) + 1, np.int64), LIKELY * len(images)
    while True:
        places, value = np.empty((2, room), np.int32), np.empty(room, np.float32)
        found = _find(images, images.view(np.uint32), start, *places, value)
        if found <= room:
            return Onsets(start, *places[:, :found], value[:found])
        room = found


@kernel
def _find(images, bits, start, row, column, value):
    """Fills the arrays, as far as they reach. Returns how many values there are."""
    p = 0
    for n in range(images.shape[0]):
        for i in range(images.shape[1]):
            # Most rows are silent. One look at all bits of a row takes a few instructions.
            all_bits = np.uint32(0)
            for k in range(images.shape[2]):
                all_bits = np.uint32(all_bits | bits[n, i, k])
            if all_bits != 0:
                for k in range(images.shape[2]):
                    if images[n, i, k] != 0:
                        if p < value.size:
                            row[p], column[p], value[p] = i, k, images[n, i, k]
                        p += 1
        start[n + 1] = p
    return p
