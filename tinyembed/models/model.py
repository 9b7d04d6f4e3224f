"""One model whole: an encoder with what trains it, and the sum of its losses (section 4)."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyembed.backends.arrays import array_module, examples_at_once, to_host
from tinyembed.backends.sharing import share_out
from tinyembed.errors import InputError
from tinyembed.layers.candidate_loss import CandidateCosineLoss
from tinyembed.layers.layer import Layer
from tinyembed.layers.softmax import SoftmaxCrossEntropy
from tinyembed.models.contrastive import ExcerptContrast
from tinyembed.models.networks import build_decoder, build_encoder, build_head
from tinyembed.models.table import EMBEDDING, MODELS, WIDTHS, check_intervals


class Model(Layer):
    """An encoder with what trains it: a decoder, a composer head, or both.

    name: a key of MODELS; width: a key of WIDTHS; composers: class names, which a model without a
    head carries along unused; temperature: of the loss, None for the model's own;
    negatives: as in `ModelSpec`; intervals: the same, None for the model's own; rng: draws the
    first weights.
    Raises InputError for settings that no such model has.
    """

    def __init__(
        self, name, width, composers, rng, temperature=None, negatives=None, intervals=None
    ):
        for what, value, table in (("model", name, MODELS), ("width", width, WIDTHS)):
            if value not in table:
                raise InputError(f"--{what} {value}: choose one of {', '.join(table)}")
        self.name, self.width, self.composers = name, width, list(composers)
        if intervals is None:
            intervals = MODELS[name].intervals
        check_intervals(name, intervals)
        self.spec = replace(MODELS[name], negatives=negatives, intervals=intervals)
        if self.spec.head is not None and len(self.composers) < 2:
            raise InputError(
                f"--model {name}: tells composers apart, but the music is all of one; put each "
                "composer's pieces in a folder of their own"
            )
        self.encoder = build_encoder(WIDTHS[width], rng, self.spec.intervals)
        self.decoder = build_decoder(self.encoder, WIDTHS[width]) if self.spec.context else None
        self.head = None
        if self.spec.head is not None:
            self.head = build_head(self.spec.head, len(self.composers), rng)
        temperature = temperature or self.spec.temperature
        self.contrast = None
        if self.spec.excerpt:
            self.contrast = ExcerptContrast(self.spec.excerpt, EMBEDDING, temperature, rng)
        self.candidate_loss = CandidateCosineLoss(temperature)
        self.cross_entropy = SoftmaxCrossEntropy()

    to_device = Layer.to  # its former name

    def forward(self, rolls, training=False):
        """rolls: (N, 60, 96) -> an `Output` and the caches of the parts."""
        h, encoder_cache = self.encoder.forward(rolls[..., None], training)  # (N, 100)
        reconstruction = logits = decoder_cache = head_cache = None
        if self.decoder:
            y, decoder_cache = self.decoder.forward(h, training)  # (N, 60, 96, 1)
            reconstruction = y[..., 0]
        if self.head:
            logits, head_cache = self.head.forward(h, training)  # (N, n_composers)
        return Output(h, reconstruction, logits), (encoder_cache, decoder_cache, head_cache)

    def backward(self, doutput, cache):
        """Add to all gradients. doutput: an `Output` of them; the two sides meet in h."""
        encoder_cache, decoder_cache, head_cache = cache
        dh = 0 if doutput.embedding is None else doutput.embedding
        if self.decoder:
            dh = dh + self.decoder.backward(doutput.reconstruction[..., None], decoder_cache)
        if self.head:
            dh = dh + self.head.backward(doutput.logits, head_cache)
        self.encoder.backward(dh, encoder_cache)

    def loss(self, batch, training=False):
        """The losses on a `Batch`, and a cache for `loss_backward`.

        Returns {"reconstruction": equation 3, "prediction": InfoNCE (contrastive.py), "composer":
        cross-entropy}, those that this model has, each a 0-d array. Their sum is minimized (section
        4.4), the composer loss only while it is above its floor.
        """
        output, cache = self.forward(batch.input, training)
        losses, loss_caches = {}, {}
        if self.decoder:
            losses["reconstruction"], loss_caches["reconstruction"] = self.candidate_loss.forward(
                output.reconstruction, batch.target, batch.candidates
            )
        if self.contrast:
            losses["prediction"], loss_caches["prediction"] = self.contrast.forward(
                output.embedding, batch.beat, training,
                batch.candidates if self.spec.negatives else None,
            )  # fmt: skip
        if self.head:
            losses["composer"], loss_caches["composer"] = self.cross_entropy.forward(
                output.logits, batch.composer
            )
            floor = self.spec.composer_floor * math.log(len(self.composers))
            loss_caches["above floor"] = losses["composer"].real >= floor
        return losses, (cache, loss_caches)

    def loss_backward(self, cache):
        """Add to the gradient of each parameter that of the sum of the losses."""
        cache, loss_caches = cache
        doutput = Output(None, None, None)
        if self.decoder:
            doutput.reconstruction = self.candidate_loss.backward(loss_caches["reconstruction"])
        if self.contrast:
            doutput.embedding = self.contrast.backward(loss_caches["prediction"])
        if self.head:
            doutput.logits = self.cross_entropy.backward(loss_caches["composer"])
            if self.spec.composer_floor:  # a product, not an if: no need to wait for the answer
                doutput.logits = doutput.logits * loss_caches["above floor"]
        self.backward(doutput, cache)

    def encode(
        self, rolls: npt.NDArray[Any], batch_size: int | None = None
    ) -> npt.NDArray[np.floating[Any]]:
        """The embeddings of units, in evaluation mode: (N, 60, 96) -> (N, 100).

        batch_size: how many at once; by default what suits the machine.
        """
        xp = array_module(rolls)
        batch_size = batch_size or examples_at_once(rolls)
        blocks = [slice(i, i + batch_size) for i in range(0, len(rolls), batch_size)]
        parts = share_out(lambda b: self.encoder.forward(rolls[b, ..., None])[0], blocks, xp)
        return xp.concatenate(parts) if parts else xp.zeros((0, EMBEDDING), rolls.dtype)

    def reconstruct(
        self, rolls: npt.NDArray[Any], batch_size: int = 1000
    ) -> npt.NDArray[np.floating[Any]]:
        """What the decoder makes of units, in evaluation mode: a roll, or rolls, of real numbers.

        rolls: (60, 96) or (N, 60, 96), where the model is; the result has the same shape. It is
        the unit itself for a denoising model, what may surround it for the others. The loss
        compares directions, so only the order of its cells counts: `roll_to_midi` plays it.
        Raises InputError for another shape, and for a model without a decoder.
        """
        if self.decoder is None:
            raise InputError(
                f"a {self.name} model has no decoder, so there is nothing to reconstruct with; "
                f"those that have one: {', '.join(n for n, s in MODELS.items() if s.context)}"
            )
        if rolls.ndim not in (2, 3) or rolls.shape[-2:] != (60, 96):
            raise InputError(f"a unit is (60, 96), several are (N, 60, 96); this is {rolls.shape}")
        units = rolls.reshape(-1, 60, 96)
        parts = [
            self.forward(units[i : i + batch_size])[0].reconstruction
            for i in range(0, len(units), batch_size)
        ]
        made = array_module(rolls).concatenate(parts) if parts else units
        return made.reshape(rolls.shape)

    def state(self):
        """{name: NumPy array} of all parameters and buffers: what a weight file holds."""
        return {name: to_host(array) for name, array in self.named_arrays().items()}

    def load_state(self, state):
        """Put arrays from `state` back in place, wherever the model is.

        Raises InputError where a name is missing or a shape differs.
        """
        for name, own in self.named_arrays().items():
            if name not in state:
                raise InputError(f"these weights are not of a {self.name} model: no {name}")
            if state[name].shape != own.shape:
                raise InputError(
                    f"these weights are of another width: {name} is {state[name].shape}, "
                    f"a {self.width} model's is {own.shape}"
                )
            own[...] = array_module(own).asarray(state[name])


@dataclass
class Output:
    """embedding (N, 100), reconstruction (N, 60, 96) or None, logits (N, n_composers) or None."""

    embedding: object
    reconstruction: object
    logits: object
