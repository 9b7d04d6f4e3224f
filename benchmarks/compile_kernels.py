"""Do all GPU kernels compile for all GPUs, and what do they become? Without a GPU.

    python -m benchmarks.compile_kernels [--arch sm_90 ...] [--only hand-written] [--json]

CuPy writes the source of each kernel written by hand and of each fused formula, and NVRTC compiles
it, as in a process with a GPU; neither needs a driver: pip install "tinyembed[compile]". The table
has the registers of a thread and the number of instructions. What fails is listed below it: a
kernel that does not compile, keeps numbers in memory for want of registers, or computes in double
precision on arrays of single precision; a formula that CuPy cannot make one kernel.
"""

import json
import re
from pathlib import Path

from benchmarks import nvrtc
from benchmarks.kernel_sources import KINDS
from benchmarks.machine import RESULTS
from benchmarks.parser import BenchmarkParser
from tinyembed.cli.running import run
from tinyembed.evaluation import fitting  # noqa: F401 -- so that its operation is defined
from tinyembed.storage.files import write_json
from tinyembed.training import trainer  # noqa: F401 -- and those of the layers

ARCHITECTURES = {  # from Ampere to Blackwell
    "sm_80": "A100",
    "sm_90": "H100, H200",
    "sm_100": "B200",
    "sm_120": "RTX 50",
}
ARRAYS = {"float32", "int64"}  # what kernels may read and write in training


def main(argv=None):
    """Compile. Returns the exit status: 1 where something is wrong with a kernel."""
    parser = BenchmarkParser("compile_kernels", __doc__.splitlines()[0])
    parser.add_argument(
        "--arch",
        nargs="+",
        default=[*ARCHITECTURES],
        metavar="SM",
        help="for which GPUs: sm_90 ...",
    )
    parser.add_argument("--only", choices=[*KINDS], help="one kind of kernels")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", default=RESULTS / "kernels.json", help="results file"
    )
    parser.share("--json")
    options = parser.parse_args(argv)
    result = {"command": options.command, **nvrtc.version(), "kernels": []}
    if not options.json:
        print(f"{'registers, instructions':58}" + "".join(f"{a:>11}" for a in options.arch))
    for kind in [options.only] if options.only else KINDS:
        for source in KINDS[kind]():
            entry = compiled(source, options.arch)
            result["kernels"].append(entry)
            if not options.json:
                print(line_of(entry, options.arch), flush=True)
    wrong = [f"{e['name']} ({e['variant']}): {p}" for e in result["kernels"] for p in e["problems"]]
    write_json(options.out, result)
    print(json.dumps(result) if options.json else "\n".join(wrong or ["No kernel has a problem."]))
    return 1 if wrong else 0


def compiled(source, architectures):
    """What a `Source` becomes: its own words, "problems", and numbers by architecture: a dict."""
    found = {"kind": source.kind, "name": source.name, "variant": source.variant}
    found |= {"arrays": source.arrays, "problems": [source.problem] if source.problem else []}
    if source.problem:
        return found
    problems = found["problems"]
    if not set(source.arrays) <= ARRAYS:
        problems.append(f"its arrays are {', '.join(source.arrays)}")
    for architecture in architectures:
        try:
            made = nvrtc.machine_code(source.code, source.name, architecture)
        except Exception as error:  # CuPy's, whose type needs CuPy
            problems.append(f"{architecture}: {first_error(str(error))}")
            continue
        found[architecture] = made._asdict()
        if made.spilled or made.stack:
            problems.append(f"{architecture}: {made.stack} bytes of a thread lie in memory")
    if found.keys() & {*architectures} and (double := nvrtc.double_precision(source.code)):
        problems.append(f"it computes in double precision: {', '.join(double)}")
    return found


def first_error(text):
    """The first error of a compiler's message, in one line."""
    lines = [line.strip() for line in text.splitlines() if re.search(r"\berror\b", line)]
    return (lines or [" ".join(text.split())])[0][:200]


def line_of(entry, architectures):
    """A line of the table."""
    name = f"{entry['name'].removeprefix('tinyembed_')} ({entry['variant']})"
    numbers = [
        "{registers:5}{instructions:6}".format(**entry[a]) if a in entry else f"{'failed':>11}"
        for a in architectures
    ]
    return f"{name[:57]:58}" + "".join(numbers)


if __name__ == "__main__":
    run(main)
