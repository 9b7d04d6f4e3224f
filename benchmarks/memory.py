"""How much memory does a training take at its peak?

    python -m benchmarks.memory --data FOLDER [--width paper] [--examples 5000] [--json]

Runs `python -m tinyembed.train` in a process of its own and asks the system for its largest
resident size. It is reached within a few steps.
"""

import json
import resource
import subprocess
import sys
import tempfile

from benchmarks.machine import finish
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.options import count
from tinyembed.cli.running import run
from tinyembed.errors import WorkError


def main(argv=None):
    parser = BenchmarkParser("memory", __doc__.splitlines()[0])
    parser.share("--data", "--any-meter", "--splits", "--width")
    parser.set_defaults(width="paper")
    parser.add_argument("--examples", type=count, default=5000, help="to train on")
    parser.share("--json")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        words = ["--out", f"{folder}/run", "--width", options.width, "--json"]
        words += ["--examples", str(options.examples), "--data", options.data]
        done = subprocess.run(
            [sys.executable, "-m", "tinyembed.train", *words], capture_output=True, text=True
        )
    if done.returncode:
        raise WorkError(f"the training ended with {done.returncode}: {done.stderr.strip()}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    result = {
        "peak_mb": peak / 1e6,
        "examples_per_s": json.loads(done.stdout)["examples_per_s"],
    }
    if not options.json:
        print(f"{peak / 1e6:.0f} MB at the peak")
    finish(f"memory-{options.width}", result, options)
    return 0


if __name__ == "__main__":
    run(main)
