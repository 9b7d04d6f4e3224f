# %% [markdown]
# # 15. The same code on a GPU
#
# A GPU can be done with a hundred units of music before Python has finished asking for them. So
# this chapter counts questions: hundreds of them for one training step, then far fewer, then one.

# %% [markdown]
# **What you'll do.** Run the layers of the earlier chapters on a device without changing a line;
# write a small compiler that melts a formula into one loop; record a training step like a tape, and
# play it back.
#
# **What you'll learn.** Two memories and the bus between them; what a launch is and why it decides;
# fusing; what waiting costs and where it hides; what a CUDA graph is, and the trap in it.
#
# **What you need.** [Chapter 4](04_elu_and_batch_norm.md) (ELU and batch norm), [chapter
# 7](08_denoising_autoencoder.md) (a training step), and 25 minutes. **No GPU.** A stand-in takes
# its place here: it computes nothing faster, but it refuses what a GPU refuses, and it counts.

# %% [markdown]
# ## What the paper says
#
# Nothing about machines. But it has four million different units (section 3.2) and batches of 100
# (section 4.1), so looking at every unit once takes 40,000 training steps, and there are seven
# models. At a fifth of a second a step, that is two hours for one pass of one model. By its
# arithmetic, a GPU could do many hundreds of steps a second. *Could*: whether it does is a matter
# of how it is asked.
#
# ## Two machines in one box
#
# | Word | Meaning |
# | --- | --- |
# | host | the processor that runs Python, with its memory |
# | device | the GPU: thousands of simple arithmetic units, with a memory of their own |
# | bus | the wire between the two memories |
# | transfer | an array crosses the bus |
# | kernel | a small program that the device runs for all numbers of an array at once |
# | launch | the host asks the device to run one kernel; it does not wait for the end |
# | synchronisation | the host does wait, until the device has done everything it was asked for |
#
# CuPy is a library with NumPy's functions whose arrays live on the device. `tests/standin` holds a
# stand-in with the same name, which the project's tests use where there is no GPU. We put it first
# in the line of places where Python looks for modules:

# %%
import json
import sys

import lesson
import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(lesson.ROOT / "tests" / "standin"))
import cupy  # the stand-in
from cupy import standin

music = lesson.corpus()
beats = music.unit_beats()
beats = beats[music.has_onset(beats)]
beats = np.random.default_rng(11).choice(beats, 100, replace=False)
rolls = music.rolls(beats)  # (100, 60, 96), on the host


def count(work):
    """Runs a function. Returns its result, and what happened meanwhile."""
    standin.reset()
    result = work()
    return result, standin.counts()


on_device, counts = count(lambda: cupy.asarray(rolls))
print("transfers to the device:", counts["to_device"], " bytes:", f"{counts['bytes_held']:,}")

# %% [markdown]
# Real music is on the device now, and it is strict about it. Adding a host array to a device array
# would need a transfer that nobody asked for, so it is refused. Looking at a single number is
# allowed, but it is a wait: the host cannot know the number before the device has got there.

# %%
try:
    on_device + rolls
except TypeError as error:
    print("refused:", type(error).__name__)

notes, counts = count(lambda: float(on_device.sum()))
print(
    f"{notes:.0f} notes; waits: {counts['synchronisations']}, transfers back: {counts['to_host']}"
)

# %% tags=["hide"]
assert notes == rolls.sum() and counts["synchronisations"] == counts["to_host"] == 1

# %% [markdown]
# ## One code, two machines
#
# Chapter 4's ELU, $y = x$ above zero and $e^x - 1$ below, as one formula:
# `max(x, exp(min(x, 0)) - 1)`. Nothing in it is NumPy's alone, so a function can ask its argument
# where it lives:


# %%
def array_module(x):
    """Whose functions take x: NumPy's or CuPy's, or those of a kind that comes later."""
    return kinds.get(type(x), cupy)


kinds = {np.ndarray: np}


def elu(x):
    xp = array_module(x)  # numpy or cupy
    return xp.maximum(x, xp.exp(xp.minimum(x, 0)) - 1)


x = np.random.default_rng(0).standard_normal((8000, 100), dtype=np.float32)  # first layer's output
y_host = elu(x)
x_device = cupy.asarray(x)
y_device, counts = count(lambda: elu(x_device))
assert np.array_equal(cupy.asnumpy(y_device), y_host)  # asnumpy: a transfer to the host, asked for
print("the same numbers; launches:", counts["launches"])

# %% [markdown]
# 8,000 rows are 100 units times the 5 x 16 places where the first kernel of the convolution sat
# down (chapter 5). Four operations, four launches: `minimum`, `exp`, subtract, `maximum`.
#
# Predict: how many launches does the ELU of a *single* number take?

# %%
_, one = count(lambda: elu(x_device[:1, :1]))
print("launches for 800,000 numbers:", counts["launches"], " for one:", one["launches"])

# %% tags=["hide"]
assert counts["launches"] == one["launches"] == 4

# %% [markdown]
# This is the first thing to know about GPUs. **A launch costs the same for one number as for a
# million.** The host needs some millionths of a second to ask, and the device some more to begin.
# For a large array that is nothing. For the arrays of our network it is often *more than the work
# itself*.
#
# ## Fusing: one loop instead of four
#
# The four launches have a second price. Each reads its input from the device's memory and writes
# its output there, because the next one knows nothing about it. Count the arrays that cross the
# device's memory: `minimum` reads one and writes one, `exp` the same, the subtraction the same,
# `maximum` reads two and writes one. Nine. But all that ever had to be read is $x$, and all that
# had to be written is $y$: two.
#
# So melt the four loops into one. To see that there is no magic in it, here is a compiler in thirty
# lines. A `Symbol` is a value that is not there yet. Whatever you do with it is written down
# instead of computed:


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
    """Has the functions of NumPy and CuPy that our formulas use, for symbols."""

    exp = staticmethod(lambda x: Symbol(f"exp({write(x)})"))
    maximum = staticmethod(lambda x, y: Symbol(f"max({write(x)}, {write(y)})"))
    minimum = staticmethod(lambda x, y: Symbol(f"min({write(x)}, {write(y)})"))


kinds[Symbol] = symbols  # array_module knows a third kind now


def compile_loop(formula, *names):
    """A formula of arrays -> the text of one loop over all their entries."""
    result = formula(*[Symbol(f"{name}[k]") for name in names])
    return f"for k in range({names[0]}.size):\n    y[k] = {result.text}"


loop = compile_loop(elu, "x")
print(loop)

# %% [markdown]
# We called `elu` itself, with a symbol instead of an array, and got the loop that it means. On a
# GPU there is no `for`: each $k$ is done by an arithmetic unit of its own, all at once, and the
# body of the loop is the kernel. Is it right? Python can run it, slowly:

# %%
few = x[:3].ravel()  # 300 numbers
y = np.empty_like(few)
exec(loop, {"x": few, "y": y, "exp": np.exp, "max": max, "min": min})
assert np.array_equal(y, elu(few))
print("the loop gives the same numbers")

# %% [markdown]
# `cupy.fuse` does just that, except that it writes C and hands it to the device's compiler, once:

# %%
fused_elu = cupy.fuse(elu)
fused, counts = count(lambda: fused_elu(x_device))
assert np.array_equal(cupy.asnumpy(fused), y_host)
print("launches, fused:", counts["launches"], " arrays that cross the memory: 2 instead of 9")

# %% tags=["hide"]
assert counts["launches"] == 1

# %% [markdown]
# What can be fused? Formulas in which entry $k$ of the result needs only entry $k$ of the inputs. A
# sum at the end can join them (the device adds up in a tree). A matrix product cannot: it is a
# launch of its own, by a library that does nothing else.
#
# ## A whole training step
#
# Now the real thing: the context model at `small` width, 100 units of real music, forward,
# backward, Adam. Its elementwise formulas are marked in the layers as operations, and a GPU hands
# each of them to `cupy.fuse` ([kernels.py](../tinyembed/backends/cupy)). To count both
# ways we put a switch into `cupy.fuse`. Predict both numbers: 14 layers, forward and backward, and
# Adam.

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
    rng = random_stream(0, "weights")
    model = Model("context", width, music.composers, rng).to(xp)
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


plain, melted = launches_of_a_step(fused=False), launches_of_a_step()
for name in plain:
    print(f"{name:9s}{plain[name]:4d} launches, fused {melted[name]:4d}")
print(f"in all   {sum(plain.values()):4d}                 {sum(melted.values()):4d}")

# %% tags=["hide"]
assert sum(plain.values()) > 1.5 * sum(melted.values())
assert melted["Adam"] == 1

# %% tags=["thumbnail"] alt="Launches of one training step, forward, backward and Adam: plain and fused"
figure, ax = plt.subplots(figsize=(8.6, 2.2), layout="constrained")
colours = {"forward": lesson.BLUE, "backward": lesson.ORANGE, "Adam": lesson.INK}
for place, parts in enumerate((plain, melted)):
    left = 0
    for name, number in parts.items():
        ax.barh(place, number, left=left, color=colours[name], label="" if place else name)
        left += number
    ax.text(left + 5, place, str(left), va="center")
ax.set_yticks([0, 1], ["plain", "fused"])
ax.invert_yaxis()
ax.set_xlabel("launches of one training step")
ax.set_xlim(0, 1.1 * sum(plain.values()))
ax.legend(frameon=False, ncols=3, loc="lower right")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Adam is the clearest case. On the page of chapter 11 it was a formula of a dozen operations over
# all weights; fused, it is one launch, which reads four arrays and writes four. (The package's
# formulas are written to be fused: batch norm works the ELU's slope out again wherever it needs it.
# Inside a kernel that is free.)
#
# Now make the work ten times smaller, and then (by the `paper` width) ten times larger. Predict the
# launches.

# %%
for width, size in (("small", 100), ("small", 10), ("paper", 10)):
    step = launches_of_a_step(width, size)
    weights = new_training(width, np)[1].flat.count
    print(f"{width:6s}{size:4d} units, {weights:9,} weights: {sum(step.values())} launches")
    assert step == melted

# %% [markdown]
# The same. The number of launches belongs to the *code*, not to the data.
#
# What does that cost? Round numbers will do for a first idea; they are **assumptions, not
# measurements**. Say that a launch from Python takes 5 microseconds (millionths of a second), and
# that the device reaches 67 million million operations a second, as the data sheet of an H200 says
# for float32. The arithmetic of a step at `paper` width we can count, by chapter 5's rule: 2
# operations for each entry of a layer's weights at each place where it sits.

# %%
layers = [  # places, inputs, outputs of each layer at paper width (chapters 5 and 8)
    (5 * 16, 12 * 6, 100), (4 * 8, 2 * 4 * 100, 200), (3 * 4, 2 * 4 * 200, 400),
    (2 * 2, 2 * 4 * 400, 800), (1, 3200, 800), (1, 800, 400), (1, 400, 100),
]  # fmt: skip
encoder = sum(2 * places * inputs * outputs for places, inputs, outputs in layers)
operations = 100 * 6 * encoder  # 100 units; encoder and decoder; forward, and two products backward
asking = {"plain": 5e-6 * sum(plain.values()), "fused": 5e-6 * sum(melted.values())}
arithmetic = operations / 67e12
print(f"arithmetic of a step: {operations / 1e9:.0f} thousand million operations")
print(f"assumed: {1e3 * arithmetic:.1f} ms of arithmetic")
for name, seconds in asking.items():
    print(f"assumed: {1e3 * seconds:.1f} ms of asking, {name}")

# %% tags=["hide"]
assert round(operations / 1e9) == 32
assert asking["plain"] > 4 * arithmetic and asking["fused"] > 1.2 * arithmetic

# %% [markdown]
# Even fused, even at the largest width, a step would spend most of its time on *being asked for*.
# The device stands by and waits for Python. In the next two sections the host learns to be silent.

# %% [markdown]
# ## Never ask back
#
# A training loop as one would write it first. Predict what crosses the bus in each step, and in
# which direction.

# %%
switch["fused"] = True
SIZE = 20  # units a step, from here on: the stand-in is slow, and the counts are the same


def naive_step(model, adam, step):
    batch = examples.batch(step, SIZE).to(cupy)
    losses, cache = model.loss(batch, training=True)
    model.loss_backward(cache)
    adam.step(1e-3)
    return float(losses["reconstruction"])


training_pair = new_training("small", cupy)
naive_losses, counts = count(lambda: [naive_step(*training_pair, step) for step in range(3)])
print("in 3 steps, to the device:", counts["to_device"], " to the host:", counts["to_host"])
print("waits:", counts["synchronisations"])

# %% tags=["hide"]
assert counts["to_device"] >= 15 and counts["synchronisations"] == 3

# %% [markdown]
# Each step sends every array of its batch by itself, and most of it is rolls: a hundred units are
# 576,000 numbers, nearly all of them zero. And each `float` makes the host wait until the device
# has caught up, so that the device has nothing to do while the host prepares the next step.
#
# Three habits cure it. **Send what is small:** the onsets of all pieces go to the device once (5
# bytes each), and for a step only the numbers of its units, their keys and so on; the device cuts
# the rolls itself. **Send it seldom:** the host draws 50 steps ahead and sends them together. **Ask
# seldom:** losses are added up on the device, and the host asks when it writes a line of its log.
# In the package the first two are the business of an *engine*
# ([engine.py](../tinyembed/backends/cupy/engine.py)). Its batches are asked for step by step; beside
# each come a few numbers that the step needs, here none.

# %%
from tinyembed.backends.choice import engine_for

engine = engine_for(cupy)
batches, counts = count(lambda: engine.batches(examples, SIZE, lambda step: (), steps=1000))
print(f"the onsets of all {music.n_pieces} pieces: {counts['to_device']} transfer")

_, counts = count(lambda: [batches.at(step) for step in range(50)])
print(f"50 batches: {counts['to_device']} transfer, {counts['synchronisations']} waits")

# %% alt="A unit as its onsets, pitches and ticks, and the roll that the device made of it"
batch, _ = batches.at(0)
made = cupy.asnumpy(batch.input)  # (20, 60, 96)
assert np.array_equal(made, examples.batch(0, SIZE).input)  # as the host makes it
unit = made[made.sum(axis=(1, 2)).argmax()]  # the fullest of the 20
rows, ticks = np.nonzero(unit)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 2.9), layout="constrained")
left.plot(ticks, rows, "o", color=lesson.ORANGE, ms=4)
left.set(title=f"known to the device: {len(rows)} onsets", xlabel="tick", ylabel="row")
left.set(xlim=(-1, 96), ylim=(-1, 60))
lesson.show_roll(right, unit, "made there: 5,760 cells")
right.set_xlabel("beat")
plt.show()

# %% tags=["hide"]
assert counts["to_device"] == 1 and counts["synchronisations"] == 0

# %% [markdown]
# The rolls are those that the host would have made, to the last onset. And the stand-in can *prove*
# that a step never looks back: within `forbid_synchronisation`, any wait and any transfer is an
# error.

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
print(
    f"mean loss of 3 steps: {float(total) / 3:.3f}, by the naive loop: {np.mean(naive_losses):.3f}"
)

try:
    with standin.forbid_synchronisation():
        float(total)
except standin.Forbidden as error:
    print("refused:", error)

# %% tags=["hide"]
assert np.isclose(float(total) / 3, np.mean(naive_losses), rtol=1e-5)

# %% [markdown]
# ## A tape
#
# One price is left: the launches themselves. But look at them from the device's side. From step to
# step, *the same kernels* run in the same order on arrays of the same sizes. So why ask anew each
# time? Record the questions once, and play them back.
#
# Here is such a recorder in ten lines, for NumPy. It keeps each call with the arrays that it read
# and wrote:


# %%
class Tape:
    def __init__(self):
        self.calls = []

    def run(self, function, *inputs, out):
        self.calls.append((function, inputs, out))
        function(*inputs, out=out)

    def play(self):
        for function, inputs, out in self.calls:
            function(*inputs, out=out)


x, y = np.array([1.0, 2.0]), np.empty(2)
rate = 10
tape = Tape()
tape.run(np.multiply, x, rate, out=y)
tape.run(np.add, y, 1, out=y)
print("recorded:", y)

# %% [markdown]
# Predict what each of these three prints.

# %%
x[...] = [3, 4]  # new numbers in the same array
tape.play()
print("the array was filled anew:   ", y)

x = np.array([5.0, 6.0])  # another array that is also called x
tape.play()
print("x is another array now:      ", y)

rate = 1000
tape.play()
print("the rate is another number:  ", y)

# %% tags=["hide"]
assert (y == [31, 41]).all()

# %% [markdown]
# Only the first change is seen. A tape knows **places in memory**, not names, and a Python number
# is frozen into it as it was. That is the whole difficulty with recording, and it has one remedy:
# what changes must live in an array that stays, and be written into it.
#
# For a training step, what changes is the batch, so the engine above writes each batch into the
# same arrays. Two numbers change, too: Adam's learning rate, and the correction of its running means
# (chapter 11: $1 - 0.9^t$). So these are arrays as well. And what a step makes for itself and
# forgets, all those outputs of layers, gets a piece of memory that nobody else may touch between
# two playbacks.
#
# On an NVIDIA GPU, the tape is called a **CUDA graph**. The driver records it, and one launch plays
# it. Steps on a GPU begin with two ordinary ones, in which everything is compiled; the third is
# recorded. The engine does that, too ([graphs.py](../tinyembed/backends/cupy/graphs.py)): it is
# given the step and returns a function to call instead.


# %%
def train(steps, graph):
    """The losses of some steps, and what was counted in each."""
    model, adam = new_training("small", cupy)
    engine = engine_for(cupy, graph)
    batches = engine.batches(
        examples,
        SIZE,
        lambda step: adam.factors(step + 1, 1e-3),  # the two numbers of each step
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
    with engine.running():  # a stream that can be recorded
        for step in range(steps):
            batch, now = batches.at(step)
            counted.append(count(run_step)[1])
            found.append(float(loss))
    return found, counted


one_by_one, _ = train(5, graph=False)
played, counted = train(5, graph=True)
print("step   kernels launched   graphs launched")
for step, counts in enumerate(counted, start=1):
    print(f"{step:4d}{counts['launches']:19d}{counts['graph_launches']:18d}")
assert one_by_one == played
print("losses with and without the graph: equal to the last bit")

# %% tags=["hide"]
assert [c["graph_launches"] for c in counted] == [0, 0, 1, 1, 1]
assert counted[-1]["launches"] == 0 and counted[-1]["replayed"] >= counted[0]["launches"]
assert abs(counted[0]["launches"] - sum(melted.values())) < 10

# %% [markdown]
# From the third step on the host asks *once*. The kernels are all still there, and the device runs
# them one after the other without waiting for Python. (Each still has a short beginning and end on
# the device itself, so fusing pays under a graph, too.)
#
# ## What was measured
#
# The times above were assumptions. `python -m benchmarks.gpu` measures: ours, one by one and as a
# graph, beside the same network in PyTorch on the same GPU. This page reads what it wrote.

# %%
files = sorted((lesson.ROOT / "benchmarks" / "results").glob("gpu-*.json"))
for file in files:
    measured = json.loads(file.read_text())
    print(measured["gpu"]["name"])
    for entry in measured["steps"]:
        kind = "TF32" if entry["tf32"] else "FP32"
        print(f"  {entry['width']} width, batch {entry['batch_size']}, {kind}: milliseconds a step")
        print(f"    {'arithmetic alone':28s}{entry['arithmetic_ms']:9.3f}")
        for name, way in entry["ways"].items():
            print(f"    {name:28s}{way['ms']['median']:9.3f}")
if not files:
    print("GPU figures are not measured yet.")

# %% [markdown]
# (TF32 is a way of multiplying that keeps 10 of the 23 digits after the binary point of each
# float32, and is several times as fast. `--tf32` asks for it.)
#
# ## The package does the same
#
# The page has used the package's layers all along: they *are* the same code, which is the point.
# What remains to be shown is that the device's numbers are the host's. Here are the first steps of
# the same training on the CPU, where nothing is recorded, and batches are made by the host:

# %%
from tinyembed.layers.elu import Elu

model, adam = new_training("small", np)
on_host = []
for step in range(5):
    losses, cache = model.loss(examples.batch(step, SIZE), training=True)
    model.loss_backward(cache)
    adam.step(1e-3)
    on_host.append(float(losses["reconstruction"]))
assert np.allclose(on_host, played, rtol=1e-4)
print("losses of five steps, CPU and stand-in: equal to a relative 1e-4")

y, counts = count(lambda: Elu().forward(x_device)[0])
assert np.array_equal(cupy.asnumpy(y), y_host) and counts["launches"] == 1
print("the package's ELU: the numbers of this page, in one launch")

# %% [markdown]
# `python -m tinyembed.train --device gpu` does all of this; `--no-graph` goes back to asking one by
# one.
#
# ## Exercises
#
# 1. **The hidden wait.** This loop keeps the best loss. It has no `float`, no `print`, no transfer
#    that one can see. How often does it wait, and how would you write it so that it waits once?
#
#    ```python
#    def hasty():
#        best = losses[0]
#        for k in range(1, 10):
#            if losses[k] < best:
#                best = losses[k]
#        return best
#    ```
#
#    <details><summary>Solution</summary>
#
#    An `if` needs a yes or no, so each comparison waits: nine times. Keep the decision on the
#    device:
#
#    ```python
#    losses = cupy.asarray(np.linspace(2, 1, 10))
#    def patient():
#        best = losses[0]
#        for k in range(1, 10):
#            best = cupy.minimum(best, losses[k])
#        return float(best)
#    ```
#
#    Now only the `float` at the end waits.
#
#    </details>
#
# 2. **Count for yourself.** The last line of batch norm's forward pass is
#    $y = (x - \mu) s + \beta$, with a mean $\mu$, a scale $s$ and a shift $\beta$ for each channel.
#    How many launches is it, and how often does a large array cross the device's memory, plain and
#    fused? Let the compiler of this page write the loop.
#
#    <details><summary>Solution</summary>
#
#    ```python
#    def normalise(x, mean, scale, beta):
#        return (x - mean) * scale + beta
#    channel = [cupy.asarray(np.full(100, value, np.float32)) for value in (0.1, 2, 0.5)]
#    _, plainly = count(lambda: normalise(x_device, *channel))
#    _, at_once = count(lambda: cupy.fuse(normalise)(x_device, *channel))
#    text = compile_loop(normalise, "x", "mean", "scale", "beta")
#    ```
#
#    Plain: three launches, each of which reads a large array and writes one, six in all. Fused: one
#    launch, one read, one written. The loop is `y[k] = (((x[k] - mean[k]) * scale[k]) + beta[k])`,
#    but for one thing: `mean` has an entry for each channel only, so a real compiler writes
#    `mean[k % 100]`.
#
#    </details>
#
# 4. **The frozen step number.** Somebody records Adam with a Python number for $t$. It stays 1 for
#    ever. Take one weight $w$ with the loss $(w - 3)^2 / 2$, whose gradient is $w - 3$. Start at 0
#    with a rate of 0.01 and take 50 steps, and then 400, once with $t$ as it should be and once
#    frozen. What happens?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    def end(steps, frozen):
#        w = m = v = 0.0
#        for step in range(1, steps + 1):
#            t = 1 if frozen else step
#            m, v = 0.9 * m + 0.1 * (w - 3), 0.999 * v + 0.001 * (w - 3) ** 2
#            w -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
#        return w
#    ```
#
#    After 50 steps it stands at 0.84 instead of 0.49, after 400 at 2.54 instead of 2.59: first it
#    runs ahead, then it falls behind. Frozen corrections multiply $m$ by 10 and the root of $v$ by
#    32 for ever; early on, while $v$ has hardly begun to fill, the first error wins. There is no
#    error message, and the loss falls. Only a test that compares the recorded step's numbers with
#    those of the step that is not recorded finds such a bug. This page had one, above.
#
#    </details>

# %% tags=["hide"]
losses = cupy.asarray(np.linspace(2, 1, 10))


def hasty():
    best = losses[0]
    for k in range(1, 10):
        if losses[k] < best:
            best = losses[k]
    return best


def patient():
    best = losses[0]
    for k in range(1, 10):
        best = cupy.minimum(best, losses[k])
    return float(best)


assert count(hasty)[1]["synchronisations"] == 9
assert count(patient)[1]["synchronisations"] == 1 and patient() == 1


def normalise(x, mean, scale, beta):
    return (x - mean) * scale + beta


channel = [cupy.asarray(np.full(100, value, np.float32)) for value in (0.1, 2, 0.5)]
_, plainly = count(lambda: normalise(x_device, *channel))
_, at_once = count(lambda: cupy.fuse(normalise)(x_device, *channel))
text = compile_loop(normalise, "x", "mean", "scale", "beta")
assert (plainly["launches"], at_once["launches"]) == (3, 1)
assert "y[k] = (((x[k] - mean[k]) * scale[k]) + beta[k])" in text


def end(steps, frozen):
    w = m = v = 0.0
    for step in range(1, steps + 1):
        t = 1 if frozen else step
        m, v = 0.9 * m + 0.1 * (w - 3), 0.999 * v + 0.001 * (w - 3) ** 2
        w -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


assert [round(end(50, frozen), 2) for frozen in (True, False)] == [0.84, 0.49]
assert [round(end(400, frozen), 2) for frozen in (True, False)] == [2.54, 2.59]

# %% [markdown]
# ## What comes next
#
# The machinery is complete: music becomes rolls, rolls become 100 numbers, and the numbers have
# been tested. In [chapter 10](10_walking_the_space.md) we walk around among them at last, and
# listen.
