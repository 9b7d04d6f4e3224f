"""The weights that come with the package: made, measured, rounded, and described.

    python -m benchmarks.weights --data FOLDER... [--model context] [--examples N]

makes tinyembed/embedding/weights/MODEL.npz and its model card, MODEL.md. It uses only files that
anyone can have, those of the corpora `asap` and `krueger`. Which of them, and what each is for, is
written to corpus.tsv beside the weights the first time; from then on exactly those files are used,
found by their SHA-256, so that `--data asap krueger` makes the same weights from fresh downloads.

A run that was stopped goes on with the same command. It works in runs/weights.
"""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np

from benchmarks.model_card import write_card
from benchmarks.parser import BenchmarkParser
from tinyembed import evaluate, train
from tinyembed.cli.options import count, folder, music
from tinyembed.cli.running import run
from tinyembed.embedding.embed import embed_rolls
from tinyembed.embedding.trained import WEIGHTS
from tinyembed.errors import InputError
from tinyembed.evaluation import composers, prediction
from tinyembed.models.table import MODELS
from tinyembed.models.weights import load_weights, save_weights
from tinyembed.music.corpus import Corpus
from tinyembed.music.folders import find_pieces
from tinyembed.music.inputs import read_files
from tinyembed.music.public_corpora import CORPORA, fetch_corpus, files_of, find_works
from tinyembed.music.splits import split_pieces
from tinyembed.storage.files import digest, write_atomically
from tinyembed.training.runs import Run

COLUMNS = ("composer", "file", "split", "corpus", "path", "sha256")  # the first three: splits.tsv
CARRIED = ("step", "examples", "seed", "validation_loss", "reader")  # what a weight file says
COMPARED = 4_000  # about so many units are embedded by full and by rounded weights


def build_parser():
    """All options of the command."""
    parser = BenchmarkParser("weights", "Make the weights that come with the package.")
    parser.add_argument(
        "--data",
        nargs="+",
        type=music,
        required=True,
        metavar="DIR",
        help=f"folders that hold the files, or {' '.join(CORPORA)} to download them",
    )
    parser.add_argument("--model", choices=list(MODELS), default="context", help="which of them")
    parser.add_argument("--examples", type=count, default=600_000, help="how many to train on")
    parser.add_argument("--lstm-steps", type=count, default=prediction.STEPS, help="of 100")
    parser.add_argument(
        "--classifier-steps", type=count, default=composers.STEPS, help=f"of {composers.BATCH}"
    )
    parser.share("--device", "--seed")
    parser.add_argument("--work", type=folder, default="runs/weights", help="folder to work in")
    parser.add_argument("--out", type=folder, default=str(WEIGHTS), help="folder of the weights")
    return parser


def main(argv=None):
    """Choose the files, train, round, evaluate, write the card. Returns the exit status."""
    options = build_parser().parse_args(argv)
    out, work = Path(options.out), Path(options.work)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "corpus.tsv"
    here = hashed(options.data)
    if not table.exists():
        write_rows(table, choose(here, options.seed))
    rows = read_rows(table)
    lay_out(rows, here, work / "music", table)
    trained = work / options.model
    status = train_model(options, work / "music", trained)
    if status:
        return status
    shipped = out / f"{options.model}.npz"
    difference = round_off(trained, shipped, work / "music")
    rounded = work / f"{options.model}-rounded"
    status = evaluate_model(options, trained, shipped, rounded)
    if status:
        return status
    summary = json.loads(Run(trained).summary_file.read_text())
    results = json.loads((rounded / "evaluation" / "results.json").read_text())
    card = write_card(shipped, options, rows, summary, results, difference)
    print(f"\n{shipped}: {shipped.stat().st_size / 1e6:.2f} MB; {card} says how it was made")
    return 0


def hashed(places):
    """{SHA-256: (path, folder, name in it)} of the MIDI files in folders or corpora by name."""
    found = {}
    for place in places:
        where = str(fetch_corpus(place)) if place in CORPORA else place
        for _, name, path in find_pieces(where)[0]:
            found.setdefault(digest(path), (path, where, name))
    return found


def choose(here, seed):
    """The files to use, as rows of `COLUMNS`: those that are here, public and readable.

    A piece that a splits.tsv in or beside its folder holds out for testing is held out here too;
    where there is none, some of each composer are drawn.
    """
    works = {}
    for corpus in CORPORA:
        by_path = {path: (composer, name) for composer, name, path in find_works(corpus, Path())[0]}
        for file in files_of(corpus):
            if file.path in by_path and file.sha256 in here:
                composer, name = by_path[file.path]
                inside = f"{corpus}/{name.removeprefix(f'{composer}/')}"
                works.setdefault(file.sha256, (composer, inside, corpus, file.path))
    if not works:
        raise InputError(f"--data: no file there is one of {' or '.join(CORPORA)}")
    readable = {
        sha
        for sha, piece in zip(works, read_files([here[sha][0] for sha in works]), strict=True)
        if not isinstance(piece, Exception)
    }
    works = {sha: work for sha, work in works.items() if sha in readable}
    is_test = held_out(works, here, seed)
    return sorted(
        (composer, file, "test" if is_test[sha] else "train", corpus, path, sha)
        for sha, (composer, file, corpus, path) in works.items()
    )


def held_out(works, here, seed):
    """{SHA-256: whether the piece is for testing}, folder by folder."""
    is_test = {}
    for place in sorted({here[sha][1] for sha in works}):
        inside = [sha for sha in works if here[sha][1] == place]
        names = [here[sha][2] for sha in inside]
        drawn, notes = split_pieces(names, [works[sha][0] for sha in inside], place, seed=seed)
        print(f"{place}: {len(inside)} files; {notes[0]}")
        is_test |= dict(zip(inside, drawn.tolist(), strict=True))
    return is_test


def lay_out(rows, here, music, table):
    """Copy the files to `music`, under the names that the table gives them: always the same corpus.

    Raises InputError where one is not here.
    """
    missing = [row for row in rows if row["sha256"] not in here]
    if missing:
        first = missing[0]
        raise InputError(
            f"--data: {len(missing)} of the {len(rows)} files of {table} are not there, such as "
            f"{first['path']}; python -m tinyembed.corpus fetch {first['corpus']} gets them"
        )
    for row in rows:
        path = music / row["composer"] / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or digest(path) != row["sha256"]:
            shutil.copyfile(here[row["sha256"]][0], path)
    write_rows(music / "splits.tsv", [[row[name] for name in COLUMNS] for row in rows])


def train_model(options, music, trained):
    """Train, or go on training, in the run's folder `trained`. Returns the exit status."""
    words = ["--data", str(music), "--model", options.model, "--device", options.device]
    words += ["--examples", str(options.examples), "--seed", str(options.seed)]
    words += ["--out", str(trained)]
    if Run(trained).config_file.exists():
        _, config = Run.open(trained, needs=("examples", "seed"))
        for name in ("examples", "seed"):
            if config[name] != getattr(options, name):
                raise InputError(
                    f"--{name} {getattr(options, name)}: the run in {trained} has {config[name]}; "
                    "choose another --work to begin anew"
                )
        words.append("--resume")
    return train.main(words)


def round_off(trained, shipped, music):
    """Write a run's best weights to the file `shipped`, rounded. Returns how much that changes."""
    model, about = load_weights(Run(trained).weights_file)
    about = {name: about[name] for name in CARRIED if name in about}
    save_weights(shipped, model, matrices=np.float16, **about)
    return compare(model, load_weights(shipped)[0], music)


def evaluate_model(options, trained, shipped, rounded):
    """Both experiments, on what is shipped: the rounded weights, in a run of their own."""
    rounded.mkdir(exist_ok=True)
    shutil.copy(Run(trained).config_file, rounded)
    shutil.copy(shipped, Run(rounded).weights_file)
    words = [str(rounded), "--device", options.device]
    words += ["--lstm-steps", str(options.lstm_steps)]
    return evaluate.main([*words, "--classifier-steps", str(options.classifier_steps)])


def write_rows(path, rows):
    """Write rows of `COLUMNS` as a table separated by tabs."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *rows])
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def read_rows(path):
    """The rows of such a table: a list of dicts."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def compare(full, rounded, music):
    """How far rounding the weights moves embeddings of test units.

    Returns the largest difference of any of their numbers, the largest of these numbers, and the
    smallest cosine between an embedding and its rounded self.
    """
    corpus = Corpus.from_folder(music, progress=False)
    beats = corpus.unit_beats(corpus.piece_is_test)
    beats = beats[corpus.has_onset(beats)]
    rolls = corpus.rolls(beats[:: max(1, len(beats) // COMPARED)])
    a, b = embed_rolls(rolls, full), embed_rolls(rolls, rounded)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return {
        "units": len(a),
        "largest_difference": float(np.abs(a - b).max()),
        "largest_number": float(np.abs(a).max()),
        "smallest_cosine": float(((a * b).sum(axis=1) / lengths).min()),
    }


if __name__ == "__main__":
    run(main)
