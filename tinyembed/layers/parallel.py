"""Layers side by side, where Sequential chains them."""

from tinyembed.backends.arrays import array_module
from tinyembed.layers.layer import Layer


class Parallel(Layer):
    """Each layer is given x, and their outputs are joined: (N, ...) -> (N, sum of features)."""

    def __init__(self, **layers):
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x, training=False):
        layers = self.sublayers().values()
        ys, caches = zip(*(layer.forward(x, training) for layer in layers), strict=True)
        return array_module(x).concatenate(ys, axis=1), (caches, [y.shape[1] for y in ys])

    def backward(self, dy, cache):
        """The sum of their dx; None where every layer is for a network's input."""
        dx, start = None, 0
        for layer, own, width in zip(self.sublayers().values(), *cache, strict=True):
            part = array_module(dy).ascontiguousarray(dy[:, start : start + width])
            start += width
            part = layer.backward(part, own)
            if part is not None:
                dx = part if dx is None else dx + part
        return dx
