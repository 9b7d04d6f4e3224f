"""The encoder, the decoder tied to it, and the composer head (sections 4.1, 4.3 and 4.4)."""

from tinyembed.layers.batchnorm_elu import BatchNormElu
from tinyembed.layers.conv import Conv2d, TiedConvTranspose2d
from tinyembed.layers.dense import Dense, TiedDense
from tinyembed.layers.elu import Elu
from tinyembed.layers.first_conv import FirstConv2d
from tinyembed.layers.intervals import COUNTS, IntervalCounts
from tinyembed.layers.layer import Reshape, Sequential
from tinyembed.layers.parallel import Parallel
from tinyembed.models.table import EMBEDDING, GEOMETRY, LAST_IMAGE


def build_encoder(width, rng, intervals=0):
    """Section 4.1: four convolutions, then three fully connected layers.

    (N, 60, 96, 1) -> (N, 100). Each is affine -> batch norm -> ELU; batch norm would subtract a
    bias again, so there is none. intervals: how many features to learn from counts of intervals,
    which then stand beside those of the convolutions.
    """
    layers, channels = {}, 1
    for i, (out, (kernel, stride, padding)) in enumerate(
        zip(width.conv, GEOMETRY, strict=True), start=1
    ):
        conv = FirstConv2d if i == 1 else Conv2d
        layers[f"conv{i}"] = conv(channels, out, kernel, stride, padding, bias=False, rng=rng)
        layers[f"conv_norm{i}"] = BatchNormElu(out)
        channels = out
    features = LAST_IMAGE[0] * LAST_IMAGE[1] * channels
    layers["flatten"] = Reshape(features)
    if intervals:
        counted = Sequential(
            counts=IntervalCounts(),
            dense=Dense(COUNTS, intervals, bias=False, rng=rng),
            norm=BatchNormElu(intervals),
        )
        layers = {"features": Parallel(convolutions=Sequential(**layers), intervals=counted)}
        features += intervals
    for i, out in enumerate(width.dense, start=1):
        layers[f"dense{i}"] = Dense(features, out, bias=False, rng=rng)
        layers[f"dense_norm{i}"] = BatchNormElu(out)
        features = out
    return Sequential(**layers)


def build_decoder(encoder, width):
    """Section 4.1: the encoder's layers transposed, in reverse, with the same weights.

    (N, 100) -> (N, 60, 96, 1). Each has a batch norm of its own, whose beta is the paper's b';
    the last layer is affine -> ELU, with a bias.
    """
    layers = {}
    for i in (3, 2, 1):
        dense = getattr(encoder, f"dense{i}")
        layers[f"dense{i}"] = TiedDense(dense)
        layers[f"dense_norm{i}"] = BatchNormElu(dense.weight.value.shape[0])
    layers["unflatten"] = Reshape(*LAST_IMAGE, width.conv[-1])
    for i in (4, 3, 2, 1):
        conv = getattr(encoder, f"conv{i}")
        layers[f"conv{i}"] = TiedConvTranspose2d(conv, bias=i == 1)
        if i > 1:
            layers[f"conv_norm{i}"] = BatchNormElu(conv.in_channels)
    return Sequential(**layers, elu=Elu())


def build_head(hidden, n_composers, rng, features=EMBEDDING):
    """Sections 4.3, 4.4: (N, features) -> logits (N, n_composers), through `hidden` ELU layers."""
    layers = {}
    for i, out in enumerate(hidden, start=1):
        layers[f"dense{i}"] = Dense(features, out, rng=rng)
        layers[f"elu{i}"] = Elu()
        features = out
    layers["output"] = Dense(features, n_composers, rng=rng)
    return Sequential(**layers)
