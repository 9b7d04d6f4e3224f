"""Is anything lost when a process is killed, at whatever instant?

    python -m benchmarks.kills [--trainings 50] [--reproduce 20] [--indexes 20] [--corpora 20]
                               [--seed 0] [--json]

Starts real commands on music that is made here, kills them (SIGKILL) and starts them again in what
they left, until they end by themselves. A kill comes at any instant of the command, or some time
after it has written something, or at once when it begins to write a file. Each end is compared with
that of an undisturbed command: the same bytes, apart from times; no temporary file, no lock, and no
process that lives on.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from benchmarks.remains import contents, files, is_litter, is_temporary, orphans
from tests.music import write_corpus
from tinyembed.cli.options import count
from tinyembed.cli.running import run

ROOT = Path(__file__).resolve().parents[1]
MOMENTS = "at any instant", "after it has written", "while it writes"
MUSIC = {  # composers, pieces of each, beats of each piece
    "short": (3, 6, 24),
    "songs": (3, 5, 48),
    "long": (6, 10, 64),
    "many": (6, 40, 16),  # so many that several processes read them
}
SIZES = {  # of the two trainings, and on which music
    "context": ("--examples 600 --batch-size 10", "short"),
    "contrastive": ("--examples 1280 --batch-size 128", "long"),
}
SMALL = "--width tiny --examples 100 --batch-size 20 --lstm-steps 4 --classifier-steps 10"


@dataclass(frozen=True)
class Work:
    """A command that is killed.

    words: after `python`, with spaces between them; all is written in the current folder; resumes:
    add --resume where there is a run in `out` already; own_cache: whether the cache is in that
    folder too, so that it is begun and compared with the rest.
    """

    words: str
    backend: str = "cpu"
    resumes: bool = False
    own_cache: bool = False

    def start(self, here, cache, printed):
        """Start it in a folder, as the leader of a session. printed: a path for what it prints."""
        words = self.words.split()
        if self.resumes and (here / "out" / "config.json").exists():
            words += ["--resume"]
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1",
            "TINYEMBED_BACKEND": self.backend,
            "TINYEMBED_CACHE": str(here / "cache" if self.own_cache else cache),
        }  # fmt: skip
        with open(printed, "wb") as file:
            return subprocess.Popen(
                [sys.executable, *words], cwd=here, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip


def main(argv=None):
    parser = BenchmarkParser("kills", __doc__.splitlines()[0])
    parser.add("--trainings", "kills of a training, in all", count, 50, "N")
    parser.add("--reproduce", "kills of a reproduction", count, 20, "N")
    parser.add("--indexes", "kills while an index is built and saved", count, 20, "N")
    parser.add("--corpora", "kills while a corpus is read", count, 20, "N")
    parser.share("--seed", "--json")
    options = parser.parse_args(argv)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, (work, kills) in works(home, options).items():
            rng = random.Random(f"{options.seed} {name}")
            result[name] = entry = survive(work, kills, home / f"work, {name}", home / "cache", rng)
            if not options.json:
                numbers = ", ".join(f"{v} {k}" for k, v in entry.items() if k != "faults")
                print(f"{name:26} {numbers}", flush=True)
                print("".join(f"    {fault}\n" for fault in entry["faults"]), end="")
    finish("kills", {"works": result}, options)
    return int(any(entry["faults"] for entry in result.values()))


def works(home, options):
    """{name: (`Work`, number of kills)} for all that is to be killed, with the music it needs."""
    found = {}
    for n, (model, backend) in enumerate((m, b) for m in SIZES for b in ("cpu", "numba")):
        if kills := (options.trainings + 3 - n) // 4:
            size, songs = SIZES[model]
            words = f"-m tinyembed.train --model {model} {size} --data {music(home, songs)}"
            words += " --device cpu --out out"
            name = f"{model}, with{'out' * (backend == 'cpu')} numba"
            found[name] = Work(words, backend, resumes=True), kills
    if options.reproduce:
        words = f"-m tests.small_networks reproduce {SMALL} --data {music(home, 'songs')} --out out"
        found["reproduce"] = Work(words), options.reproduce
    if options.indexes:
        data = music(home, "long")
        words = f"-m tinyembed.search {min(data.rglob('*.mid'))} --in {data} --save out.index"
        found["index"] = Work(f"{words} --device cpu --json", own_cache=True), options.indexes
    if options.corpora:
        words = f"-m tinyembed.corpus {music(home, 'many')} --json"
        found["corpus"] = Work(words, own_cache=True), options.corpora
    return found


def music(home, name):
    """A folder of music, made where it is not there yet."""
    return home / name if (home / name).exists() else write_corpus(home / name, *MUSIC[name])


def survive(work, kills, home, cache, rng):
    """Kill a command a number of times. Returns the numbers of a line of the table, and the faults.

    home: a folder to make and work in; cache: of all commands; rng: a `random.Random`.
    """
    began = time.perf_counter()
    here, printed = _new(home, "undisturbed")
    status = work.start(here, cache, printed).wait()
    seconds = time.perf_counter() - began
    faults = [f"undisturbed: {_last_line(printed)}"] if status else []
    expected = contents(here, printed)
    entry = dict.fromkeys(("kills", "with a file half written", "ends", "identical"), 0)
    here, printed = _new(home, "killed")
    while not faults:
        running = work.start(here, cache, printed)
        if entry["kills"] < kills and wait(running, here, rng.choice(MOMENTS), seconds, rng):
            running.kill()
            running.wait()
            entry["kills"] += 1
            entry["with a file half written"] += any(map(is_temporary, files(here)))
            faults += [f"process {n} lives on" for n in orphans(running.pid)]
            continue
        if running.wait():
            faults.append(f"status {running.returncode}: {_last_line(printed)}")
            break
        entry["ends"] += 1
        found = contents(here, printed)
        names = sorted(found.keys() | expected.keys())
        faults += [f"differs: {n}" for n in names if found.get(n) != expected.get(n)]
        entry["identical"] += found == expected
        faults += [f"left: {path}" for path in (*files(here), *files(cache)) if is_litter(path)]
        if entry["kills"] >= kills:
            break
        shutil.rmtree(here)
        here, printed = _new(home, "killed")
    return {**entry, "faults": faults}


def wait(running, here, moment, seconds, rng):
    """Wait for a moment of a command that takes some seconds. Returns whether it still runs."""
    before, written = _state(here), None
    if moment == "at any instant":
        written = time.perf_counter()
    while running.poll() is None:
        now = time.perf_counter()
        if written is None and (changes := _state(here) - before):
            if moment == "while it writes" and any(is_temporary(path) for path, _ in changes):
                return True
            if moment == "after it has written":
                written, seconds = now, seconds / 2
        if written is not None:
            return _outlasts(running, rng.uniform(0, seconds))
        time.sleep(0.0005)
    return False


def _outlasts(running, seconds):
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _state(folder):
    """What changes when a file is written: a set of (path, (size, time))."""
    found = set()
    for path in files(folder):
        try:
            status = path.stat()
        except OSError:  # a temporary one
            continue
        found.add((path, (status.st_size, status.st_mtime_ns)))
    return found


def _new(home, name):
    """A new folder, and a path beside it for what a command prints."""
    (home / name).mkdir(parents=True)
    return home / name, home / f"{name}.txt"


def _last_line(printed):
    return (printed.read_text(errors="replace").strip().splitlines() or ["no word"])[-1]


if __name__ == "__main__":
    run(main)
