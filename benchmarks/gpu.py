"""How fast is a training step on a GPU, beside PyTorch's on the same GPU, and where does it go?

    python -m benchmarks.gpu [--parts steps,lstm] [--width both] [--batch 100 1000] [--json]

It is meant to take under eight minutes on an H100 or H200, and ends with a table of its targets.

| Part | |
| --- | --- |
| steps | the context model's step, with and without a graph, and PyTorch's, eager and as a graph |
| passes | one pass over 4 million units: a real training, 42 seconds of it at most |
| kernels | each kernel of our recorded steps: time, blocks, occupancy (gpu_nodes.py) |
| operations | each operation of our steps, by events (gpu_operations.py) |
| contrastive | the contrastive model's step |
| lstm | three layers of LSTM, forward and backward, and torch.nn.LSTM |
| predictor | the step of the network that predicts the eighth unit |
| memory | the GPU's memory after each of ten trainings |
| profile | what PyTorch's profiler sees of a step in all ways |
| compiled | the context model's step and PyTorch's compiled ones |

Steps are taken in TF32 and in FP32, by both libraries, from the same weights, in turns. The results
are written after each task, so what is cut off still tells; a task that fails says why, and the
others go on.
"""

import argparse
import json
import os
import re
from pathlib import Path

from benchmarks.gpu_bench import Bench, reason
from benchmarks.gpu_device import describe, find_gpu, find_peer
from benchmarks.gpu_inside import each_kernel, each_operation, memory, profile, whole_pass
from benchmarks.gpu_nodes import driver_bindings
from benchmarks.gpu_steps import compiled, contrastive, lstm_steps, predictor, steps
from benchmarks.gpu_table import (
    lines_of_kernels,
    lines_of_memory,
    lines_of_operations,
    lines_of_pass,
    lines_of_profile,
    lines_of_ways,
)
from benchmarks.gpu_targets import lines_of_targets, targets
from benchmarks.machine import RESULTS, positive
from benchmarks.parser import BenchmarkParser
from tinyembed.backends.cupy.graphs import own_stream
from tinyembed.backends.cupy.products import in_tf32
from tinyembed.cli.options import music
from tinyembed.cli.running import run
from tinyembed.errors import WorkError
from tinyembed.models.table import WIDTHS

PARTS = {  # name: (tasks, seconds, entries as text, what it needs), in the order they are taken
    "steps": (steps, 110, lines_of_ways, ()),
    "passes": (whole_pass, 80, lines_of_pass, ()),
    "kernels": (each_kernel, 30, lines_of_kernels, ("gpu", "driver")),
    "operations": (each_operation, 15, lines_of_operations, ("gpu",)),
    "contrastive": (contrastive, 20, lines_of_ways, ()),
    "lstm": (lstm_steps, 30, lines_of_ways, ()),
    "predictor": (predictor, 15, lines_of_ways, ()),
    "memory": (memory, 30, lines_of_memory, ("gpu",)),
    "profile": (profile, 30, lines_of_profile, ("torch",)),
    "compiled": (compiled, 120, lines_of_ways, ("torch",)),
}
SECONDS = 440  # of all parts together
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or PyTorch's profiler speaks on stderr


def build_parser():
    """All options of the command."""
    parser = BenchmarkParser("gpu", __doc__.splitlines()[0])
    parser.add_argument(
        "--parts", type=names_of_parts, default=",".join(PARTS), metavar="A,B", help="what to take"
    )
    parser.add_argument("--width", choices=[*WIDTHS, "both"], default="both", help="network size")
    parser.add_argument(
        "--batch", type=positive, nargs="+", default=[100, 1000], help="examples per step"
    )
    parser.add_argument(
        "--data", type=music, metavar="DIR", help="music for the pass (default: made up)"
    )
    parser.add_argument("--seconds", type=positive, default=SECONDS, help="for all of it, about")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="results file (default: by the GPU's name)"
    )
    parser.add_argument(
        "--check", action="store_true", help="try the code with tiny sizes: it measures nothing"
    )
    parser.share("--json")
    return parser


def main(argv=None):
    """Measure, part by part. Returns the exit status: 1 where a task failed."""
    options = build_parser().parse_args(argv)
    xp = find_gpu(options.check)
    peer, why_not = find_peer(xp, options.check)
    about = {"command": options.command, "gpu": describe(xp), **(peer.about() if peer else {})}
    file = options.out or (None if options.check else RESULTS / f"{file_name(about['gpu'])}.json")
    say = (lambda *words: None) if options.json else print
    bench = Bench(options, xp, peer, file, about, say)
    say(", ".join(f"{name} {value}" for name, value in about["gpu"].items()))
    missing = missing_here(xp, why_not)
    if why_not:
        say(f"without PyTorch: {why_not}")
    before = in_tf32()
    try:
        with own_stream(xp):
            for part in options.parts:
                take(bench, part, missing)
        bench.use_tf32(before)
    except Exception as error:  # a GPU that has failed refuses even to be waited for
        bench.note("failed", "the end", "all of it", reason(error))
    bench.result |= {"to_reach": targets(bench.result), "finished": True}
    bench.write()
    say("\n".join(lines_of_targets(bench.result["to_reach"])))
    if options.json:
        print(json.dumps(bench.result))
    elif file:
        print(f"\nIn {file}")
    return 1 if bench.result["failed"] else 0


def take(bench, part, missing):
    """One part, or why it is left out."""
    tasks, seconds, lines_of, needs = PARTS[part]
    lacks = [missing[need] for need in needs if need in missing]
    if lacks:
        bench.leave_out(part, lacks[0])
    else:
        bench.run(part, tasks(bench), seconds, lines_of)


def missing_here(xp, torch):
    """{what a part may need: why it is not there}. torch: why PyTorch is not, or None."""
    missing = {"torch": torch} if torch else {}
    if not hasattr(xp, "cuda"):
        missing["gpu"] = "there is no GPU"
    try:
        driver_bindings()
    except WorkError as error:
        missing["driver"] = str(error)
    return missing


def names_of_parts(text):
    """A list of parts, for argparse, in the order in which they are taken."""
    wanted = text.split(",")
    for name in wanted:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"{name!r}: choose from {', '.join(PARTS)}")
    return [name for name in PARTS if name in wanted]


def file_name(gpu):
    """Of the results on a GPU: gpu-h200."""
    name = re.sub(r"[^a-z0-9]+", "-", gpu["name"].lower()).strip("-")
    return f"gpu-{name.removeprefix('nvidia-')}"


if __name__ == "__main__":
    run(main)
