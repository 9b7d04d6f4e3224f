"""faiss's IVF-PQ index from arrays, and back: what a sample of rows teaches it (extra `index`).

An inverted file (IVF): k-means assigns every row to the nearest of some thousand centres, so each
centre has a list of rows. A product quantizer (PQ): what is left of a row without its centre is
rotated and cut into pairs of numbers, and each pair becomes the number of the nearest of 256 pairs,
one byte. The rotation is the parametric one of OPQ: it makes the numbers uncorrelated, and pairs
the strongest with the weakest, so that no byte has much more to tell than another. That loses 0.5%
of what is left of a row, and cutting without a rotation 1.2%.

    rotation    (D, D) float32, orthogonal: it turns cosines into the same cosines
    centres     (lists, D) float32, of rotated rows
    codebook    (bytes, 256, D / bytes) float32

Jegou, Douze, Schmid 2011, Product quantization for nearest neighbor search; Ge, He, Ke, Sun 2013,
Optimized product quantization.
"""

import numpy as np

from tinyembed.neighbours.cells import import_faiss
from tinyembed.neighbours.large_plan import BYTES
from tinyembed.storage.progress import progress_bar

ITERATIONS = 10  # of k-means; the lists get no better for it later, only more even
CODEBOOK_ROWS = 1 << 15  # 128 per entry


def train(sample, lists, seed, progress=None):
    """The arrays of a quantizer.

    sample: (n, D) float32 of length 1, n >= 1; progress: False for no progress bar.
    """
    faiss, size = import_faiss(), sample.shape[1]
    if len(sample) < max(256, lists):
        sample = np.resize(sample, (max(256, lists), size))  # some of them twice
    rng = np.random.default_rng(seed)

    centres = faiss.IndexFlatIP(size)
    means = faiss.Clustering(size, lists)
    means.niter, means.seed, means.spherical = 1, seed % (1 << 31), True
    means.min_points_per_centroid = 1  # otherwise faiss warns about a small index
    for _ in progress_bar(progress, range(ITERATIONS), desc="k-means", delay=1):
        centres.reset()
        means.train(sample, centres)  # from the centres of the iteration before

    some = sample[rng.permutation(len(sample))[:CODEBOOK_ROWS]]
    rest = some - centres.reconstruct_batch(centres.search(some, 1)[1][:, 0])
    rotation = _rotation(rest)
    codes = faiss.ProductQuantizer(size, BYTES, 8)
    codes.cp.seed, codes.cp.min_points_per_centroid = seed % (1 << 31), 1
    codes.cp.niter = ITERATIONS
    codes.train(np.ascontiguousarray(rest @ rotation.T))
    return {
        "rotation": rotation,
        "centres": centres.reconstruct_n(0, lists) @ rotation.T,
        "codebook": faiss.vector_to_array(codes.centroids).reshape(BYTES, 256, size // BYTES),
    }


def _rotation(rest):
    """The rotation of what is left of rows: (n, D) -> (D, D), D even."""
    size = rest.shape[1]
    directions = np.linalg.eigh(rest.T.astype(np.float64) @ rest)[1]  # the weakest first
    order = np.stack([np.arange(size)[::-1][: size // 2], np.arange(size // 2)], axis=1)
    return np.ascontiguousarray(directions.T[order.ravel()], np.float32)


def make(arrays):
    """An index of faiss without rows, from the arrays of a quantizer."""
    faiss, centres = import_faiss(), arrays["centres"]
    lists, size = centres.shape
    flat = faiss.IndexFlatIP(size)
    flat.add(np.ascontiguousarray(centres))
    bytes_per_row = len(arrays["codebook"])
    index = faiss.IndexIVFPQ(flat, size, lists, bytes_per_row, 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ravel(arrays["codebook"]), index.pq.centroids)
    index.is_trained = True
    return index


def hollow(index):
    """Give the index centres without numbers, to write its lists alone."""
    faiss = import_faiss()
    index.quantizer = flat = faiss.IndexFlatIP(index.d)
    index.referenced_objects = [flat]


def attach(index, path, sizes):
    """Give the index the lists in a file that faiss's `merge_ondisk` wrote.

    sizes: (lists,) int64. The file must be as long as they say. It is mapped, and never written to.
    """
    faiss = import_faiss()
    lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(path))
    lists.read_only, lists.prefetch_nthread = True, 0
    lengths = np.ascontiguousarray(sizes, np.uint64)  # a pointer alone would not keep it
    lists.set_all_lists_sizes(faiss.swig_ptr(lengths))
    lists.totsize = int(sizes.sum()) * (index.code_size + 8)
    if lists.totsize:
        lists.do_mmap()
    index.replace_invlists(lists, True)
    lists.this.disown()
    index.ntotal = int(sizes.sum())
