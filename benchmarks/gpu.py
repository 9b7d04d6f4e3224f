"""How fast is a training step on a GPU, beside PyTorch's on the same GPU, and where does it go?

    python -m benchmarks.gpu [--width both] [--batch 100 1000] [--name NAME] [--json]

Forward, backward and Adam of the context model, and the LSTM's step (benchmarks/lstm.py), by ours
with and without a CUDA graph, and by PyTorch eagerly, compiled, and as CUDA graphs; in TF32 and in
FP32, for both. All start from the same weights and take turns in one process, some steps per turn.
A profile says what the GPU does in a step, and a part of a real training how long a pass over 4
million units takes. What is measured is written after each part, so that nothing is lost when the
rest is not waited for.

--check runs all of it with tiny numbers, on whatever there is, and writes nothing: it tries this
code, and measures nothing.
"""

import argparse
import json
import os
import re

import numpy as np

from benchmarks import lstm
from benchmarks.gpu_ours import autoencoder_steps, launches, lstm_steps
from benchmarks.gpu_pass import BATCH, made_up_corpus, time_a_pass
from benchmarks.machine import RESULTS, machine, positive, ratio, side_by_side, spread
from benchmarks.step import random_batch, step_flops
from tinyembed.backends.arrays import device_module, matmul, to_host
from tinyembed.backends.cupy.graphs import own_stream
from tinyembed.backends.cupy.products import use_tf32
from tinyembed.cli.options import Parser, music
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError
from tinyembed.models.table import WIDTHS
from tinyembed.music.sources import open_corpus
from tinyembed.storage.files import write_json

WINDOWS, WINDOW_S = 11, 0.1  # turns that each way takes, and seconds per turn
PASS_BATCHES = 4000  # of the 40,000 that a pass has
CHECK = {"windows": 1, "pass_batches": 20, "batch": 10}  # and the first width alone
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or PyTorch's profiler speaks on stderr
AGREE = {False: 1e-4, True: 1e-2}  # relative: two losses on the same weights, in FP32 and in TF32


def build_parser():
    """All options of the command."""
    parser = Parser("gpu", __doc__.splitlines()[0])
    parser.prog = "python -m benchmarks.gpu"
    parser.add_argument("--width", choices=[*WIDTHS, "both"], default="both", help="network size")
    parser.add_argument(
        "--batch", type=positive, nargs="+", default=[100, 1000], help="examples per step"
    )
    parser.add_argument(
        "--name", type=file_name, help="of the results file (default: the GPU's own name)"
    )
    parser.add_argument(
        "--data", type=music, metavar="DIR", help="music for the pass (default: made up)"
    )
    parser.add_argument("--windows", type=positive, default=WINDOWS, help="turns that each takes")
    parser.add_argument(
        "--pass-batches", type=positive, default=PASS_BATCHES, help="of the pass that are timed"
    )
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out torch.compile, which takes minutes"
    )
    parser.add_argument("--check", action="store_true", help="try the code, measure nothing")
    parser.share("--json")
    return parser


def main(argv=None):
    """Measure, part by part. Returns the exit status."""
    options = build_parser().parse_args(argv)
    xp, torch_device = find_gpu(options.check)
    bench = Bench(options, xp, torch_device)
    with own_stream(xp):
        for tf32 in (True, False):
            for width in bench.widths:
                for batch in bench.batches:
                    bench.add("steps", bench.autoencoder(width, batch, tf32))
            bench.add("lstm", bench.lstm(tf32))
    bench.add("passes", bench.whole_pass())
    if options.json:
        print(json.dumps(bench.result))
    elif bench.file:
        print(f"\nIn {bench.file}")
    return 0


def find_gpu(check):
    """The array module and the `torch.device` to measure; or, to check, what there is instead.

    Raises WorkError where one of the two libraries is missing, or finds no GPU.
    """
    line = "benchmarks.gpu measures an NVIDIA GPU: {}; --check tries its code without one"
    try:
        from benchmarks.gpu_peer import their_device
    except ImportError:
        raise WorkError(line.format("PyTorch is not installed")) from None
    device = their_device()
    if check:
        return device_module("auto"), device
    try:
        xp = device_module("gpu")
    except InputError as error:
        reason = str(error).removeprefix("--device gpu: ").partition(";")[0]
        raise WorkError(line.format(reason)) from None
    if device.type != "cuda":
        raise WorkError(line.format("PyTorch finds none (it needs a build with CUDA)"))
    return xp, device


class Bench:
    """The measurements of one run: what was asked for, where, and what came out so far."""

    def __init__(self, options, xp, torch_device):
        self.options, self.xp, self.torch_device = options, xp, torch_device
        self.say = (lambda *words: None) if options.json else print
        self.widths = list(WIDTHS) if options.width == "both" else [options.width]
        self.batches = list(options.batch)
        self.windows, self.pass_batches = options.windows, options.pass_batches
        self.window_s = WINDOW_S
        if options.check:
            self.widths, self.batches = self.widths[:1], [CHECK["batch"]]
            self.windows, self.pass_batches = CHECK["windows"], CHECK["pass_batches"]
            self.window_s = 0
            self.say("a check of the code; its numbers mean nothing")
        self.gpu = describe(xp)
        name = options.name or re.sub(r"[^a-z0-9]+", "-", self.gpu["name"].lower()).strip("-")
        self.file = None if options.check else RESULTS / f"gpu-{name.removeprefix('nvidia-')}.json"
        words = f" --width {options.width} --batch {' '.join(map(str, options.batch))}"
        self.result = {
            "command": "python -m benchmarks.gpu" + words,
            "gpu": self.gpu,
            "steps": [],
            "lstm": [],
            "passes": [],
            "machine": machine(),
        }

    def add(self, part, entry):
        """Keep one entry, print it, and write all there is."""
        self.result[part].append(entry)
        self.say("\n".join(lines_of(entry)))
        if self.file:
            write_json(self.file, self.result)

    def wait(self):
        """Until the GPU has done all it was given, by whichever library."""
        if self.xp is not np:
            self.xp.cuda.Device().synchronize()
        if self.torch_device.type == "cuda":
            import torch

            torch.cuda.synchronize()

    def use_tf32(self, on):
        """Multiply in TF32 or in FP32, both libraries; on a CPU, which has none, in FP32."""
        from benchmarks import gpu_peer

        if self.xp is not np:
            use_tf32(on)
        gpu_peer.use_tf32(on)

    def autoencoder(self, width, n, tf32):
        """One training step of the context model at a width, on a batch of n."""
        from benchmarks import gpu_peer

        self.use_tf32(tf32)
        batch = random_batch(n)
        ours = autoencoder_steps(width, batch, self.xp)
        theirs = gpu_peer.autoencoder_steps(
            width, batch, self.torch_device, not self.options.no_compile
        )
        agree(ours["tinyembed"](), theirs["torch eager"](), tf32)
        entry = {"width": width, "batch_size": n, "tf32": tf32}
        return entry | self.compare(ours | theirs, step_flops(width, n), n)

    def lstm(self, tf32):
        """One training step of three layers of LSTM."""
        from benchmarks import gpu_peer

        self.use_tf32(tf32)
        rng = np.random.default_rng(0)
        n = CHECK["batch"] if self.options.check else lstm.BATCH
        x = rng.standard_normal((lstm.STEPS, n, lstm.FEATURES), dtype=np.float32)
        dy = rng.standard_normal((n, lstm.UNITS), dtype=np.float32)
        ours = lstm_steps(x, dy, self.xp)
        theirs = gpu_peer.lstm_steps(
            lstm.our_network(), x, dy, self.torch_device, not self.options.no_compile
        )
        agree(ours["tinyembed"](), theirs["torch eager"](), tf32)
        entry = {"batch_size": n, "tf32": tf32}
        return entry | self.compare(ours | theirs, lstm.step_flops() * n / lstm.BATCH, n)

    def compare(self, rivals, flops, n):
        """Time all ways to take a step, in turns, and profile each."""
        from benchmarks import gpu_peer
        from benchmarks.gpu_profile import kernels

        taken = side_by_side(rivals, self.windows, self.window_s, self.wait)
        peak = self.product_gflops()
        ways = {}
        for name, seconds in taken.items():
            ms = spread(1e3 * np.array(seconds))
            ways[name] = {"ms": ms, "examples_per_s": 1e3 * n / ms["median"]}
            if name.startswith("tinyembed"):
                ways[name] |= launches(rivals[name], self.xp)
            ways[name] |= kernels(rivals[name], self.wait, 1 if self.options.check else 20)
        gpu_peer.forget_compiled()
        best_of_ours = fastest(taken, "tinyembed")
        ratios = {}
        for kind in ("torch eager", "torch compiled", "torch graph", "torch"):
            if best := fastest(taken, kind):
                ratios[kind] = {"of": best, "ratio": ratio(taken[best_of_ours], taken[best])}
        return {
            "gflop": flops / 1e9,
            "product_gflops": peak,
            "arithmetic_ms": flops / peak / 1e6,  # at the best rate that products reach here
            "ours": best_of_ours,
            "times_faster_than": ratios,
            "ways": ways,
        }

    def product_gflops(self):
        """What the matrix product reaches at a good shape: 1e9 operations per second."""
        size = 64 if self.options.check else 8192
        rng = np.random.default_rng(0)
        a, b = (self.xp.asarray(x) for x in rng.standard_normal((2, size, size), dtype=np.float32))
        work = {"product": lambda: matmul(a, b)}
        seconds = side_by_side(work, 3, self.window_s, self.wait)["product"]
        return 2 * size**3 / min(seconds) / 1e9

    def whole_pass(self):
        """One pass over 4 million units at the largest width asked for, in TF32."""
        batch, music = BATCH, {}
        if self.options.check:
            batch, music = CHECK["batch"], {"pieces": 30, "beats": 40}
        if self.options.data:
            corpus = open_corpus(self.options.data, progress=not self.options.json)
        else:
            corpus = made_up_corpus(**music)
        self.use_tf32(True)
        found = time_a_pass(corpus, self.widths[-1], self.pass_batches, self.xp, batch)
        return {"tf32": True, "music": "given" if self.options.data else "made up", **found}


def agree(ours, theirs, tf32):
    """Raise WorkError unless both networks gave the same: they are meant to be the same."""
    ours, theirs = to_host(ours), theirs.cpu().numpy()
    apart = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if not apart <= AGREE[tf32]:
        raise WorkError(f"ours and PyTorch's networks differ by {apart:.1e}; nothing to compare")


def fastest(taken, kind):
    """The fastest way whose name begins like this, and that is of this kind; or None."""
    of_kind = [
        name
        for name in taken
        if name.startswith(kind) and (kind != "torch compiled" or not name.endswith("graph"))
    ]
    return min(of_kind, key=lambda name: np.median(taken[name]), default=None)


def describe(xp):
    """What GPU it is, and what drives it."""
    if xp is np:
        return {"name": "none"}
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "name": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_bytes": xp.cuda.Device(0).mem_info[1],
        "driver": runtime.driverGetVersion(),
        "cuda": runtime.runtimeGetVersion(),
        "cupy": xp.__version__,
    }


def lines_of(entry):
    """One entry as lines of text."""
    precision = "TF32" if entry["tf32"] else "FP32"
    if "seconds" in entry:
        yield (
            f"\none pass over {entry['units']:,} units, {entry['width']} width, {precision}: "
            f"{entry['seconds']:.1f} s, from {entry['timed_batches']:,} batches of "
            f"{entry['batch_size']} among {entry['different_units']:,} different units"
        )
        return
    what = f"{entry['width']} width" if "width" in entry else "LSTM"
    yield (
        f"\n{what}, batch {entry['batch_size']:,}, {precision}; the products alone at their best "
        f"rate: {entry['arithmetic_ms']:.3f} ms"
    )
    yield f"{'':28}{'ms':>9}{'examples/s':>12}{'launches':>10}{'in kernels':>12}{'in products':>12}"
    for name, way in entry["ways"].items():
        ms = way["ms"]["median"]
        shares = [way.get(part) for part in ("kernel_ms", "product_ms")]
        shares = "".join(f"{'-' if part is None else f'{part / ms:.0%}':>12}" for part in shares)
        started = f"{way['launches']:.0f}" if "launches" in way else "-"
        yield f"{name:28}{ms:9.3f}{way['examples_per_s']:12,.0f}{started:>10}{shares}"
    for kind, found in entry["times_faster_than"].items():
        if kind == "torch":  # the fastest of all, which is among the others
            continue
        yield f"{entry['ours']}: {found['ratio']:.2f} times as fast as {found['of']}"


def file_name(text):
    """A part of a file's name, for argparse."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: letters, digits, dots and dashes only")
    return text


if __name__ == "__main__":
    run(main)
