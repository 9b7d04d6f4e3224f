# %% [markdown]
# # 15. Appendix C: the same code on a GPU
#
# A GPU may compute a training step faster than Python can ask for it. This chapter counts the
# requests, first hundreds per step and at the end one.

# %% [markdown]
# **What you'll do.** Run the layers of this course on a device without changing a line; write a small
# compiler that fuses a formula into one loop; record a training step and replay it.
#
# **What you'll learn.** Host and device memory; kernel launches and why their number matters; fusion;
# reductions in stages; synchronization; what a CUDA graph is, and which mistake it invites.
#
# **What you need.** [Chapter 4](04_elu_and_batch_norm.md) (ELU and batch norm), [chapter
# 8](08_denoising_autoencoder.md) (a training step, Adam), and 14 minutes. **You need no GPU.** A mock
# takes its place: it is not fast, but it refuses what a GPU refuses, and it counts.

# %% [markdown]
# ## What the paper says
#
# The paper says nothing about machines. But it has four million different units (section 3.2) and
# batches of 100 (section 4.1), so one pass over all units takes 40,000 training steps. Our
# [benchmark](../benchmarks/README.md) needs about a quarter of a second per step on two processor
# cores, at the paper's width. At that rate, one pass of one model takes almost three hours, and there
# are seven models. According to its data sheet, a GPU has enough arithmetic units for many hundreds of
# steps per second. Whether it reaches them depends on how it is asked.
#
# ## Host and device
#
# | Word | Meaning |
# | --- | --- |
# | host | the processor that runs Python, and its memory |
# | device | the GPU: thousands of simple arithmetic units, with a memory of their own |
# | transfer | an array is copied from one memory to the other |
# | kernel | a small program that the device runs for all entries of an array at once |
# | launch | the host asks the device to run a kernel; it does not wait for the end |
# | synchronization | the host waits until the device has finished everything it was asked for |
#
# **CuPy** is a library with NumPy's functions, whose arrays live on the device. `tests/standin` holds
# a mock with the same name, which the project's tests use where there is no GPU. We put it first in
# the list of folders in which Python looks for modules:

# %%
import json
import sys

import lesson
import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(lesson.ROOT / "tests" / "standin"))
import cupy  # the mock
from cupy import standin

music = lesson.corpus()
beats = music.unit_beats()
beats = beats[music.has_onset(beats)]
beats = np.random.default_rng(11).choice(beats, 100, replace=False)
rolls = music.rolls(beats)  # (100, 60, 96), on the host


def count(work):
    """Call a function. Returns its result, and what was counted meanwhile."""
    standin.reset()
    result = work()
    return result, standin.counts()


on_device, counts = count(lambda: cupy.asarray(rolls))
print(
    f"transfers to the device: {counts['to_device']}, memory held: {counts['bytes_held']:,} bytes"
)

# %% [markdown]
# The device is strict. To add an array of the host to an array of the device, a transfer would be
# needed that nobody asked for, so it is refused. Reading a single number is allowed, but it is a
# synchronization: the host cannot know the number before the device has computed it.

# %%
try:
    on_device + rolls
except TypeError as error:
    print("refused:", type(error).__name__)

onsets, counts = count(lambda: float(on_device.sum()))
print(f"{onsets:,.0f} onsets; synchronizations: {counts['synchronisations']}, "
      f"transfers to the host: {counts['to_host']}")  # fmt: skip

# %% tags=["hide"]
assert onsets == rolls.sum() and counts["synchronisations"] == counts["to_host"] == 1
step = json.loads(lesson.ROOT.joinpath("benchmarks/results/step-paper-100.json").read_text())
assert 0.2 < step["seconds"]["tinyembed"]["median"] < 0.3

# %% [markdown]
# ## One code for both
#
# Chapter 4's ELU is $y = x$ above zero and $e^x - 1$ below. As one formula it is
# `max(x, exp(min(x, 0)) - 1)`. NumPy and CuPy have the same functions, so our function asks its
# argument which of the two it belongs to:


# %%
def array_module(x):
    """Whose functions take x: NumPy's, CuPy's, or those of a kind that we add later."""
    return kinds.get(type(x), cupy)


kinds = {np.ndarray: np}


def elu(x):
    xp = array_module(x)  # numpy or cupy
    return xp.maximum(x, xp.exp(xp.minimum(x, 0)) - 1)


x = np.random.default_rng(0).standard_normal((8000, 100), dtype=np.float32)
y_host = elu(x)
x_device = cupy.asarray(x)
y_device, counts = count(lambda: elu(x_device))
assert np.array_equal(cupy.asnumpy(y_device), y_host)  # asnumpy transfers to the host
print("the same numbers; launches:", counts["launches"])

# %% [markdown]
# The 8,000 rows are 100 units times the 5 x 16 places of the first convolution. `minimum`, `exp`, the
# subtraction and `maximum` are one launch each. **Predict first:** how many launches does the ELU of
# a *single* number take?

# %%
_, one = count(lambda: elu(x_device[:1, :1]))
print("launches for 800,000 numbers:", counts["launches"], " for one:", one["launches"])

# %% tags=["hide"]
assert counts["launches"] == one["launches"] == 4

# %% [markdown]
# This is the first fact about GPUs: **a launch costs the same for one number as for a million.** The
# host takes some microseconds to ask, and the device takes some more to begin. For a large array this
# is nothing. For the arrays of our network it is often *more than the work itself*.
#
# ## Fusion
#
# The four launches have a second cost. Each kernel reads its inputs from the device's memory and
# writes its output there. `minimum` reads one array and writes one, `exp` and the subtraction too, and
# `maximum` reads two and writes one. That makes nine. But only $x$ has to be read and only $y$ has to
# be written, which makes two. To **fuse** kernels is to write one loop in place of several.
#
# Here is a compiler that does it. A `Symbol` stands for a value that is not known yet. Every operation
# on it is written down instead of computed:


# %%
class Symbol:
    """A value of which only the formula is known."""

    def __init__(self, text):
        self.text = text

    def __add__(self, other):
        return Symbol(f"({self.text} + {write(other)})")

    def __sub__(self, other):
        return Symbol(f"({self.text} - {write(other)})")

    def __mul__(self, other):
        return Symbol(f"({self.text} * {write(other)})")


def write(value):
    return value.text if isinstance(value, Symbol) else str(value)


class symbols:
    """The functions of NumPy and CuPy that our formulas use, for symbols."""

    exp = staticmethod(lambda x: Symbol(f"exp({write(x)})"))
    maximum = staticmethod(lambda x, y: Symbol(f"max({write(x)}, {write(y)})"))
    minimum = staticmethod(lambda x, y: Symbol(f"min({write(x)}, {write(y)})"))


kinds[Symbol] = symbols  # array_module knows a third kind now


def compile_loop(formula, *names):
    """A formula of arrays -> the text of one loop over all their entries."""
    result = formula(*[Symbol(f"{name}[n]") for name in names])
    return f"for n in range({names[0]}.size):\n    y[n] = {result.text}"


loop = compile_loop(elu, "x")
print(loop)

# %% [markdown]
# We called `elu` itself with a symbol instead of an array, and got the loop. On a GPU there is no
# `for`: each $n$ is computed by its own *thread*, one of many that run at once, and the body of the
# loop is the kernel. Python can run the loop too, slowly, so we can check it. `cupy.fuse` does the
# same, except that it writes C++ and passes it to the device's compiler, once:

# %%
few = x[:3].ravel()  # 300 numbers
y = np.empty_like(few)
exec(loop, {"x": few, "y": y, "exp": np.exp, "max": max, "min": min})
assert np.array_equal(y, elu(few))
print("the loop gives the same numbers")

fused_elu = cupy.fuse(elu)
fused, counts = count(lambda: fused_elu(x_device))
assert np.array_equal(cupy.asnumpy(fused), y_host)
print("launches, fused:", counts["launches"])

# %% tags=["hide"]
assert counts["launches"] == 1

# %% [markdown]
# A formula can be fused if entry $n$ of the result needs only entry $n$ of each input. A matrix
# product cannot. It is a launch of its own, from a library (cuBLAS).
#
# **Sums** are between the two. The gradient of a bias is a sum over rows, and each thread can add up
# one column. But a matrix of 32 columns would then keep only 32 threads busy, and a large GPU runs
# tens of thousands. So the package's [`column_sums`](../tinyembed/backends/cupy/column_sums.py) adds up
# groups of rows first, all groups at once, and then the sums of the groups, in two stages or more. Such
# a **reduction in stages** has more launches, but each of the early ones has many threads.

# %%
from tinyembed.backends.arrays import column_sums

for rows in (100, 8_000, 80_000):
    tall = cupy.ones((rows, 32), np.float32)
    sums, counts = count(lambda tall=tall: column_sums(tall))
    assert (cupy.asnumpy(sums) == rows).all()
    print(f"sums over {rows:6,} rows of 32 columns, launches: {counts['launches']}")

# %% [markdown]
# ## A whole training step
#
# Now we count a real step: the context model at `small` width on 100 units, forward, backward and
# Adam. The layers mark their elementwise formulas as *operations*, and on a GPU the package passes
# each of them to `cupy.fuse` ([fusion.py](../tinyembed/backends/cupy/fusion.py)). We put a switch into
# `cupy.fuse`, so that we can count both ways. **Predict first:** how many launches are there for 14
# layers, forward and backward, and Adam, plain and fused?

# %%
switch = {"fused": True}
real_fuse = cupy.fuse


def fuse_with_switch(formula=None, **options):
    if formula is None:  # called with options alone: the formula comes next
        return lambda formula: fuse_with_switch(formula, **options)
    compiled = real_fuse(**options)(formula)
    return lambda *arrays: (compiled if switch["fused"] else formula)(*arrays)


cupy.fuse = fuse_with_switch

from tinyembed.models.model import Model
from tinyembed.models.table import MODELS
from tinyembed.training.examples import Examples, random_stream
from tinyembed.training.optimizers import Adam, Flat

training = np.flatnonzero(~music.piece_is_test)
examples = Examples(music, MODELS["context"], training)


def new_training(width, xp):
    """A model and its optimizer, the same at each call, on the host or on the device."""
    model = Model("context", width, music.composers, random_stream(0, "weights")).to(xp)
    return model, Adam(Flat(model.parameters()))


def launches_of_a_step(width="small", size=100, fused=True):
    """{"forward", "backward", "Adam"}: how many launches each takes."""
    switch["fused"] = fused
    model, adam = new_training(width, cupy)
    batch = examples.batch(0, size).to(cupy)
    (_, cache), forward = count(lambda: model.loss(batch, training=True))
    _, backward = count(lambda: model.loss_backward(cache))
    _, update = count(lambda: adam.step(1e-3))
    parts = {"forward": forward, "backward": backward, "Adam": update}
    return {name: counts["launches"] for name, counts in parts.items()}


plain, fused = launches_of_a_step(fused=False), launches_of_a_step()
for name in plain:
    print(f"{name:9s}{plain[name]:4d} launches, fused {fused[name]:4d}")
print(f"in all   {sum(plain.values()):4d}                 {sum(fused.values()):4d}")

# %% tags=["hide"]
assert sum(plain.values()) > 1.5 * sum(fused.values())
assert fused["Adam"] == 1

# %% tags=["thumbnail"] alt="Two bars: the launches of one training step, plain and fused, divided into forward, backward and Adam"
figure, ax = plt.subplots(figsize=(8.6, 2.4), layout="constrained")
colours = {"forward": lesson.BLUE, "backward": lesson.ORANGE, "Adam": lesson.INK}
for place, parts in enumerate((plain, fused)):
    left = 0
    for name, number in parts.items():
        ax.barh(place, number, left=left, color=colours[name], label="" if place else name)
        left += number
    ax.text(left + 5, place, str(left), va="center")
ax.set_yticks([0, 1], ["plain", "fused"])
ax.invert_yaxis()
ax.set_xlabel("launches of one training step")
ax.set_xlim(0, 1.1 * sum(plain.values()))
figure.legend(loc="outside upper center", frameon=False, ncols=3)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Adam is the clearest case. Its update is a formula of a dozen operations on all weights; fused, it
# is one launch, which reads four arrays and writes four.
#
# Now make the batch ten times smaller, and then use the `paper` width, with ten times as many weights.
# **Predict first:** how does the number of launches change?

# %%
for width, size in (("small", 100), ("small", 10), ("paper", 10)):
    step = launches_of_a_step(width, size)
    weights = new_training(width, np)[1].flat.count
    print(f"{width:6s}{size:4d} units, {weights:9,} weights: {sum(step.values())} launches")
    assert step == fused

# %% [markdown]
# It does not change. The number of launches depends on the *code*, not on the data. (Sums in stages
# are an exception. In a batch of 1,000 the first layer has 80,000 rows, and its sums take the three
# launches printed above.)
#
# What does that cost? We calculate with round numbers. They are **assumptions, not measurements**: a
# launch from Python takes 5 microseconds, and the device computes 67 trillion operations per second,
# as the data sheet of an H200 says for float32. The operations of a step at `paper` width can be
# counted as in chapter 5: two for each weight of a layer, at each place where it is applied.

# %%
layers = [  # places, inputs, outputs of each layer at paper width
    (5 * 16, 12 * 6, 100), (4 * 8, 2 * 4 * 100, 200), (3 * 4, 2 * 4 * 200, 400),
    (2 * 2, 2 * 4 * 400, 800), (1, 3200, 800), (1, 800, 400), (1, 400, 100),
]  # fmt: skip
encoder = sum(2 * places * inputs * outputs for places, inputs, outputs in layers)
operations = 100 * 6 * encoder  # 100 units; encoder and decoder; forward, and two products backward
arithmetic = operations / 67e12
print(f"operations of a step: {operations / 1e9:.0f} billion")
print(f"assumed: {1e3 * arithmetic:.1f} ms of arithmetic")
for name, parts in (("plain", plain), ("fused", fused)):
    print(f"assumed: {1e3 * 5e-6 * sum(parts.values()):.1f} ms of launches, {name}")

# %% tags=["hide"]
assert round(operations / 1e9) == 32
assert 5e-6 * sum(plain.values()) > 4 * arithmetic and 5e-6 * sum(fused.values()) > 1.2 * arithmetic

# %% [markdown]
# Under these assumptions the launches take longer than the arithmetic, even fused and at the largest
# width. The device waits for Python. The next two sections change that.
#
# ## Avoid synchronization
#
# Here is a training loop as one would write it first. **Predict first:** what crosses between the two
# memories in each step, and in which direction?

# %%
switch["fused"] = True
SIZE = 20  # units per step from here on: the mock is slow, and the counts are the same


def naive_step(model, adam, step):
    batch = examples.batch(step, SIZE).to(cupy)
    losses, cache = model.loss(batch, training=True)
    model.loss_backward(cache)
    adam.step(1e-3)
    return float(losses["reconstruction"])


model, adam = new_training("small", cupy)
naive_losses, counts = count(lambda: [naive_step(model, adam, step) for step in range(3)])
print(f"3 steps: {counts['to_device']} transfers to the device, {counts['to_host']} to the host, "
      f"{counts['synchronisations']} synchronizations")  # fmt: skip

# %% tags=["hide"]
assert counts["to_device"] >= 15 and counts["synchronisations"] == 3

# %% [markdown]
# Each step sends several arrays, and most of what it sends are rolls: 100 units are 576,000 numbers,
# nearly all of them zero. And each `float` makes the host wait for the device. Afterwards the device
# waits, while the host prepares the next step.
#
# Three habits help:
#
# - **Send what is small.** The onsets of all pieces are sent once. For each step, the host sends only
#   which units and keys it has drawn, and the device makes the rolls.
# - **Send it seldom.** The host draws 50 steps in advance and sends them together.
# - **Ask seldom.** The device adds up the losses, and the host asks for them when it writes a line of
#   its log.
#
# In the package an **engine** does the first two
# ([engine.py](../tinyembed/backends/cupy/engine.py)). Beside each batch it can send a few numbers that
# the step needs, here none.

# %%
from tinyembed.backends.choice import engine_for

engine = engine_for(cupy)
batches, counts = count(lambda: engine.batches(examples, SIZE, lambda step: (), steps=1000))
print(f"the onsets of all {music.n_pieces} pieces: {counts['to_device']} transfer")

_, counts = count(lambda: [batches.at(step) for step in range(50)])
print(f"50 batches: {counts['to_device']} transfer, {counts['synchronisations']} synchronizations")

# %% alt="Left, a unit as the list of onsets that the device knows; right, the roll that the device makes of it"
batch, _ = batches.at(0)
made = cupy.asnumpy(batch.input)  # (20, 60, 96)
assert np.array_equal(made, examples.batch(0, SIZE).input)  # as the host makes them
unit = made[made.sum(axis=(1, 2)).argmax()]  # the one with the most onsets
rows, ticks = np.nonzero(unit)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3), layout="constrained")
left.plot(ticks, rows, "o", color=lesson.INK, ms=3)
left.set(title=f"the device knows: {len(rows)} onsets", xlabel="tick", ylabel="pitch row")
left.set(xlim=(-2, 96), ylim=(0, 60))
left.title.set_fontsize(10)
lesson.show_roll(right, unit, f"the device makes: {unit.size:,} cells")
plt.show()

# %% tags=["hide"]
assert counts["to_device"] == 1 and counts["synchronisations"] == 0

# %% [markdown]
# The rolls equal those that the host makes. The mock can also *prove* that a step never synchronizes:
# within `forbid_synchronisation` every synchronization and every transfer is an error.

# %%
model, adam = new_training("small", cupy)
total = cupy.zeros((), np.float32)  # the sum of the losses stays on the device
with standin.forbid_synchronisation():
    for step in range(3):
        batch, _ = batches.at(step)
        losses, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        adam.step(1e-3)
        total += losses["reconstruction"]
print(f"mean loss of 3 steps: {float(total) / 3:.3f}, "
      f"by the naive loop: {np.mean(naive_losses):.3f}")  # fmt: skip

try:
    with standin.forbid_synchronisation():
        float(total)
except standin.Forbidden as error:
    print("refused:", error)

# %% tags=["hide"]
assert np.isclose(float(total) / 3, np.mean(naive_losses), rtol=1e-5)

# %% [markdown]
# ## Record and replay
#
# The launches themselves remain. But in every step *the same kernels* run in the same order, on arrays
# of the same sizes. So we can record the requests once and replay them. Here is a recorder for NumPy.
# It keeps each call with the arrays that it read and wrote:


# %%
class Tape:
    def __init__(self):
        self.calls = []

    def run(self, function, *inputs, out):
        self.calls.append((function, inputs, out))
        function(*inputs, out=out)

    def replay(self):
        for function, inputs, out in self.calls:
            function(*inputs, out=out)


x, y = np.array([1.0, 2.0]), np.empty(2)
factor = 10
tape = Tape()
tape.run(np.multiply, x, factor, out=y)
tape.run(np.add, y, 1, out=y)
print("recorded:", y)

# %% [markdown]
# **Predict first:** what does each of the next three replays print?

# %%
x[...] = [3, 4]  # new numbers in the same array
tape.replay()
print("new numbers in the array:", y)

x = np.array([5.0, 6.0])  # another array, which is also called x
tape.replay()
print("another array called x:  ", y)

factor = 1000
tape.replay()
print("another factor:          ", y)

# %% tags=["hide"]
assert (y == [31, 41]).all()

# %% [markdown]
# Only the first change has an effect. A recording knows **places in memory**, not names, and a Python
# number is stored in it as it was. This is the mistake that recording invites. The remedy is always the
# same: whatever changes between steps must be written into an array that stays.
#
# In a training step three things change. The batch: the engine writes every batch into the same
# arrays. Two numbers of Adam, the learning rate and the correction of its moving means: they become
# arrays too. The loss that we want to read: the step copies it into an array that stays.
#
# **Memory.** A step also makes arrays that nobody needs after it, such as the outputs of the layers.
# CuPy does not return their memory to the device, which would be slow. It keeps freed memory in a
# **memory pool** and reuses it. A recorded step always uses the same places, so its arrays need a pool
# of their own, which nothing else may use between two replays.
#
# On an NVIDIA GPU a recording is called a **CUDA graph**, and one launch replays it. The engine runs
# two ordinary steps, in which everything is compiled, and records the third
# ([graphs.py](../tinyembed/backends/cupy/graphs.py)). It is given the step and returns a function that
# replaces it.


# %%
def train(steps, graph):
    """The loss of each step, and what was counted in it."""
    model, adam = new_training("small", cupy)
    engine = engine_for(cupy, graph)
    batches = engine.batches(
        examples,
        SIZE,
        lambda step: adam.factors(step + 1, 1e-3),  # Adam's two numbers
        steps,
    )
    loss = cupy.zeros((), np.float32)

    def work():  # finds everything where it always is
        losses, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        adam.update(now[0], now[1])
        loss[...] = losses["reconstruction"]

    run_step = engine.repeat(work)
    found, counted = [], []
    with engine.running():  # a stream of launches that can be recorded
        for step in range(steps):
            batch, now = batches.at(step)
            counted.append(count(run_step)[1])
            found.append(float(loss))
    return found, counted


one_by_one, _ = train(5, graph=False)
replayed, counted = train(5, graph=True)
print("step   kernels launched   graphs launched   kernels in them")
for step, counts in enumerate(counted, start=1):
    columns = (counts[label] for label in ("launches", "graph_launches", "replayed"))
    print(f"{step:4d}{next(columns):19d}{next(columns):18d}{next(columns):18d}")
assert one_by_one == replayed
print("losses with and without the graph: equal to the last bit")

# %% tags=["hide"]
assert [c["graph_launches"] for c in counted] == [0, 0, 1, 1, 1]
assert counted[-1]["launches"] == 0 and counted[-1]["replayed"] == counted[0]["launches"]
assert counted[0]["launches"] == sum(fused.values()) + 1  # the copy of the loss

# %% [markdown]
# There is one kernel more than in the count above: the copy of the loss. From the third step on, the
# host asks *once*, and the device runs all kernels one after the other without waiting for Python.
# Each kernel still takes a moment on the device to begin and to end, so fusion pays off inside a graph
# too.
#
# The package's training is built like this, and its graphs have these sizes, in batches of the size
# that each model uses by default. Outside the graph there are a few launches, which make the batch.

# %%
from tinyembed.training.trainer import Trainer

print("model          kernels in its graph   launches outside   synchronizations")
for name, spec in MODELS.items():
    settings = {
        "model": name, "width": "small", "examples": 10_000, "seed": 0, "learning_rate": 1e-3,
        "batch_size": spec.batch_size, "temperature": spec.temperature,
    }  # fmt: skip
    trainer = Trainer(None, settings, music, engine_for(cupy))
    with trainer.engine.running():
        for _ in range(3):  # two ordinary steps, and the recording
            trainer.take_step()
        _, counts = count(trainer.take_step)
    columns = (counts[label] for label in ("replayed", "launches", "synchronisations"))
    print(f"{name:14s}{next(columns):21d}{next(columns):19d}{next(columns):19d}")
    assert counts["graph_launches"] == 1

# %% [markdown]
# ## What is measured
#
# All counts on this page come from the mock. It computes on the CPU, so it says nothing about time,
# and the milliseconds above were assumptions. `python -m benchmarks.gpu` measures on a real GPU: our
# steps, one by one and as a graph, beside the same network in PyTorch. This page prints what it wrote.

# %%
files = sorted((lesson.ROOT / "benchmarks" / "results").glob("gpu-*.json"))
for file in files:
    measured = json.loads(file.read_text())
    print(measured["gpu"]["name"])
    for entry in measured["steps"]:
        kind = "TF32" if entry["tf32"] else "FP32"
        print(
            f"  {entry['width']} width, batch {entry['batch_size']}, {kind}: milliseconds per step"
        )
        print(f"    {'arithmetic alone':28s}{entry['arithmetic_ms']:9.3f}")
        for name, way in entry["ways"].items():
            print(f"    {name:28s}{way['ms']['median']:9.3f}")
if not files:
    print("GPU figures are not measured yet.")

# %% [markdown]
# (TF32 is a way of multiplying matrices that keeps only 10 of the 23 binary digits of each float32,
# and is several times as fast according to the data sheet. `--tf32` asks for it.)
#
# ## The package does the same
#
# This page has used the package's layers all along, because they *are* the same code. It remains to be
# shown that the device's numbers are the host's. Here are the same five steps on the CPU, where
# nothing is recorded and the host makes the batches:

# %%
from tinyembed.layers.elu import Elu

model, adam = new_training("small", np)
on_host = []
for step in range(5):
    losses, cache = model.loss(examples.batch(step, SIZE), training=True)
    model.loss_backward(cache)
    adam.step(1e-3)
    on_host.append(float(losses["reconstruction"]))
assert np.allclose(on_host, replayed, rtol=1e-4)
print("losses of five steps, CPU and mock: equal to a relative 1e-4")

y, counts = count(lambda: Elu().forward(x_device)[0])
assert np.array_equal(cupy.asnumpy(y), y_host) and counts["launches"] == 1
print("the package's ELU: the numbers of this page, in one launch")

# %% [markdown]
# `python -m tinyembed.train --device gpu` does all of this. With `--no-graph` it launches the kernels
# one by one.
#
# ## Exercises
#
# 1. **The hidden synchronization.** This function finds the smallest loss. Before its last line it has
#    no `float`, no `print` and no visible transfer. How often does it synchronize? Write it so that it
#    does so once.
#
#    ```python
#    losses = cupy.asarray(np.linspace(2, 1, 10))
#    def hasty():
#        best = losses[0]
#        for n in range(1, 10):
#            if losses[n] < best:
#                best = losses[n]
#        return float(best)
#    ```
#
#    <details><summary>Solution</summary>
#
#    An `if` needs a yes or no on the host, so each comparison synchronizes. Keep the decision on the
#    device:
#
#    ```python
#    losses = cupy.asarray(np.linspace(2, 1, 10))
#    def hasty():
#        best = losses[0]
#        for n in range(1, 10):
#            if losses[n] < best:
#                best = losses[n]
#        return float(best)
#    def patient():
#        best = losses[0]
#        for n in range(1, 10):
#            best = cupy.minimum(best, losses[n])
#        return float(best)
#    for function in (hasty, patient):
#        smallest, counts = count(function)
#        print(smallest, counts["synchronisations"])
#    ```
#
#    Both find 1.0. The first one synchronizes 10 times, in nine comparisons and in `float`, and the
#    second one 1 time.
#
#    </details>
#
# 2. **Fuse batch norm.** The last line of batch norm's forward pass is
#    $y = \hat x \gamma + \beta$ with $\hat x = (x - \mu) \cdot s$, where $s$ is one over the standard
#    deviation. How many launches is it, plain and fused? How often does a large array cross the
#    device's memory? Let the compiler of this page write the loop.
#
#    <details><summary>Solution</summary>
#
#    ```python
#    def normalize(x, mu, s, gamma, beta):
#        return (x - mu) * s * gamma + beta
#    channels = [cupy.asarray(np.full(100, value, np.float32)) for value in (0.1, 2, 1.5, 0.5)]
#    for function in (normalize, cupy.fuse(normalize)):
#        print(count(lambda: function(x_device, *channels))[1]["launches"])
#    print(compile_loop(normalize, "x", "mu", "s", "gamma", "beta").splitlines()[1])
#    ```
#
#    Plain, there are 4 launches, and each reads a large array and writes one, which makes eight.
#    Fused, there is 1 launch, one read and one write. The loop is
#    `y[n] = ((((x[n] - mu[n]) * s[n]) * gamma[n]) + beta[n])`. A real compiler writes `mu[n % 100]`
#    and so on, because these arrays have one entry per channel.
#
#    </details>
#
# 3. **The frozen step number.** Suppose that Adam is recorded with a Python number for its step, so
#    that the step stays 1 in every replay. Take one weight $w$ with the loss $(w - 3)^2 / 2$, whose
#    gradient is $w - 3$. Start at 0 with a learning rate of 0.01. Where is $w$ after 50 steps and after
#    400 steps, with the right step number and with a frozen one?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    def end(steps, frozen):
#        w = mean_g = mean_g2 = 0.0
#        for step in range(1, steps + 1):
#            counted = 1 if frozen else step
#            g = w - 3
#            mean_g, mean_g2 = 0.9 * mean_g + 0.1 * g, 0.999 * mean_g2 + 0.001 * g**2
#            first, second = mean_g / (1 - 0.9**counted), mean_g2 / (1 - 0.999**counted)
#            w -= 0.01 * first / (np.sqrt(second) + 1e-8)
#        return w
#    for steps in (50, 400):
#        print(f"{end(steps, frozen=False):.2f} {end(steps, frozen=True):.2f}")
#    ```
#
#    After 50 steps it is at 0.49, and frozen at 0.84. After 400 steps it is at 2.59, and frozen at
#    2.54. The frozen correction multiplies the mean gradient by 10 and the root of the mean square by
#    32 in every step. At first the one error dominates, and later the other. There is no error message,
#    and the loss falls. Only a test that compares a recorded step with one that is not recorded finds
#    this mistake.
#
#    </details>
#
# ## Further reading
#
# - Tri Dao, Daniel Fu, Stefano Ermon, Atri Rudra and Christopher Ré, *FlashAttention: Fast and
#   Memory-Efficient Exact Attention with IO-Awareness*, 2022: what counting the traffic of the
#   device's memory, and fusing accordingly, is worth in a large model.
# - Mark Harris, *Optimizing Parallel Reduction in CUDA*, NVIDIA, 2007: how to add up an array on a GPU,
#   step by step.
# - Samuel Williams, Andrew Waterman and David Patterson, *Roofline: An Insightful Visual Performance
#   Model for Multicore Architectures*, 2009: is a computation limited by its arithmetic or by its
#   memory?
#
# ## What comes next
#
# Nothing on this page changes what the network computes. [Chapter 16](16_several_processes.md) trains
# one network in several processes, and there it takes some care that the same is true.
