"""What every layer is: parameters, a forward pass, and a backward pass that adds up gradients.

    y, cache = layer.forward(x, training)
    dx = layer.backward(dy, cache)

dy is the gradient of the loss with respect to y, and dx with respect to x. The cache holds what
backward needs; it is returned instead of kept, so that one layer can run many times before its
backward passes come. `backward` *adds* to each parameter's grad: a parameter that two layers
share (W and its transpose, section 4.1) collects both contributions.
"""


class Parameter:
    """A learned array and the gradient of the loss with respect to it, of the same shape."""

    def __init__(self, value):
        self.value = value
        self.grad = value * 0


class Layer:
    """Base of all layers. Parameters, buffers and sublayers are found among the attributes.

    A subclass that computes something has `forward` and `backward`. `buffers` names the
    attributes that are arrays but not learned, such as batch norm's running statistics.
    """

    buffers = ()

    def forward(self, x, training=False):
        raise NotImplementedError

    def backward(self, dy, cache):
        raise NotImplementedError

    def sublayers(self):
        """The layers directly inside this one, by name."""
        return {name: v for name, v in vars(self).items() if isinstance(v, Layer)}

    def named_parameters(self, prefix=""):
        """{name: Parameter} of this layer and all inside it; a shared one under its first name."""
        found = {}
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                found[prefix + name] = value
        for name, layer in self.sublayers().items():
            found.update(layer.named_parameters(f"{prefix}{name}."))
        listed = set()
        return {name: p for name, p in found.items() if not (id(p) in listed or listed.add(id(p)))}

    def parameters(self):
        """Every Parameter once, in a fixed order."""
        return list(self.named_parameters().values())

    def named_buffers(self, prefix=""):
        """{name: (layer, attribute)} of every buffer of this layer and all inside it."""
        found = {prefix + name: (self, name) for name in self.buffers}
        for name, layer in self.sublayers().items():
            found.update(layer.named_buffers(f"{prefix}{name}."))
        return found

    def named_arrays(self):
        """{name: array} of all parameters' values and all buffers."""
        values = {name: p.value for name, p in self.named_parameters().items()}
        return values | {name: getattr(*where) for name, where in self.named_buffers().items()}

    def to(self, xp):
        """Turn all parameters and buffers into arrays of xp (numpy or cupy). Returns self."""
        for parameter in self.parameters():
            parameter.value = xp.asarray(parameter.value)
            parameter.grad = xp.asarray(parameter.grad)
        for owner, name in self.named_buffers().values():
            setattr(owner, name, xp.asarray(getattr(owner, name)))
        return self


class Sequential(Layer):
    """Layers one after the other, by name: Sequential(conv1=..., norm1=..., elu1=...)."""

    def __init__(self, **layers):
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x, training=False):
        caches = []
        for layer in self.sublayers().values():
            x, cache = layer.forward(x, training)
            caches.append(cache)
        return x, caches

    def backward(self, dy, caches):
        for layer, cache in zip(reversed(self.sublayers().values()), reversed(caches), strict=True):
            dy = layer.backward(dy, cache)
        return dy


class Reshape(Layer):
    """Give each example another shape: (N, ...) to (N, *shape)."""

    def __init__(self, *shape):
        self.shape = shape

    def forward(self, x, training=False):
        return x.reshape(len(x), *self.shape), x.shape

    def backward(self, dy, shape):
        return dy.reshape(shape)


def flat(x):
    """(..., C) -> (rows, C): each position of each example as a row."""
    return x.reshape(-1, x.shape[-1])
