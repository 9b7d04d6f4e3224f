"""The training loop: batches, steps, validation, checkpoints."""

import hashlib
import math
import time

import numpy as np

from tinyembed.backends.arrays import to_host
from tinyembed.backends.engine import Engine
from tinyembed.backends.memory import suggest_smaller
from tinyembed.errors import InputError, WorkError
from tinyembed.models.model import Model
from tinyembed.models.weights import save_weights
from tinyembed.music.corpus import READER_VERSION
from tinyembed.music.splits import validation_pieces
from tinyembed.storage.progress import progress_bar
from tinyembed.stores.large import LargeCorpus
from tinyembed.training.checkpoints import save_checkpoint
from tinyembed.training.examples import CANDIDATES, random_stream
from tinyembed.training.kinds import examples_for, in_memory
from tinyembed.training.nonfinite import locate
from tinyembed.training.optimizers import Adam, Flat, cosine_decay
from tinyembed.training.stopping import GentleStop, Interrupted
from tinyembed.training.validation import Validation, validation_losses

VALIDATIONS = 20  # over a whole run
LOG_EVERY = 50  # steps
CHECKPOINT_EVERY = 60.0  # seconds, beside one after each validation


class Trainer:
    """One model, its examples, and how far it has come.

    run: the `Run` to write to; config: its settings (model, width, examples, batch_size, seed,
    learning_rate, temperature, negatives, intervals); corpus: a `Corpus`; engine: what runs the
    steps, an `Engine`.
    Raises InputError where no piece holds an example, WorkError where the memory does not suffice.
    """

    def __init__(self, run, config, corpus, engine=None):
        self.run, self.config, self.corpus, self.engine = run, config, corpus, engine or Engine()
        seed = config["seed"]
        self.validation_pieces = validation_pieces(corpus, seed)
        self.pieces = np.setdiff1d(np.flatnonzero(~corpus.piece_is_test), self.validation_pieces)
        self.model = Model(
            config["model"],
            config["width"],
            corpus.composers,
            random_stream(seed, "weights"),
            config["temperature"],
            config.get("negatives"),
            config.get("intervals"),
        )
        self.steps = -(-config["examples"] // config["batch_size"])
        self.examples = examples_for(corpus, self.model.spec, self.pieces, seed)
        validation = in_memory(corpus, self.model.spec, self.validation_pieces, seed)
        if len(self.examples) == 0:
            raise InputError(f"{len(self.pieces)} training pieces, none with an example to learn")
        with self._advice():
            self.model.to(self.engine.xp)
            self.optimizer = Adam(Flat(self.model.parameters()))
            self.batches = self.engine.batches(
                self.examples, config["batch_size"], self._factors, self.steps
            )
        self.validation = Validation(validation, seed, self.engine)
        self._run_step = self.engine.repeat(self._step)
        self.step = 0
        self.best_loss, self.best_step = math.inf, 0
        self.seconds = 0.0  # of training, over all the times the run was resumed
        self._batch = self._numbers = None  # of the step under way
        self._sums, self._summed = {}, 0  # the losses of this many steps since the last log line

    def train(self, progress=None):
        """Take all the steps that are left.

        progress: True or False for a progress bar, None for one on a terminal only.
        Raises Interrupted after Ctrl-C (all is saved), WorkError when the loss is not a number or
        the memory does not suffice.
        """
        every = max(1, self.steps // VALIDATIONS)
        size = self.config["batch_size"]
        saved_at = logged_at = time.monotonic()
        logged_step = self.step
        bar = progress_bar(
            progress,
            total=self.steps * size,
            initial=self.step * size,
            unit=" examples",
            unit_scale=True,
            desc=self.model.name,
        )
        # What overflows shows in the loss, where it is checked; a warning would not help.
        quiet = np.errstate(all="ignore")
        with bar, GentleStop() as stop, quiet, self._advice(), self.engine.running():
            while self.step < self.steps:
                self.take_step()
                bar.update(size)
                stops = self.engine.largest(stop.signal or 0)  # once per step: it may change
                validates = self.step % every == 0 or self.step == self.steps
                logs = validates or stops or self.step % LOG_EVERY == 0
                if logs:
                    now = time.monotonic()
                    self.seconds += now - logged_at
                    rate = (self.step - logged_step) * size / (now - logged_at)
                    logged_at, logged_step = now, self.step
                    bar.set_postfix(loss=f"{self.write_log(rate):.4f}")
                if validates:
                    self.validate()
                overdue = time.monotonic() - saved_at > CHECKPOINT_EVERY
                overdue = logs and self.engine.largest(overdue)  # what is not logged would be lost
                if validates or stops or overdue:
                    self.engine.once(lambda: save_checkpoint(self))
                    saved_at = logged_at = time.monotonic()  # this was not training
                if stops:
                    raise Interrupted(self.step, stops)

    def take_step(self):
        """Forward, backward and Adam on one batch."""
        self._batch, self._numbers = self.batches.at(self.step)
        self._run_step()
        self.step += 1
        self.optimizer.t = self.step
        self._summed += 1
        self.batches.look_ahead(self.step)

    def _step(self):
        """What the engine repeats: it finds the batch and Adam's factors in place."""
        losses, cache = self.model.loss(self._batch, training=True)
        self.model.loss_backward(cache)
        self.engine.add_up(self.optimizer.flat.grads)
        self.optimizer.update(self._numbers[0], self._numbers[1])
        for name, loss in losses.items():
            if name not in self._sums:
                self._sums[name] = loss * 0
            self._sums[name] += loss

    @property
    def examples_seen(self):
        """How many examples the model was trained on so far."""
        return self.step * self.config["batch_size"]

    def _factors(self, step):
        rate = cosine_decay(step, self.steps, self.config["learning_rate"])
        return self.optimizer.factors(step + 1, rate)

    def _advice(self):
        return suggest_smaller("--batch-size", self.config["batch_size"], CANDIDATES)

    def write_log(self, rate):
        """Log the mean losses since the last line. Returns the sum of them."""
        weights = self.optimizer.flat.values.sum()  # not finite as soon as one of them is not
        *sums, weights = to_host(self.engine.xp.stack([*self._sums.values(), weights]))
        losses = {name: float(s) / self._summed for name, s in zip(self._sums, sums, strict=True)}
        for name in self._sums:
            self._sums[name] *= 0
        self._summed = 0
        self.checked(float(weights), "sum of all weights")
        total = self.checked(sum(losses.values()), "loss")
        entry = {"step": self.step, "examples": self.examples_seen, "loss": total, **losses}
        self._log({**entry, "examples_per_s": round(rate, 1), **self.engine.about})
        return total

    def validate(self):
        """Measure the losses on the validation pieces; keep the weights if they are the best."""
        losses = validation_losses(self.model, self.validation)
        total = self.checked(sum(losses.values()), "validation loss")
        if total < self.best_loss:
            self.best_loss, self.best_step = total, self.step
            about = {"step": self.step, "examples": self.examples_seen, "validation_loss": total}
            about |= {"seed": self.config["seed"], "reader": READER_VERSION}
            self.engine.once(lambda: save_weights(self.run.weights_file, self.model, **about))
        entry = {"step": self.step, "validation_loss": total}
        self._log({**entry, **{f"validation_{k}": v for k, v in losses.items()}})

    def _log(self, entry):
        self.engine.once(lambda: self.run.append_log(entry))

    def checked(self, number, what):
        """A number that is finite, or WorkError: where it began, what is kept, and what to try."""
        if math.isfinite(number):
            return number
        found = self.engine.once(lambda: locate(self))
        where = f"; it began in {found}" if found else ""
        kept = (
            f"the best weights, of step {self.best_step:,}, are in {self.run.weights_file}"
            if self.best_step
            else "no weights were worth keeping"
        )
        raise WorkError(
            f"the {what} is {number} at step {self.step:,}{where}; {kept}; try a "
            f"--learning-rate below {self.config['learning_rate']:g}"
        )


def fingerprint(corpus):
    """A digest of the music and its split: the same for the same training data."""
    if isinstance(corpus, LargeCorpus):
        return hashlib.sha256(corpus.digest.encode()).hexdigest()
    digest = hashlib.sha256("\n".join(corpus.names).encode())
    for array in (corpus.ticks, corpus.pitches, corpus.piece_beats, corpus.piece_is_test):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
