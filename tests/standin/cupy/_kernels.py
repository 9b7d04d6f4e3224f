"""What tinyembed's hand-written kernels do, once more, in NumPy.

The stand-in cannot run CUDA code. It knows the kernels by name, and does what each is there for in
another way: place by place in the kernel, as the definition has it. tests/test_kernels.py compiles
the code itself as C and compares.
"""

import numpy as np

from cupy._array import change, ndarray


class ElementwiseKernel:
    """A kernel by its name."""

    def __init__(self, in_params, out_params, operation, name="kernel", **options):
        if name not in KERNELS:
            raise NotImplementedError(f"the stand-in does not know the kernel {name}")
        self.name = name

    def __call__(self, *arguments):
        *given, out = arguments
        for x in arguments:
            if not isinstance(x, (ndarray, int)):
                raise TypeError(f"Unsupported type {type(x)}")
        change(KERNELS[self.name], out, *given)
        return out


def _im2col(patches, image, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw):
    padded = np.pad(image.reshape(-1, h, w, c), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    patches = patches.reshape(-1, ho, wo, kh, kw, c)
    for a, b in np.ndindex(kh, kw):
        patches[:, :, :, a, b] = padded[:, a : a + sh * ho : sh, b : b + sw * wo : sw]


def _col2im(image, patches, h, w, c, ho, wo, kh, kw, sh, sw, ph, pw):
    patches = patches.reshape(-1, ho, wo, kh, kw, c)
    padded = np.zeros((len(patches), h + 2 * ph, w + 2 * pw, c), image.dtype)
    for a, b in np.ndindex(kh, kw):
        padded[:, a : a + sh * ho : sh, b : b + sw * wo : sw] += patches[:, :, :, a, b]
    image[...] = padded[:, ph : ph + h, pw : pw + w].reshape(image.shape)


KERNELS = {"tinyembed_im2col": _im2col, "tinyembed_col2im": _col2im}
