"""The folder of one training run, and how its files survive being killed at any moment.

    config.json      what was asked for; written first, never changed
    log.jsonl        one JSON object a line: training and validation losses
    weights.npz      the best weights so far, by validation loss: what `Model` needs, no more
    checkpoint.npz   where training stands; with it a run resumes
    summary.json     what the run achieved; written last
    loss.png, reconstruction.png

A file is written beside its place, flushed, and then moved there in one step, so that at every
moment the old one or the new one is whole.
"""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np

from tinyembed.errors import InputError
from tinyembed.models import Model


def write_atomically(path, write):
    """Replace a file all at once. write: takes the open binary file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk names none, or the temporary one
        raise


def write_json(path, value):
    """Write a JSON file, atomically and readable by people."""
    text = json.dumps(value, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def check_replaceable(option, path, is_ours):
    """Raise InputError unless a file can be written without the loss of another.

    option: as the person gave it, such as "--out x.mid"; is_ours: whether the file at a path is one
    that the same command wrote, which may be replaced.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{option}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{option}: a folder; name a file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{option}: no permission to write in {path.parent}")
    if path.exists() and not is_ours(path):
        raise InputError(f"{option}: is there and not a file of this command; choose another name")


def save_arrays(path, arrays, compressed=False, **extra):
    """An .npz without pickle: arrays by name, and JSON values under theirs."""
    encoded = {name: np.array(json.dumps(value)) for name, value in extra.items()}
    save = np.savez_compressed if compressed else np.savez
    write_atomically(path, lambda file: save(file, **arrays, **encoded))


def load_arrays(path):
    """{name: array} of an .npz. Raises InputError for a missing, damaged or foreign file."""
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file):  # NumPy takes other kinds too
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a weight file") from None
    except Exception as error:  # damaged bytes raise a dozen unrelated types
        why = " ".join(f"{error}".split())[:120] or type(error).__name__
        raise InputError(f"{path}: not a readable weight file ({why})") from None


class Run:
    """One run's folder. All paths are attributes; `create` and `open` make sure of it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.config_file = self.folder / "config.json"
        self.log_file = self.folder / "log.jsonl"
        self.weights_file = self.folder / "weights.npz"
        self.checkpoint_file = self.folder / "checkpoint.npz"
        self.summary_file = self.folder / "summary.json"
        self.loss_picture = self.folder / "loss.png"
        self.reconstruction_picture = self.folder / "reconstruction.png"

    @classmethod
    def create(cls, folder, config):
        """A new folder that holds config.json from the first moment on."""
        run = cls(folder)
        run.check_free()
        if run.folder.is_dir():  # empty, or check_free would have complained
            write_json(run.config_file, config)
            return run
        new = run.folder.absolute()
        new = new.with_name(f".{new.name}.{os.getpid()}.tmp")
        try:
            new.mkdir(parents=True)
            write_json(new / "config.json", config)
            new.rename(run.folder)
        except OSError as error:
            error.filename = str(run.folder)  # what was asked for, not what stood in for it
            raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
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
        try:
            config = json.loads(run.config_file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{folder}: there is no run in it, no config.json") from None
        except ValueError as error:
            raise InputError(f"{run.config_file}: not readable ({error})") from None
        if not isinstance(config, dict) or not set(needs) <= config.keys():
            raise InputError(f"{folder}: not a folder that this command began")
        return run, config

    def append_log(self, entry):
        """Add a line to the log."""
        try:
            with open(self.log_file, "a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            error.filename = str(self.log_file)
            raise

    def log_size(self):
        """The log's length in bytes."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def cut_log(self, size):
        """Forget what was logged after a checkpoint: those steps will run again."""
        if self.log_size() > size:
            os.truncate(self.log_file, size)

    def read_log(self):
        """All entries of the log."""
        if not self.log_file.exists():
            return []
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


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
                "options to go on"
            )
    return home


def digest(path):
    """The SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save_weights(path, model, matrices=np.float32, **about):
    """Write a weight file: the model's state, and how to build the model that it fits.

    matrices: the type to store them in; np.float16 halves the file, which is then compressed, too.
    The few vectors stay exact.
    """
    config = {
        "model": model.name,
        "width": model.width,
        "composers": model.composers,
        "temperature": model.candidate_loss.temperature,
        "intervals": model.spec.intervals,
        **about,
    }
    state = model.state()
    for name, array in state.items():
        if array.ndim > 1 and array.dtype.kind == "f":
            state[name] = array.astype(matrices)
    save_arrays(path, state, compressed=matrices == np.float16, config=config)


def load_weights(path):
    """The trained `Model` of a weight file, on the CPU, and its config.

    Whatever type the arrays are stored in, the model holds float32.
    Raises InputError for a file that is missing, damaged or not one of ours.
    """
    state = load_arrays(path)
    try:
        config = json.loads(str(state.pop("config")))
        model = Model(
            config["model"],
            config["width"],
            config["composers"],
            np.random.default_rng(0),
            config["temperature"],
            intervals=config.get("intervals", 0),  # older files have none
        )
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{path}: not a weight file of tinyembed") from None
    try:
        model.load_state(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, TypeError):  # arrays of text, say
        raise InputError(f"{path}: not a weight file of tinyembed") from None
    return model, config
