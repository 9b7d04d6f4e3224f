"""Both experiments on one trained model, or on the paper's seven models and two baselines.

Prediction is run twice: with our predictor, and with the paper's own.

Whatever is finished is kept in files, and the same call continues after an interruption.
"""

import itertools
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from tinyembed.backends.choice import engine_for
from tinyembed.backends.memory import suggest_less
from tinyembed.errors import InputError
from tinyembed.evaluation.baselines import pca_encoder, untrained_encoder
from tinyembed.evaluation.experiments import (
    Dataset,
    run_composers,
    run_majority,
    run_prediction,
    run_predictor,
)
from tinyembed.evaluation.results import (
    Answers,
    against_models,
    entry_of,
    results_of,
    total_seconds,
)
from tinyembed.evaluation.rows import ROWS
from tinyembed.models.table import PAPER_MODELS
from tinyembed.models.weights import load_weights
from tinyembed.music.corpus import Corpus
from tinyembed.storage.arrays import load_arrays, save_arrays
from tinyembed.storage.records import read_record, write_record
from tinyembed.storage.text import quoted
from tinyembed.storage.values import check, number, whole
from tinyembed.training.checkpoints import load_checkpoint
from tinyembed.training.runs import Run
from tinyembed.training.trainer import Trainer, fingerprint

EXPERIMENTS = {  # and the setting with its number of training steps
    "prediction": (run_prediction, "lstm_steps"),
    "paper": (run_predictor, "lstm_steps"),
    "composers": (run_composers, "classifier_steps"),
}
KIND = "answers"  # of the files of answers and of embeddings
TRAINED = {"validation_loss": number(), "examples": whole(1)}  # what a weight file must say
SUMMARY = {  # what a summary.json says, beside other things
    **TRAINED, "seconds": number(0), "best_step": whole(),
}  # fmt: skip
BASELINES = {"untrained": "Untrained encoder", "pca": "PCA of the rolls, 100 components"}


@dataclass(frozen=True)
class Experiments:
    """The experiments on one corpus, as far as they are not done yet.

    folder: where answers/ and models/ are kept; settings: {data, any_meter, splits, width,
    examples, batch_size, seed, seeds, keys, lstm_steps, classifier_steps}; xp: numpy or cupy;
    quiet: whether to print nothing and show no progress bars.
    """

    folder: Path
    corpus: Corpus
    settings: dict
    xp: ModuleType
    quiet: bool = False

    def say(self, text):
        """Print what is being done, unless quiet."""
        if not self.quiet:
            print(text)

    @property
    def progress(self):
        """False for no progress bars, None for bars on a terminal only."""
        return False if self.quiet else None

    def dataset(self, seed):
        """The `Dataset` of a seed. Raises InputError where there is nothing to test."""
        with suggest_less(self.xp):
            return Dataset.build(self.corpus, seed, self.settings["keys"], self.xp)

    def evaluate(self, model, trained, dataset):
        """The contents of results.json for one model.

        trained: what its weights file says about its training.
        """
        check(trained, TRAINED, TRAINED)
        answers = Answers()
        self._run_stages(answers, model.name, lambda: encoder_of(model, self.xp), dataset)
        majority = [run_majority(dataset)]
        results = results_of(dataset, {model.name: answers}, majority, self.settings, self.xp)
        results["models"][model.name] |= {k: trained[k] for k in TRAINED}
        results["baselines"]["mean"] = answers.rank_entry("mean_")
        return {**results, "seconds": total_seconds(results)}

    def reproduce(self, music_words, rows=PAPER_MODELS, baselines=tuple(BASELINES)):
        """The contents of results.json for some of ROWS and of BASELINES, all seeds pooled.

        music_words: the options of a command that name the corpus, for the commands in the report.
        Raises Interrupted after Ctrl-C in a training.
        """
        answers = {name: Answers() for name in (*rows, *baselines)}
        majority, summaries = [], {name: [] for name in rows}
        for seed in self._seeds():
            dataset = self.dataset(seed)
            majority.append(run_majority(dataset))
            for name in rows:
                summaries[name].append(self.train(name, seed))
            for name in answers:
                make_encoder = partial(self._encoder, name, dataset)
                self._run_stages(answers[name], f"{name}-seed{seed}", make_encoder, dataset)
        self.say("statistics")
        models = {name: answers[name] for name in rows if name in PAPER_MODELS}
        results = results_of(dataset, models, majority, self.settings, self.xp)
        names = self.corpus.composers
        others = [name for name in rows if name not in PAPER_MODELS]
        results["others"] = {n: entry_of(answers[n], ROWS[n].title, names) for n in others}
        results["tests"]["others"] = against_models({n: answers[n] for n in others}, models)
        for name, entry in {**results["models"], **results["others"]}.items():
            losses = [summary["validation_loss"] for summary in summaries[name]]
            entry["validation_loss"] = float(np.mean(losses))
            entry["examples"] = summaries[name][0]["examples"]
            entry["commands"] = self._commands(name, music_words)
            entry["seconds"]["train"] = sum(summary["seconds"] for summary in summaries[name])
        for name in baselines:
            results["baselines"][name] = entry_of(answers[name], BASELINES[name], names)
        for name in (*others, *baselines):
            results["baselines"]["repetition"][name] = answers[name].rank_entry("repetition_")
        return {**results, "seconds": total_seconds(results)}

    def train(self, name, seed):
        """Train one of ROWS, or finish its training. Returns its summary."""
        run = Run(self._model_folder(name, seed))
        with suppress(InputError):  # missing or damaged: made again from the last checkpoint
            summary = read_record(run.summary_file)
            check(summary, SUMMARY, SUMMARY)
            return summary
        settings = ("data", "any_meter", "splits", "width", "examples")
        config = {
            **ROWS[name].settings(self.settings["batch_size"]),
            **{key: self.settings[key] for key in settings},
            "seed": seed,
            "split_seed": self.settings["seed"],
            "learning_rate": 1e-3,
        }
        trainer = Trainer(run, config, self.corpus, engine_for(self.xp))
        if run.config_file.exists():
            if note := load_checkpoint(trainer):
                self.say(f"note: {note}")
        else:
            Run.create(run.folder, {**config, "corpus": fingerprint(self.corpus)})
        self.say(f"{name}, seed {seed}: training from step {trainer.step:,} of {trainer.steps:,}")
        trainer.train(self.progress)
        summary = {
            "examples": trainer.steps * config["batch_size"],
            "seconds": trainer.seconds,
            "validation_loss": trainer.best_loss,
            "best_step": trainer.best_step,
        }
        write_record(run.summary_file, summary)
        return summary

    def _seeds(self):
        return range(self.settings["seed"], self.settings["seed"] + self.settings["seeds"])

    def _model_folder(self, name, seed):
        return self.folder / "models" / f"{name}-seed{seed}"

    def _encoder(self, name, dataset):
        """`encode` of one of ROWS or of a baseline."""
        pieces, seed_and_xp = np.unique(dataset.train.piece), (dataset.seed, self.xp)
        if name == "untrained":
            return untrained_encoder(self.corpus, pieces, self.settings["width"], *seed_and_xp)
        if name == "pca":
            return pca_encoder(self.corpus, pieces, *seed_and_xp)
        model, _ = load_weights(Run(self._model_folder(name, dataset.seed)).weights_file)
        return encoder_of(model, self.xp)

    def _run_stages(self, answers, label, make_encoder, dataset):
        """Run all experiments on one embedding, as far as needed, and append to its answers.

        An experiment that has written its file is never run again, so a killed run resumes after
        the last one. The embeddings, the largest of these files, are removed when all have used
        them. label: how the names of the files begin; make_encoder: () -> encode, called only where
        embeddings are needed.
        """
        folder = self.folder / "answers"
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: folder / f"{label}-{name}.npz" for name in EXPERIMENTS}
        embeddings_file = folder / f"{label}-embeddings.npz"
        found = {name: _load_answers(file) for name, file in files.items()}
        missing = [name for name, answer in found.items() if answer is None]
        advice = ["--keys 1 and another --out"] if self.settings["keys"] > 1 else []
        with suggest_less(self.xp, *advice):
            embeddings = _load_answers(embeddings_file) if missing else None
            if missing and embeddings is None:
                self.say(f"{label}: embedding {len(dataset):,} units")
                began = time.perf_counter()
                embeddings = dataset.embed(make_encoder(), self.progress)
                embeddings["seconds"] = np.array(time.perf_counter() - began)
                save_arrays(embeddings_file, embeddings, KIND)
            for name in missing:
                self.say(f"{label}: {name}")
                experiment, steps = EXPERIMENTS[name]
                raw = experiment(dataset, embeddings, self.xp, self.settings[steps], self.progress)
                raw["embed_seconds"] = embeddings["seconds"]
                found[name] = {key: np.asarray(value) for key, value in raw.items()}
                save_arrays(files[name], found[name], KIND)
        embeddings_file.unlink(missing_ok=True)
        for name in EXPERIMENTS:
            getattr(answers, name).append(found[name])
        answers.pieces.append(dataset.target_pieces())

    def _commands(self, name, music_words):
        """The commands that compute one model's results on their own, by what they do."""

        def options(*names):
            given = {f"--{name.replace('_', '-')}": str(self.settings[name]) for name in names}
            return itertools.chain(*given.items())

        commands = {}
        for seed in self._seeds():
            out = str(self._model_folder(name, seed))
            train = ["train", *ROWS[name].options(self.settings["batch_size"]), *music_words]
            train += [*options("width", "examples"), "--seed", str(seed)]
            if seed != self.settings["seed"]:
                train += ["--split-seed", str(self.settings["seed"])]
            evaluate = ["evaluate", out, *options("keys", "lstm_steps", "classifier_steps")]
            for words in ([*train, "--out", out], evaluate):
                line = " ".join(map(quoted, words))
                commands[f"{words[0]}, seed {seed}"] = f"python -m tinyembed.{line}"
        return commands


def _load_answers(path):
    """The arrays of a file that can be made again, or None where it is missing or damaged."""
    with suppress(InputError):
        return load_arrays(path, KIND)
    return None


def encoder_of(model, xp):
    """`encode` of a trained model, for arrays of xp: rolls (N, 60, 96) -> (N, 100)."""
    model.to(xp)
    return lambda rolls: model.encode(xp.asarray(rolls))
