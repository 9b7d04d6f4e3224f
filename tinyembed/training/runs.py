"""The folder of one training run, whose files survive a kill at any moment.

    config.json      the settings; written first, never changed
    log.jsonl        one JSON object per line: training and validation losses
    weights.npz      the best weights so far, by validation loss: what `Model` needs, no more
    checkpoint.npz   the state of the training, to resume from
    checkpoint-before.npz   the one before it, in case that it is damaged
    summary.json     its results; written last
    loss.png, reconstruction.png

Files are written atomically: at every moment the old or the new one is whole.
"""

import os
from pathlib import Path

from tinyembed.errors import InputError
from tinyembed.models.table import MODELS, MOST_INTERVALS, WIDTHS
from tinyembed.storage import values
from tinyembed.storage.files import make_folder, reading
from tinyembed.storage.lines import append_line, cut_lines, read_lines
from tinyembed.storage.records import read_record, write_record

SETTINGS = {  # what a config.json may say, and what that must be
    "model": values.choice(MODELS),
    "width": values.choice(WIDTHS),
    "data": values.optional(values.text()),
    "splits": values.optional(values.text()),
    "any_meter": values.boolean(),
    "corpus": values.text(),
    "seed": values.whole(most=1 << 128),
    "split_seed": values.whole(most=1 << 128),
    "examples": values.whole(1),
    "batch_size": values.whole(1),
    "negatives": values.optional(values.whole()),
    "intervals": values.optional(values.whole(most=MOST_INTERVALS)),
    "learning_rate": values.positive(),
    "temperature": values.positive(),
}


class Run:
    """One run's folder. All paths are attributes; `create` and `open` make sure of it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.config_file = self.folder / "config.json"
        self.log_file = self.folder / "log.jsonl"
        self.weights_file = self.folder / "weights.npz"
        self.checkpoint_file = self.folder / "checkpoint.npz"
        self.previous_file = self.folder / "checkpoint-before.npz"
        self.summary_file = self.folder / "summary.json"
        self.loss_picture = self.folder / "loss.png"
        self.reconstruction_picture = self.folder / "reconstruction.png"

    @classmethod
    def create(cls, folder, config):
        """A new folder that holds config.json from the first moment on."""
        run = cls(folder)
        run.check_free()
        if run.folder.is_dir():  # empty, or check_free would have complained
            write_record(run.config_file, config)
            return run
        make_folder(run.folder, lambda new: write_record(new / "config.json", config))
        return run

    def check_free(self):
        """Raise InputError unless the folder can be written, and is new or empty.

        What was written before is never overwritten.
        """
        there = self.folder.absolute()
        while not there.exists():
            there = there.parent
        if not there.is_dir():
            raise InputError(f"--out {self.folder}: {there} is a file, not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"--out {self.folder}: no permission to write in {there}")
        if self.config_file.is_file():
            raise InputError(
                f"--out {self.folder}: holds a run already; add --resume to continue it, or "
                "choose another folder"
            )
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise InputError(f"--out {self.folder}: exists already; choose another folder")

    @classmethod
    def open(cls, folder, needs=()):
        """An existing run and its config, which must have the settings `needs`."""
        run = cls(folder)
        if not run.config_file.exists():
            raise InputError(f"{folder}: there is no run in it, no config.json")
        config = read_record(run.config_file)
        if not set(needs) <= config.keys():
            raise InputError(f"{folder}: not a folder that this command began")
        with reading(run.config_file, "config"):
            values.check(config, SETTINGS)
        return run, config

    def append_log(self, entry):
        """Add a line to the log."""
        append_line(self.log_file, entry)

    def log_size(self):
        """The log's length in bytes."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def cut_log(self, size):
        """Drop the lines after a checkpoint: those steps will run again."""
        cut_lines(self.log_file, size)

    def read_log(self):
        """All entries of the log."""
        return read_lines(self.log_file)


def open_or_create(folder, config):
    """The folder to work in: a new one, or one that the same command began."""
    home = Run(folder)
    if not home.config_file.exists():
        return Run.create(folder, config)
    home, before = Run.open(folder)
    for name, value in config.items():
        if before.get(name) != value:
            words = {
                "corpus": "other music",
                "weights": "other weights",
                "predictor": "another predictor, by another version of tinyembed",
            }
            what = words.get(name, f"another --{name.replace('_', '-')}")
            raise InputError(
                f"--out {folder}: was begun with {what}; choose another folder, or give the same "
                "options to continue"
            )
    return home
