"""The engine of a GPU: batches made there, the step recorded as a graph and replayed."""

from tinyembed.backends.cupy import products
from tinyembed.backends.cupy.batches import DeviceBatches, DeviceDraws
from tinyembed.backends.cupy.graphs import Replayed, own_stream
from tinyembed.backends.engine import Engine

CORPORA = 3  # whose onsets are on the GPU at a time: to train on, to validate on, and the next pool


class GpuEngine(Engine):
    """Runs steps on a GPU. xp: cupy; graph: whether the step is recorded."""

    def __init__(self, xp, graph=True):
        self.xp, self.graph = xp, graph
        self._cutters = {}  # {id of a corpus: (the corpus, its onsets on the GPU)}

    @property
    def about(self):
        """What a log says of it, beside the results."""
        return {"tf32": True} if products.in_tf32() else {}

    def batches(self, examples, size, numbers, steps):
        """As in `Engine`, drawn on the host for many steps at once."""
        return DeviceBatches(examples, self._cutter, size, numbers, steps)

    def draws(self, draw, numbers, steps):
        """As in `Engine`, moved to the GPU for many steps at once."""
        return DeviceDraws(draw, numbers, steps, self.xp)

    def make(self, examples, chosen, step):
        """As in `Engine`, on the GPU."""
        batches = DeviceBatches(examples, self._cutter, len(chosen))
        batches.take([examples.draw(chosen, step, corruption=True)], step)
        return batches.at(step)[0]

    def repeat(self, work):
        """As in `Engine`, recorded once and then replayed."""
        return Replayed(work, self.xp, wanted=self.graph)

    def running(self):
        """A stream on which recording is possible."""
        return own_stream(self.xp)

    def unrecorded(self):
        """As in `Engine`: without a graph."""
        return GpuEngine(self.xp, graph=False)

    def _cutter(self, examples):
        corpus = examples.corpus
        if id(corpus) not in self._cutters:
            if len(self._cutters) == CORPORA:  # the oldest: a pool that is done with, most likely
                del self._cutters[next(iter(self._cutters))]
            self._cutters[id(corpus)] = corpus, examples.cutter(self.xp)
        return self._cutters[id(corpus)][1]
