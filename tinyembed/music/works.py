"""Which pieces belong to one work, so that they are not divided between training and testing.

The movements of a sonata share their key, their themes and their date, and often the editor of the
file. A classifier that was trained on the first movement may recognize the second by these.

Three rules, of which the first that applies decides, except that the last one always does:

1. tables/works.tsv lists patterns of file names, in the spellings of the public corpora. Its kinds
   are "work", music that is played as one (a sonata, a suite, variations); "cycle", pieces with an
   end of their own that were published together (preludes, an album), which are held together only
   if asked for; and "-", pieces whose numbers count no movements.
2. Otherwise names that differ in their last number only are movements of one work, such as
   sonata_1.mid and sonata_2.mid.
3. Pieces that hold the same music (same_music.py) are always together, with all that belongs to
   either of them.
"""

import csv
import os
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np

from tinyembed.music.same_music import same_music

TABLE = Path(__file__).with_name("tables") / "works.tsv"
KINDS = ("work", "cycle", "-")
MOVEMENT = re.compile(r"(.+)[-_ .]\d+")


def works_of(corpus, cycles=False):
    """The work that each piece of a corpus belongs to: (n_pieces,) int, numbered from 0.

    cycles: whether the pieces of a cycle are one work, too.
    """
    titles = [work_of(name, cycles) for name in corpus.names]
    _, work = np.unique(titles, return_inverse=True)
    for group in same_music(corpus):
        for pair in group:
            work[work == work[pair.second]] = work[pair.first]
    return np.unique(work, return_inverse=True)[1]


def work_of(name, cycles=False):
    """A text that is the same for the pieces of one work. name: "composer/file.mid"."""
    name = os.path.splitext(name)[0]
    composer = name.partition("/")[0]
    for pattern, title, kind in _table():
        if fnmatchcase(name, pattern):
            together = kind == "work" or (kind == "cycle" and cycles)
            return f"{composer}: {title}" if together else name
    movement = MOVEMENT.fullmatch(name)
    return movement[1] if movement else name


@cache
def _table():
    """The rows of works.tsv: (pattern, title, kind), in the order of the file."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)][1:]
