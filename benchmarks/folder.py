"""How fast does a folder become embeddings, beside what one would write with symusic and PyTorch?

    python -m benchmarks.folder FOLDER [--vs symusic] [--busy 2 6] [--cold] [--json]

All take turns in one process: tinyembed with numba ("fast"), tinyembed without it, and the peer
(folder_peer.py), whose encoder has the same widths. The peer of the default model does not count
intervals. --busy adds turns beside so many endless loops; --cold adds turns in new processes, from
the start of Python to the last embedding.
"""

import subprocess
import sys
import warnings
from importlib.util import find_spec

import tinyembed
from benchmarks.machine import busy, finish, positive, ratio, side_by_side, spread
from benchmarks.parser import BenchmarkParser
from tinyembed.backends import choice
from tinyembed.cli.running import run
from tinyembed.embedding.embed import EmbeddingWarning
from tinyembed.errors import InputError
from tinyembed.music.folders import find_files

MODELS = "context", "contrastive"
BACKENDS = {"fast": "numba", "without": "cpu"}
PEER = "symusic + torch"


def main(argv=None):
    parser = BenchmarkParser("folder", __doc__.splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER", help="MIDI files")
    parser.add_argument("--vs", choices=["symusic", "nothing"], default="symusic", help="the peer")
    parser.add_argument("--busy", type=positive, nargs="+", default=[], help="loops beside it")
    parser.add_argument("--cold", action="store_true", help="also in new processes")
    parser.add_argument("--rounds", type=positive, default=7, help="turns that each takes")
    parser.share("--json")
    options = parser.parse_args(argv)
    if options.vs == "symusic" and not all(map(find_spec, ("symusic", "torch"))):
        raise InputError(
            "--vs symusic: pip install symusic torch; or --vs nothing measures tinyembed alone"
        )
    warnings.simplefilter("ignore", EmbeddingWarning)  # of files that are left out
    choice.use("numba")
    result = {}
    for model in MODELS:
        result[model] = measure(options, model)
        if not options.json:
            print("\n".join(lines(model, result[model])), flush=True)
    finish("folder", result, options)
    return 0


def measure(options, model):
    """The figures of one model: units, seconds and ratios, quiet and beside busy loops."""
    rivals, units, files = rivals_of(options, model)
    found = {"files": files, "units": units, "beside": {}}
    for loops in (0, *options.busy):
        with busy(loops):
            taken = side_by_side(rivals, options.rounds, at_least=0)
        found["beside"][str(loops)] = figures(taken)
    if options.cold:
        found["cold"] = figures(side_by_side(processes(options, model), options.rounds, at_least=0))
    return found


def rivals_of(options, model):
    """{name: function} that embeds the folder, {name: units}, and the number of files."""

    def ours(backend):
        def work():
            choice.use(backend)
            return tinyembed.embed(options.folder, model, device="cpu", progress=False)

        return work

    rivals = {name: ours(backend) for name, backend in BACKENDS.items()}
    embedded = rivals["fast"]()
    units = {"tinyembed": sum(map(len, embedded.values()))}
    if options.vs == "symusic":
        from benchmarks.folder_peer import FolderPeer

        read = {name: path for name, path in find_files(options.folder).files if name in embedded}
        peer = FolderPeer(read.values())
        rivals[PEER] = peer.embed
        units[PEER] = sum(map(len, peer.embed()))
    return rivals, units, len(embedded)


def processes(options, model):
    """The same in a new process each."""
    code = (
        "import sys, tinyembed, warnings; warnings.simplefilter('ignore')\n"
        "tinyembed.use_backend(sys.argv[3])\n"
        "tinyembed.embed(sys.argv[1], sys.argv[2], device='cpu')"
    )

    def start(*words):
        return lambda: subprocess.run([sys.executable, *words], check=True)

    found = {
        name: start("-c", code, options.folder, model, backend)
        for name, backend in BACKENDS.items()
    }
    if options.vs == "symusic":
        found[PEER] = start("-m", "benchmarks.folder_peer", options.folder)
    return found


def figures(taken):
    """Of the times of all rivals: each one's spread, and how many times faster ours is."""
    found = {"seconds": {name: spread(seconds) for name, seconds in taken.items()}}
    if PEER in taken:
        found["ratio"] = {name: ratio(taken[name], taken[PEER]) for name in BACKENDS}
    return found


def lines(model, found):
    """The figures as text, and how many times as long each takes beside busy loops."""
    units = found["units"]
    yield f"{model}: {found['files']} files, {units['tinyembed']} units"
    if units.get(PEER, units["tinyembed"]) != units["tinyembed"]:
        yield f"  the peer has another number of units: {units[PEER]}"
    alone = found["beside"]["0"]["seconds"]
    beside = {f"beside {n} loops" if n != "0" else "quiet": f for n, f in found["beside"].items()}
    for place, figure in (beside | {"cold": found.get("cold")}).items():
        for name, seconds in figure["seconds"].items() if figure else ():
            line = f"  {place:16}{name:16}{seconds['median']:8.2f} s"
            if name in figure.get("ratio", ()):
                line += f", {figure['ratio'][name]:.2f} times as fast as the peer"
            if place.startswith("beside"):
                line += f", {seconds['median'] / alone[name]['median']:.1f} times as long as alone"
            yield line


if __name__ == "__main__":
    run(main)
