"""Coverage-guided fuzzing: does any input get more out of a reader than one line?

    python -m benchmarks.guided midi|embed|weights|index [--seconds 60] [--out runs/guided] [--json]
    python -m benchmarks.guided TARGET --again FILE       reads one file again, with the traceback

The fuzzer, atheris (`pip install "tinyembed[fuzz]"`), watches which branches of the code an input
takes, and goes on from those inputs that took a new one. `midi` reads the bytes of a MIDI file,
`embed` also embeds the piece with a tiny model; `weights` and `index` read such files, whose
contents are changed and sealed again with right checksums (resealed.py). An input must be accepted
or refused in one line, within 5 s and 200 MB. Any other one is written to --out, and the command
ends with status 1.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path

from benchmarks.guided_targets import TARGETS
from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import check_counts, count, folder
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError

ROOT = Path(__file__).resolve().parents[1]
GRACE = 120  # seconds beyond the time for fuzzing, for a child to begin and to end
STATISTICS = {  # what libFuzzer says at its end
    "inputs": re.compile(r"^stat::number_of_executed_units: +(\d+)", re.M),
    "kept": re.compile(r"^stat::new_units_added: +(\d+)", re.M),
}
PROBLEMS = (  # what it says of a finding, the plainest words first
    re.compile(r"^ *=== Uncaught Python exception: ===\n(.+)", re.M),
    re.compile(r"^==\d+== ERROR: libFuzzer: (.+)", re.M),
)


def main(argv=None):
    parser = BenchmarkParser("guided", __doc__.splitlines()[0])
    parser.add("target", "what reads the inputs", TARGETS)
    parser.add("--seconds", "how long to fuzz", count, 60)
    parser.add("--out", "folder for inputs that show a fault", folder, "runs/guided", "FOLDER")
    parser.add("--again", "read this input again, without fuzzing", folder, metavar="FILE")
    parser.share("--json")
    options = parser.parse_args(argv)
    check_counts(options, "seconds")
    if options.again:
        return again(options.target, Path(options.again))
    if importlib.util.find_spec("atheris") is None:
        raise InputError('atheris is not installed: pip install "tinyembed[fuzz]"')
    result = fuzz(options.target, options.seconds, Path(options.out))
    finish(f"guided-{options.target}", result, options)
    if not options.json:
        numbers = f"{result['inputs']:,} inputs, {result['kept']:,} of them by new branches"
        print(f"{options.target}: {numbers}")
        for file, what in result["findings"].items():
            words = f"python -m benchmarks.guided {options.target} --again {file}"
            print(f"{file}: {what}; for the traceback: {words}")
    return int(bool(result["findings"]))


def again(target, file):
    """Read one input, and print what came of it. Returns the exit status."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"--again {file}: {error.strerror}") from None
    with ExitStack() as stack:
        check = TARGETS[target](stack).check
        try:
            print(f"{file}: {check(data)}")
        except Exception:
            print(traceback.format_exc(), end="")
            return 1
    return 0


def fuzz(target, seconds, out, child="benchmarks.guided_child"):
    """Fuzz a target in a process of its own, which ends with the first fault.

    Returns the number of inputs, how many of them were kept, and findings, {file: what it did}, in
    the folder `out`.
    Raises WorkError if the process fails otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found")
        found.mkdir()
        command = [sys.executable, "-m", child, target, folder, str(seconds), f"{found}/{target}-"]
        try:
            done = subprocess.run(
                command, cwd=ROOT, text=True, errors="replace", timeout=seconds + GRACE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise WorkError(f"{target}: the fuzzer does not come to an end") from None
        files = sorted(found.iterdir())
        if files:
            out.mkdir(parents=True, exist_ok=True)
        files = [shutil.copyfile(file, out / file.name) for file in files]
    said = done.stdout
    counts = {name: re.search(pattern, said) for name, pattern in STATISTICS.items()}
    if (done.returncode and not files) or not all(counts.values()):
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise WorkError(f"{target}: the fuzzer ended with status {done.returncode}: {last}")
    problems = [problem for pattern in PROBLEMS for problem in re.findall(pattern, said)]
    what = problems[0] if problems else f"status {done.returncode}"
    numbers = {name: int(match[1]) for name, match in counts.items()}
    return {"seconds": seconds, **numbers, "findings": {str(file): what for file in files}}


if __name__ == "__main__":
    run(main)
