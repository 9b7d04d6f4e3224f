"""Every kernel compiled by CuPy and NVRTC, which need no GPU; all fused formulas are among them.

Compiling wants CuPy itself, in processes of its own: in this one its stand-in may be loaded.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from music import write_corpus

from tinyembed.backends.choice import engine_for
from tinyembed.backends.cupy.graphs import own_stream
from tinyembed.errors import WorkError
from tinyembed.evaluation.fitting import fit
from tinyembed.evaluation.passages import SEQUENCE
from tinyembed.evaluation.predictor import Predictor
from tinyembed.layers.cosine import CosineLoss
from tinyembed.models.table import MODELS, WIDTHS, Width
from tinyembed.music.corpus import Corpus
from tinyembed.training.trainer import Trainer

our_kernels = pytest.importorskip("tinyembed.backends.cupy.kernels")

from benchmarks import compile_kernels, nvrtc  # noqa: E402
from benchmarks.kernel_sources import FORMULAS, NUMBERS  # noqa: E402
from tinyembed.backends.cupy import fusion  # noqa: E402

HERE = Path(__file__).resolve().parents[1]


# The list of formulas


def kind_of(x):
    """Of an argument of a formula: the number of axes of a float32 array, or a number's type."""
    if not hasattr(x, "ndim"):
        return type(x).__name__
    return x.ndim if x.dtype == np.float32 else str(x.dtype)


def kinds_of(words):
    """The same of an entry of FORMULAS."""
    return tuple(word if word in NUMBERS else len(word.strip(".")) for word in words.split())


@pytest.fixture
def called(monkeypatch):
    """{(name of a formula, kinds of its arguments)} of the formulas that run from now on."""
    found, fuse = set(), fusion._fuse

    def recorded(formula):
        def run(*arguments):
            found.add((formula.__name__, tuple(map(kind_of, arguments))))
            return fuse(formula)(*arguments)

        return run

    monkeypatch.setattr(fusion, "_fuse", recorded)
    return found


def train_a_step(name, folder, xp):
    """Of a model, on pieces long enough for it."""
    spec = MODELS[name]
    write_corpus(folder, beats=80 if spec.excerpt else 24)
    config = {
        "model": name, "width": "tiny", "examples": 1000, "seed": 0, "learning_rate": 1e-3,
        "batch_size": 128 if spec.excerpt else 10, "temperature": spec.temperature,
    }  # fmt: skip
    corpus = Corpus.from_folder(folder, progress=False)
    with own_stream(xp), np.errstate(all="ignore"):
        Trainer(None, config, corpus, engine_for(xp)).take_step()


def train_a_predictor(xp):
    """The network of the prediction experiment, for a step."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20, 10)).astype(np.float32)
    network, data = Predictor(10, rows, True, True, rng).to(xp), xp.asarray(rows)

    def look_up(first):
        x = data[first + xp.arange(SEQUENCE)[:, None]]  # (8, N, D)
        return x[:-1], x[-1]

    def draw(step):
        return rng.integers(20 - SEQUENCE, size=5)

    fit(network, CosineLoss(), draw, look_up, lambda: 1.0, 1, progress=False)


@pytest.mark.usefixtures("engine")
def test_every_formula_that_runs_in_training_is_compiled(gpu, called, tmp_path, monkeypatch):
    monkeypatch.setitem(WIDTHS, "tiny", Width(conv=(4, 6, 6, 8), dense=(16, 12, 100)))
    for name in MODELS:
        train_a_step(name, tmp_path / name / "piano", gpu)
    train_a_predictor(gpu)
    listed = {(name, kinds_of(words)) for name, entries in FORMULAS.items() for words in entries}
    assert called <= listed
    assert len(called) > 9 and FORMULAS.keys() >= set(fusion.NAMES.split())


# Compiling


def without_a_gpu(*arguments, code=None):
    """A process with CuPy and no stand-in, or skip where CuPy is not installed."""
    names = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
    installed = {d.metadata["Name"] for d in importlib.metadata.distributions()}
    if not installed & set(names):
        pytest.skip('CuPy is not installed; pip install "tinyembed[compile]" needs no GPU')
    words = ["-c", code] if code else ["-m", "benchmarks.compile_kernels", "--json", *arguments]
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=HERE,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "TINYEMBED_BACKEND": "cpu"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["--arch sm_90", "--arch sm_80 sm_100 sm_120 --only hand-written"],
    ids=["all for one GPU", "hand-written for others"],
)
def test_kernels_compile(words, tmp_path):
    done = without_a_gpu(*words.split(), "--out", tmp_path / "kernels.json")
    assert done.stderr == "" and done.returncode in (0, 1)
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "kernels.json").read_text())
    problems = [(entry["name"], entry["problems"]) for entry in found["kernels"]]
    assert [p for p in problems if p[1]] == [] and done.returncode == 0
    written = {entry["name"] for entry in found["kernels"] if entry["kind"] == "hand-written"}
    assert written == {kernel.name for kernel, *_ in our_kernels.all_kernels()}
    formulas = {entry["name"] for entry in found["kernels"] if entry["kind"] == "formula"}
    assert formulas == ({name.strip("_") for name in FORMULAS} if "sm_90" in words else set())
    for entry in found["kernels"]:
        for architecture in words.split()[1:]:
            if architecture.startswith("sm_"):
                assert 8 <= entry[architecture]["registers"] <= 64
                assert entry[architecture]["instructions"] > 30


FAULTS = """
import json
import numpy as np
from benchmarks.compile_kernels import compiled
from benchmarks.kernel_sources import hand_made, import_cupy, in_host_memory, source_of, traced
from tinyembed.backends.cupy.kernel import Kernel
cupy = import_cupy()
ones = [in_host_memory(np.ones((2, 3), np.float32)) for _ in range(2)]
double = in_host_memory(np.ones((2, 3)))

def check(write):
    return compiled(source_of("hand-written", "faulty", "", write), ["sm_90", "sm_1"])["problems"]

def kernel(code, *arguments, inputs="T x", constants=None):
    made = Kernel("faulty", inputs, "T y", code, None, constants)
    return check(lambda: hand_made(made, arguments))

def formula(function, *arguments):
    return check(lambda: traced(cupy.fuse(kernel_name="faulty")(function), arguments))

def twice(x):
    return cupy.sum(cupy.exp(cupy.sum(x, axis=1)), axis=0)

def branches(x):
    return x if x > 0 else -x

print(json.dumps({
    "fine": kernel("y = x + x;", *ones),
    "syntax": kernel("y = x +;", *ones),
    "unknown": kernel("y = x + z;", *ones),
    "double": kernel("y = x * 0.1;", *ones),
    "large": kernel("T many[999]; for (int k = 0; k < 999; k++) many[k] = x * k;"
                    "y = many[int(x)];", *ones),
    "types": kernel("y = x;", ones[0], double),
    "arrays": kernel("y = x;", double, double),
    "sums": formula(twice, ones[0]),
    "branch": formula(branches, ones[0]),
    "promoted": formula(lambda x, y: x + y, ones[0], double),
    "fused": formula(lambda x, y: cupy.sum(x * y, axis=1), *ones),
}))
"""
EXPECTED = {  # what is said of each besides that there is no sm_1
    "fine": None,
    "syntax": "error: expected an expression",
    "unknown": 'identifier "z" is undefined',
    "double": "it computes in double precision: mul.f64",
    "large": "bytes of a thread lie in memory",
    "types": "Type is mismatched",
    "arrays": "its arrays are float64",
    "sums": "NotFused: faulty is no single kernel",
    "branch": "NotFused: faulty is no single kernel",
    "promoted": "its arrays are float32, float64",
    "fused": None,
}


def test_faulty_kernels_are_found():
    done = without_a_gpu(code=FAULTS)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == EXPECTED.keys()
    for name, problems in found.items():
        others = [p for p in problems if not p.startswith("sm_1:")]
        if EXPECTED[name] is None:
            assert others == [] and len(problems) == 1
        else:
            assert any(EXPECTED[name] in p for p in others), (name, problems)


def test_without_cupy_one_line_says_so(monkeypatch, tmp_path):
    def missing():
        raise ImportError("No module named 'cupy'")

    monkeypatch.setattr(nvrtc, "import_cupy", missing)
    with pytest.raises(WorkError, match=r"No module named 'cupy'.*tinyembed\[compile\]"):
        compile_kernels.main(["--out", str(tmp_path / "kernels.json")])
    assert not list(tmp_path.iterdir())
