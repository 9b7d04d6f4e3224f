"""The same network in PyTorch: what ours is measured against (and checked with, test_torch.py).

The weights are copied from one of our models, the loss and all gradients agree. PyTorch's images
are channels first; everything else, down to the order of the flattened features, is ours.
"""

import numpy as np
import torch
import torch.nn.functional as F

from tinyembed.layers.batchnorm import BatchNorm
from tinyembed.layers.batchnorm_elu import BatchNormElu
from tinyembed.layers.conv import Conv2d, TiedConvTranspose2d
from tinyembed.layers.dense import Dense, TiedDense
from tinyembed.layers.elu import Elu
from tinyembed.layers.layer import Reshape


class Peer(torch.nn.Module):
    """An autoencoder like `model`, a `Model` with a decoder, weights copied.

    Tied layers share one torch parameter, as ours share one Parameter.
    """

    def __init__(self, model):
        super().__init__()
        self.shared = {}  # id of our Parameter -> the torch parameter
        self.encoder = self._sequence(model.encoder)
        self.decoder = self._sequence(model.decoder)
        self.temperature = model.candidate_loss.temperature

    def _sequence(self, layers):
        return torch.nn.Sequential(*[self._layer(layer) for layer in layers.sublayers().values()])

    def _parameter(self, ours, to_theirs=lambda x: x):
        if id(ours) not in self.shared:
            value = torch.tensor(np.ascontiguousarray(to_theirs(ours.value)))
            self.shared[id(ours)] = torch.nn.Parameter(value), ours
        return self.shared[id(ours)][0]

    def _layer(self, ours):
        if isinstance(ours, Conv2d):
            return Convolution(ours, self._parameter(ours.weight, lambda w: kernel(ours, w)))
        if isinstance(ours, TiedConvTranspose2d):
            bias = None if ours.bias is None else self._parameter(ours.bias)
            return Convolution(ours, self._parameter(ours.weight), bias, transposed=True)
        if isinstance(ours, (Dense, TiedDense)):
            weight = self._parameter(ours.weight)
            return Linear(weight, transposed=isinstance(ours, TiedDense))
        if isinstance(ours, BatchNorm):
            norm = Norm(ours)
            norm.gamma, norm.beta = self._parameter(ours.gamma), self._parameter(ours.beta)
            if isinstance(ours, BatchNormElu):
                return torch.nn.Sequential(norm, torch.nn.ELU())
            return norm
        if isinstance(ours, Elu):
            return torch.nn.ELU()
        if isinstance(ours, Reshape):
            return Flatten() if len(ours.shape) == 1 else Unflatten(ours.shape)
        raise TypeError(f"no PyTorch layer for {type(ours).__name__}")

    def forward(self, rolls):
        """rolls: (N, 60, 96) -> reconstruction (N, 60, 96)."""
        return self.decoder(self.encoder(rolls[:, None]))[:, 0]

    def loss(self, rolls, target, candidates):
        """Equation 3, as `CandidateCosineLoss` has it."""
        r, q = self(rolls).flatten(1), target.flatten(1)
        similarity = F.normalize(q, eps=1e-6) @ F.normalize(r, eps=1e-6).T  # (N, N)
        logits = similarity.gather(1, candidates) / self.temperature  # (N, 5)
        return F.cross_entropy(logits, torch.zeros(len(r), dtype=torch.long, device=r.device))

    def gradients(self):
        """(ours, theirs): each of our Parameters with their gradient, laid out as ours."""
        for theirs, ours in self.shared.values():
            gradient = theirs.grad.detach().cpu().numpy()
            if gradient.ndim == 4:
                gradient = gradient.transpose(2, 3, 1, 0)
            yield ours, gradient.reshape(ours.value.shape)


class Convolution(torch.nn.Module):
    def __init__(self, ours, weight, bias=None, transposed=False):
        super().__init__()
        self.weight, self.bias = weight, bias
        self.how = {"stride": ours.stride, "padding": ours.padding}
        self.run = F.conv_transpose2d if transposed else F.conv2d

    def forward(self, x):
        return self.run(x, self.weight, self.bias, **self.how)


class Linear(torch.nn.Module):
    def __init__(self, weight, transposed):
        super().__init__()
        self.weight, self.transposed = weight, transposed

    def forward(self, x):
        return x @ (self.weight.T if self.transposed else self.weight)


class Norm(torch.nn.Module):
    def __init__(self, ours):
        super().__init__()
        self.momentum, self.eps = ours.momentum, ours.eps
        self.register_buffer("mean", torch.tensor(ours.running_mean))
        self.register_buffer("var", torch.tensor(ours.running_var))

    def forward(self, x):
        return F.batch_norm(
            x, self.mean, self.var, self.gamma, self.beta, self.training, self.momentum, self.eps
        )


class Flatten(torch.nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)  # our order: pitch, time, channel


class Unflatten(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(-1, *self.shape).permute(0, 3, 1, 2)


def kernel(conv, weight):
    """Our (kh * kw * C, M) as PyTorch's (M, C, kh, kw)."""
    shape = (*conv.kernel_size, conv.in_channels, conv.out_channels)
    return weight.reshape(shape).transpose(3, 2, 0, 1)
