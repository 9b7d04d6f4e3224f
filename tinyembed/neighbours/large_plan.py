"""How an index of many rows is divided: every number follows from how many rows there are."""

from dataclasses import dataclass

# Codes. A row of 100 numbers becomes BYTES bytes: the numbers two by two, each pair one of 256.
# With half of the bytes, four numbers each, an estimated cosine has three times the error, and
# several times the candidates would have to be read from the disk, which takes longer.
BYTES = 50
# Candidates are ranked exactly. Of ten million rows, the codes put all of the ten nearest that the
# visited lists hold among the first 50.
CANDIDATES = 100
PER_NEIGHBOUR = 10  # or so many per row asked for

# Lists. With twice the square root of the rows (rounded down to a power of two), a query compares
# itself with a few thousand centres and some hundred thousand codes, both in milliseconds. With
# twice as many lists building takes twice as long, and a query must visit nearly twice as many.
LISTS_PER_ROOT = 2
ROWS_PER_LIST = 40  # at least: faiss wants 39 training rows per centre
MOST_LISTS = 1 << 16  # 26 MB of centres; more would make building slower and queries no faster
# Training. So many rows per list, and 1 GB of float32 in all at most, for the most lists.
TRAINING_PER_LIST = 40
LEAST_TRAINING = 256  # what the codebook of 256 pairs needs

# Probes: the lists that a query visits. For 0.95 of the ten nearest of ten million rows it takes 24
# of 4,096 lists. Three quarters of their root, 48, find 0.98: twice as many as needed, because
# other music than the measured may lie in more lists.
PROBES_PER_ROOT = 0.75
LEAST_PROBES = 8


@dataclass(frozen=True)
class Plan:
    """lists: how many; training: rows of the sample; probes: lists that a query visits."""

    lists: int
    training: int
    probes: int

    @classmethod
    def of(cls, rows):
        """The plan for so many rows."""
        lists = 1
        while lists * 2 <= min(LISTS_PER_ROOT * rows**0.5, rows / ROWS_PER_LIST, MOST_LISTS):
            lists *= 2
        return cls(lists, min(rows, max(LEAST_TRAINING, TRAINING_PER_LIST * lists)), probes(lists))


def probes(lists):
    """How many of so many lists a query visits."""
    return min(lists, max(LEAST_PROBES, round(PROBES_PER_ROOT * lists**0.5)))
