# %% [markdown]
# # 16. Appendix D: one training in several processes
#
# Two processes train one network, each with half of every batch. This chapter finds out what they
# must tell each other, so that the losses are those of a single process.

# %% [markdown]
# **What you'll do.** Split a batch into two halves; put together the gradient, batch norm and the
# candidate loss from what each half knows; train the same network in one and in two ranks and compare
# every loss.
#
# **What you'll learn.** Data parallelism; ranks and collective operations; which parts of a network
# need the whole batch; Chan's formula for variances; why sums depend on their order; Amdahl's law.
#
# **What you need.** [Chapter 4](04_elu_and_batch_norm.md) (batch norm), [chapter
# 7](07_candidate_loss.md) (the candidate loss), [chapter 8](08_denoising_autoencoder.md) (Adam, a
# training), and 16 minutes. **You need no MPI.** Threads of one process take the place of processes.

# %% [markdown]
# ## What the paper says
#
# The paper says nothing about machines, but it defines two things by the *batch* (section 4.1): batch
# norm takes its mean and variance from the batch, and the loss compares each reconstruction with
# those of four other members of the batch. So a batch of 100 is more than 100 examples computed
# together. Two batches of 50 would be another training.
#
# ## Ranks and messages
#
# In **data parallelism** every process holds the whole network and computes some rows of each batch.
# The processes exchange messages through **MPI**, the Message Passing Interface. A launcher starts the
# same program several times, and each process learns its number, its **rank**, which says which rows
# are its own. (The process itself is called a rank, too. The ranks of chapter 11 are something else.)
# At certain places of the program all ranks exchange arrays, in a **collective operation**. Three of
# these are enough:
#
# | Operation | Each rank gives | Each rank gets |
# | --- | --- | --- |
# | Allreduce | an array | the sum of all ranks' arrays |
# | Allgather | its own rows | the rows of all ranks |
# | Reduce-scatter | an array with a row for each example of the batch | its own rows of the sum |
#
# On this page a rank is a thread. The ranks share a desk: each puts its array down and waits for the
# others; then each computes what it needs from all arrays, and waits again, so that none is replaced
# too early. A wait for all is called a **barrier**. We call the group a company; MPI's word is
# *communicator*.

# %%
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import lesson
import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits


class Company:
    """Some ranks, each a thread, and a desk for what they exchange."""

    def __init__(self, size):
        self.size = self.local_size = size  # local: on this machine
        self.desk = [None] * size
        self.barrier = threading.Barrier(size, timeout=60)
        self.of_thread = threading.local()  # each thread sees its own rank
        self.bytes, self.calls = Counter(), Counter()  # of what one rank has given

    @property
    def rank(self):
        return getattr(self.of_thread, "rank", 0)

    def run(self, program):
        """What program(company) returns in each rank: a list."""

        def in_thread(rank):
            self.of_thread.rank = rank
            return program(self)

        # The library of matrix products, BLAS, has threads of its own: here one for each rank.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(self.size) as threads:
            return list(threads.map(in_thread, range(self.size)))

    def exchange(self, thing, combine, name):
        """combine([what each rank gives]), computed in each rank."""
        if self.rank == 0:
            self.bytes[name] += np.asarray(thing).nbytes
            self.calls[name] += 1
        self.desk[self.rank] = thing
        self.barrier.wait()
        found = combine(self.desk)
        self.barrier.wait()
        return found

    def gather(self, numbers):
        """Allgather of a few numbers: (k,) -> (ranks, k)."""
        return self.exchange(np.asarray(numbers, float), np.array, "gather")

    def counts(self, n):
        """How many rows each rank has: a list."""
        return [int(count) for count in self.gather([n])[:, 0]]

    def gather_rows(self, x):
        """Allgather: (n, ...) -> (N, ...)."""
        return self.exchange(x, np.concatenate, "gather_rows")

    def add_up(self, x):
        """Allreduce, in place."""
        x[...] = self.exchange(x.copy(), sum, "add_up")

    def sum_of_own_rows(self, x, n):
        """Reduce-scatter: (N, ...) -> (n, ...)."""
        first = sum(self.counts(n)[: self.rank])
        return self.exchange(x, sum, "sum_of_own_rows")[first : first + n]


def program(company):  # what each rank runs
    x = np.array([10.0 + company.rank])
    rows = company.gather_rows(x)
    company.add_up(x)
    return f"rank {company.rank} of {company.size}: rows {rows}, sum {x}"


for line in Company(2).run(program):
    print(line)

# %% [markdown]
# ## What is summed: the gradient
#
# Take one layer, $y = xW$, and a loss that is the mean over $N$ examples. Every example adds its own
# term to $dW$:
#
# $$
# dW = x^T dy = \sum_{n=1}^{N} x_n^T \, dy_n
# = \underbrace{\sum_{n \text{ of rank } 0} x_n^T \, dy_n}_{\text{rank 0 computes this}}
# + \underbrace{\sum_{n \text{ of rank } 1} x_n^T \, dy_n}_{\text{rank 1 computes this}}
# $$
#
# A sum can be computed in parts, so an Allreduce gives every rank the gradient of the whole batch.
# There is one condition: $dy_n$ contains the factor $1/N$ of the mean, and $N$ must be the size of the
# *whole* batch. If each rank takes the mean over its own rows, the gradients must be averaged instead,
# and for parts of different sizes that is wrong:

# %%
music = lesson.corpus()
beats = music.unit_beats(~music.piece_is_test)
beats = beats[music.has_onset(beats)]
rng = np.random.default_rng(16)
N = 100  # units in a batch
x = music.rolls(rng.choice(beats, N, replace=False), dtype=float).reshape(N, -1)  # (N, 5760)
t = rng.standard_normal((N, 1))
W = rng.standard_normal((5760, 1)) / np.sqrt(5760)


def gradient(x, t, N):
    """dW of the squared error, the sum over these rows divided by N."""
    return x.T @ ((x @ W - t) / N)


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


whole = gradient(x, t, N)
for parts in ((50, 50), (70, 30)):
    rows = slice(0, parts[0]), slice(parts[0], N)
    added = sum(gradient(x[own], t[own], N) for own in rows)
    averaged = sum(gradient(x[own], t[own], n) for own, n in zip(rows, parts, strict=True)) / 2
    print(f"parts of {parts}: the sum is right: {relative_error(added, whole) < 1e-12}, "
          f"the average of means: {relative_error(averaged, whole) < 1e-12}")  # fmt: skip

# %% tags=["hide"]
assert relative_error(added, whole) < 1e-12 and relative_error(averaged, whole) > 0.05

# %% [markdown]
# Every message has a fixed cost. So all gradients of a network lie end to end in one array, a **flat
# buffer**, and travel in one Allreduce per step.
#
# The weights never travel. All ranks draw the same first weights from the same seed, and take the same
# step of Adam with the same gradient. Nor do random choices travel: every rank draws the numbers for
# the whole batch, from the same seed, and uses those of its own rows.
#
# ## What needs the whole batch: batch norm
#
# For most layers that is all, because each row goes through them alone. Batch norm mixes the rows
# (chapter 4). **Predict first:** two ranks normalize their own 50 rows each, and everything else is
# done right. By how many per cent does that change the loss of the first step, and by how many the
# gradient? The answer comes below.
#
# To do it right, every rank needs the mean $\mu$ and the variance $\sigma^2$ of all rows. Let rank
# $\rho$ have $N_\rho$ rows, with the mean $\mu_\rho$ and the sum $\mathrm{SS}_\rho$ of squared
# deviations *from that mean*. Then
#
# $$
# N = \sum_\rho N_\rho, \qquad
# \mu = \frac{1}{N} \sum_\rho N_\rho \, \mu_\rho, \qquad
# \sigma^2 = \frac{1}{N} \sum_\rho \left( \mathrm{SS}_\rho + N_\rho (\mu_\rho - \mu)^2 \right)
# $$
#
# This is **Chan's formula**. Its last term is there because a rank's mean differs from the mean of all
# rows, and the deviations are needed from the latter. (It would be simpler to add up $x$ and $x^2$.
# Exercise 3 shows what is wrong with that.)


# %%
def own_statistics(x):
    """The count, the means, and the sums of squared deviations: (n, M) -> (1 + 2M,)."""
    mu = x.mean(axis=0)
    return np.concatenate([[len(x)], mu, ((x - mu) * (x - mu)).sum(axis=0)])


def combine(parts):
    """Chan's formula: (ranks, 1 + 2M) -> N, mu (M,), var (M,)."""
    counts, (means, SS) = parts[:, :1], np.split(parts[:, 1:], 2, axis=1)
    N = counts.sum()
    mu = (counts * means).sum(axis=0) / N
    return N, mu, (SS + counts * (means - mu) ** 2).sum(axis=0) / N


both = x.sum(axis=1, keepdims=True)  # (N, 1): how many onsets each unit has
halves = both[:50], both[50:]
_, mu, var = combine(np.array([own_statistics(half) for half in halves]))
for name, half in zip(("rank 0", "rank 1", "both  "), (*halves, both), strict=True):
    print(f"{name}: mean {half.mean():.2f}, variance {half.var():.2f}")
print(f"Chan:   mean {mu[0]:.2f}, variance {var[0]:.2f}")

# %% tags=["hide"]
assert np.isclose(var[0], both.var(), rtol=1e-12) and np.isclose(mu[0], both.mean(), rtol=1e-12)

# %% [markdown]
# The backward pass mixes the rows too. Chapter 4's short form has two sums over the batch in it:
#
# $$dx_n = \gamma s \left( dy_n - \frac{d\beta}{N} - \hat x_n \frac{d\gamma}{N} \right), \qquad
# d\beta = \sum_n dy_n, \qquad d\gamma = \sum_n dy_n \, \hat x_n$$
#
# So the ranks add up these two sums before they compute $dx$. But $d\beta$ and $d\gamma$ are also
# gradients of parameters, and travel in the flat buffer at the end. The buffer must get each rank's
# *own* sums, or they are counted once per rank.


# %%
def batch_norm(company, x, gamma, beta, eps=1e-5):
    """x: (n, M), this rank's rows of the batch -> y: (n, M)."""
    N, mu, var = combine(company.gather(own_statistics(x)))
    mu, s = mu.astype(x.dtype), ((var + eps) ** -0.5).astype(x.dtype)
    x_hat = (x - mu) * s
    return gamma * x_hat + beta, (x_hat, s, gamma, N.astype(x.dtype))


def batch_norm_backward(company, dy, cache):
    """dy: (n, M) -> dx, and this rank's own parts of dgamma and dbeta."""
    x_hat, s, gamma, N = cache
    own = np.stack([(dy * x_hat).sum(axis=0), dy.sum(axis=0)])  # (2, M)
    total = own.copy()
    company.add_up(total)
    dgamma, dbeta = total
    return gamma * s * (dy - dbeta / N - x_hat * dgamma / N), *own


# %% [markdown]
# (The running averages need no message: all ranks move theirs by the same $\mu$ and $\sigma^2$.)
#
# ## What else: the other ranks' answers
#
# The loss compares a target $q_n$ with five reconstructions, its own and those of four other members
# of the batch, some of them in other ranks. So an Allgather gives every rank all reconstructions. Each
# rank computes the losses of its own targets, and their gradient with respect to *all*
# reconstructions. Then these gradients travel back: a Reduce-scatter adds up what all ranks have for
# a reconstruction, in the rank that made it.


# %%
def lengths(x):
    return np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-12)  # (n, 1)


def candidate_loss(company, r, q, candidates):
    """r, q: (n, D), this rank's rows; candidates: (n, 5), places in the whole batch."""
    all_r = company.gather_rows(r)  # (N, D)
    q_hat, r_length = q / lengths(q), lengths(all_r).T  # (n, D), (1, N)
    S = q_hat @ all_r.T / r_length  # (n, N), cosines
    e = np.exp(np.take_along_axis(S, candidates, axis=1))  # (n, 5), at temperature 1
    P = e / e.sum(axis=1, keepdims=True)
    L = -np.log(P[:, 0]).sum() / len(all_r)  # this rank's part of the mean
    return company.gather([L]).sum(), (all_r, r_length, q_hat, candidates, S, P)


def candidate_loss_backward(company, cache):
    """dr: (n, D), from the losses of all targets."""
    all_r, r_length, q_hat, candidates, S, P = cache
    dS = np.zeros_like(S)  # (n, N)
    np.put_along_axis(dS, candidates, P / len(all_r), axis=1)
    dS[np.arange(len(S)), candidates[:, 0]] -= 1 / len(all_r)
    along = (dS * S / r_length**2).sum(axis=0)[:, None]  # (N, 1)
    dall_r = (dS / r_length).T @ q_hat - along * all_r  # (N, D), as in chapter 7
    return company.sum_of_own_rows(dall_r, len(S))


# %% [markdown]
# (Candidates from a rank's own rows would save these messages, but the negatives would then come from
# fewer units.)
#
# ## The same network, in one rank and in two
#
# Here is a small denoising autoencoder with tied weights, 5,760 → 64 → 32 → 64 → 5,760, with batch norm
# and an ELU after each product but the last, which has a bias and an ELU. Nothing in it depends on the
# number of ranks. A company of one gives the usual training.


# %%
SHAPES = {
    "W1": (5760, 64), "W2": (64, 32), "b": (5760,), "gamma1": (64,), "beta1": (64,),
    "gamma2": (32,), "beta2": (32,), "gamma3": (64,), "beta3": (64,),
}  # fmt: skip
SIZES = [int(np.prod(shape)) for shape in SHAPES.values()]


def views(buffer):
    """The parameters in a flat buffer, by name. They share its memory."""
    parts = np.split(buffer, np.cumsum(SIZES)[:-1])
    return {name: part.reshape(SHAPES[name]) for name, part in zip(SHAPES, parts, strict=True)}


def first_weights(dtype):
    rng, buffer = np.random.default_rng(0), np.zeros(sum(SIZES), dtype)
    for name, value in views(buffer).items():
        if name.startswith("W"):
            value[...] = rng.standard_normal(value.shape) / np.sqrt(len(value))
        value[...] += name.startswith("gamma")  # 1; beta and b begin at 0
    return buffer


def elu(x):
    y = np.maximum(x, np.exp(np.minimum(x, 0)) - 1)
    return y, y


def elu_backward(dy, y):
    return dy * (np.minimum(y, 0) + 1)


def forward(norm_company, w, x):
    """x: (n, 5760) -> r: (n, 5760). w: the weights, by name."""
    caches = []
    for k, W in ((1, w["W1"]), (2, w["W2"]), (3, w["W2"].T)):
        y, norm_cache = batch_norm(norm_company, x @ W, w[f"gamma{k}"], w[f"beta{k}"])
        y, elu_cache = elu(y)
        caches.append((x, W, norm_cache, elu_cache))
        x = y
    r, elu_cache = elu(x @ w["W1"].T + w["b"])
    return r, (caches, x, w["W1"], elu_cache)


def backward(norm_company, dr, cache, d):
    """Adds this rank's part of the gradients to d, by name."""
    caches, x, W1, elu_cache = cache
    du = elu_backward(dr, elu_cache)
    d["b"] += du.sum(axis=0)
    d["W1"] += du.T @ x  # tied: the second contribution comes last
    dy = du @ W1
    for k, dW in ((3, d["W2"].T), (2, d["W2"]), (1, d["W1"])):
        x, W, norm_cache, elu_cache = caches[k - 1]
        dy = elu_backward(dy, elu_cache)
        du, dgamma, dbeta = batch_norm_backward(norm_company, dy, norm_cache)
        d[f"gamma{k}"] += dgamma
        d[f"beta{k}"] += dbeta
        dW += x.T @ du
        dy = du @ W.T


# %% [markdown]
# A step is that of chapter 8, with one line more after the gradient. `norm_company` is the company
# that batch norm exchanges with. For the experiment it is a company of one, so that each rank
# normalizes its rows by itself.

# %%
from tinyembed.training.examples import draw_candidates


def gradients(company, norm_company, weights, step):
    """The loss of a step, and the flat buffer of gradients, both of the whole batch."""
    n = N // company.size
    own = slice(n * company.rank, n * (company.rank + 1))  # this rank's rows
    rng = np.random.default_rng([16, step])  # all ranks draw the same
    drawn, keys = rng.choice(beats, N, replace=False), rng.integers(-5, 7, N)
    kept, candidates = rng.random((N, 5760)) < 0.5, draw_candidates(N, rng)
    q = music.rolls(drawn[own], keys[own], dtype=weights.dtype).reshape(n, -1)
    r, cache = forward(norm_company, views(weights), q * kept[own])
    L, loss_cache = candidate_loss(company, r, q, candidates[own])
    grads = np.zeros_like(weights)
    backward(norm_company, candidate_loss_backward(company, loss_cache), cache, views(grads))
    company.add_up(grads)  # the one line
    return L, grads


def train(company, norm_company=None, dtype=float, steps=30):
    """The losses of all steps, and the weights at the end: what one rank runs."""
    weights, losses = first_weights(dtype), []
    mean_g, mean_g2 = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, steps + 1):
        L, g = gradients(company, norm_company or company, weights, step)
        mean_g += 0.1 * (g - mean_g)
        mean_g2 += 0.001 * (g * g - mean_g2)
        first, second = mean_g / (1 - 0.9**step), mean_g2 / (1 - 0.999**step)
        weights -= 0.003 * first / (np.sqrt(second) + 1e-8)
        losses.append(L)
    return np.array(losses), weights


weights = first_weights(float)
L, g = gradients(Company(1), Company(1), weights, step=1)


def errors(size, program):
    """How far the first loss and the gradient of several ranks are from those of one."""
    their_L, their_g = Company(size).run(program)[0]
    return [
        "below 1e-12" if error < 1e-12 else f"{error:.2%}"
        for error in (abs(their_L - L) / L, relative_error(their_g, g))
    ]


def exchanging(company):
    return gradients(company, company, weights, step=1)


def by_itself(company):
    return gradients(company, Company(1), weights, step=1)


print("batch norm            ranks   error of the first loss   of the gradient")
for name, program in (("exchanging", exchanging), ("each rank by itself", by_itself)):
    for size in (2, 5, 10):
        loss_error, gradient_error = errors(size, program)
        print(f"{name:20s}{size:7d}{loss_error:>26s}{gradient_error:>18s}")

# %% tags=["hide"]
loss_error, gradient_error = (float(error[:-1]) for error in errors(2, by_itself))
assert loss_error < 0.05 and 30 < gradient_error < 37

# %% [markdown]
# If each of two ranks normalizes by itself, the loss is only 0.03% off, but the gradient is off by a
# third of its largest entry. If they exchange, loss and gradient are those of one rank, to twelve
# digits. The next picture shows a step. A rank computes the boxes of its row by itself. At a bar it
# exchanges with the others.

# %% tags=["thumbnail"] alt="One training step in two ranks, from left to right, with nine exchanges"
FORWARD = ["rolls", "$W_1$", "norm", "$W_2$", "norm", "$W_2^T$", "norm", "$W_1^T$", "answers"]
BACKWARD = ["loss", "answers", "$W_1^T$", "norm", "$W_2^T$", "norm", "$W_2$", "norm", "$W_1$"]
COLOURS = {"norm": lesson.BLUE, "answers": lesson.ORANGE, "gradients": lesson.INK}
LABELS = {
    "norm": "batch norm: statistics, or two sums",
    "answers": "reconstructions, or their gradients",
    "gradients": "the flat buffer of gradients",
}

figure, ax = plt.subplots(figsize=(9, 2.5), layout="constrained")
for place, stage in enumerate([*FORWARD, *BACKWARD, "gradients", "Adam"]):
    if stage in COLOURS:
        label = LABELS.pop(stage, None)
        ax.plot([place, place], [-0.45, 1.45], color=COLOURS[stage], lw=5, label=label)
        continue
    for rank in (0, 1):
        box = plt.Rectangle((place - 0.44, rank - 0.25), 0.88, 0.5, fc="white", ec=lesson.GREY)
        ax.add_patch(box)
        ax.text(place, rank, stage, ha="center", va="center", fontsize=7)
ax.annotate("forward", (0, -0.75), fontsize=9, va="center")
ax.annotate("backward", (len(FORWARD) + 2, -0.75), fontsize=9, va="center")
ax.set(xlim=(-0.6, 19.6), ylim=(1.6, -1))
ax.set_yticks([0, 1], ["rank 0\nrows 0-49", "rank 1\nrows 50-99"])
ax.set_xticks([])
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
figure.legend(loc="outside lower center", frameon=False, ncols=3, fontsize=8)
plt.show()

# %% [markdown]
# (Not drawn are the ELUs, and the exchange of one number, the loss.) Now three trainings, step by step:

# %%
STEPS = (1, 2, 10, 20, 30)
one, _ = Company(1).run(train)[0]
(two, weights_0), (_, weights_1) = Company(2).run(train)
unlike, _ = Company(2).run(lambda company: train(company, Company(1)))[0]
print("loss of step", "".join(f"{step:10d}" for step in STEPS))
for name, losses in (("one rank", one), ("two ranks", two), ("by itself", unlike)):
    print(f"{name:14s}", "".join(f"{losses[step - 1]:10.6f}" for step in STEPS))
print("one and two ranks agree to 1e-6 in every step:", np.abs(two - one).max() < 1e-6)
print("by itself agrees to 1e-6 in any step:", np.abs(unlike - one).min() < 1e-6)

# %% tags=["hide"]
assert np.abs(two - one).max() < 1e-13 and np.abs(unlike - one).min() > 1e-4
assert one[-1] < one[0] - 0.15

# %% [markdown]
# Is the third training wrong? It learns about as well here, and many libraries do this by default,
# because it saves messages. But its result depends on the number of ranks, and a mean of a few rows
# says little. We want results that depend on the seed and the data only.
#
# ## Why to rounding, and not to the last bit
#
# One rank and two agree closely, but not exactly. A computer rounds after every addition, so a sum
# depends on the order of its terms:

# %%
print((0.1 + 0.2) + 0.3, 0.1 + (0.2 + 0.3))
print("equal:", (0.1 + 0.2) + 0.3 == 0.1 + (0.2 + 0.3))

# %% [markdown]
# Addition of floating-point numbers is not *associative*. One rank adds up 100 rows; two ranks add up
# 50 each, and then the two sums. Both results are right to rounding. How large the difference is
# depends on the precision, float64 with 53 binary digits or float32 with 24:

# %% alt="The difference of the loss from that of one rank, on a logarithmic axis: about 1e-3, 1e-7 and 1e-16"
one_32, two_32 = (
    Company(size).run(lambda company: train(company, dtype=np.float32))[0][0] for size in (1, 2)
)

figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for name, difference, colour, marker in (
    ("batch norm of each rank by itself", unlike - one, lesson.ORANGE, "s"),
    ("exchanging, float32", two_32 - one_32, lesson.GREY, "^"),
    ("exchanging, float64", two - one, lesson.BLUE, "o"),
):
    size = np.abs(difference)
    step = np.arange(1, len(size) + 1)[size > 0]  # 0 has no logarithm: it is not drawn
    ax.plot(step, size[size > 0], marker, color=colour, ms=4, label=name)
ax.set(yscale="log", ylim=(1e-17, 1), xlabel="step", ylabel="|loss - loss of one rank|")
ax.legend(frameon=False, loc="upper left", ncols=3, fontsize=8)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

print("both ranks end with the same weights, to the last bit:",
      np.array_equal(weights_0, weights_1))  # fmt: skip

# %% tags=["hide"]
assert np.array_equal(weights_0, weights_1)
assert 0 < np.abs(two_32 - one_32).max() < 1e-5

# %% [markdown]
# (A difference of exactly 0 has no place on this axis.) The last line matters. One rank and two may
# differ in the last bits, but the ranks of one training must not: each has to add up the same numbers
# *in the same order*. If their weights once differed in a bit, nothing would make them equal again.
#
# ## The package does the same
#
# The package's layers know nothing of ranks. Batch norm's statistics, its two sums and the cosines of
# the candidates are *operations*, and a training in several processes replaces these few by
# [variants](../tinyembed/backends/mpi/variants.py) that exchange what they need. The package's
# [company](../tinyembed/backends/mpi/company.py) does so by MPI. Ours has the same methods, so the
# package can train in our threads:

# %%
from tinyembed.backends.choice import engine_for
from tinyembed.backends.mpi.variants import combine as their_combine
from tinyembed.backends.mpi.variants import joined
from tinyembed.models.model import Model
from tinyembed.models.table import MODELS
from tinyembed.training.examples import Examples, random_stream
from tinyembed.training.optimizers import Adam, Flat

parts = np.array([own_statistics(half) for half in halves])
count, mu, SS = their_combine(parts)  # SS: the sums of squared deviations, of all rows
assert (count, mu[0]) == combine(parts)[:2]
assert np.isclose(SS[0] / count, combine(parts)[2][0], rtol=1e-12)

examples = Examples(music, MODELS["note_drop"], np.flatnonzero(~music.piece_is_test))


def train_package(company=None, width="small", steps=5):
    """The losses of the package's autoencoder; company: None for the usual training."""
    engine = engine_for(np, company=company)
    model = Model("note_drop", width, music.composers, random_stream(0, "weights"))
    adam = Adam(Flat(model.parameters()))
    batches = engine.batches(examples, N, lambda step: (), steps)  # of this rank's rows
    losses = []

    def work():
        found, cache = model.loss(batch, training=True)
        model.loss_backward(cache)
        engine.add_up(adam.flat.grads)
        adam.step(1e-3)
        losses.append(float(found["reconstruction"]))

    run_step = engine.repeat(work)
    for step in range(steps):
        batch, _ = batches.at(step)
        run_step()
    return losses


def in_ranks(company, **options):
    with joined(company):  # here once for all threads; each process would do it for itself
        return company.run(lambda company: train_package(company, **options))


usual = train_package()
for size in (2, 3):
    for losses in in_ranks(Company(size)):
        assert np.allclose(losses, usual, rtol=1e-5)
    print(f"{size} ranks, {len(usual)} steps, float32: the usual losses, to a relative 1e-5")

# %% [markdown]
# (Of a batch of 100, three ranks have 33, 33 and 34 rows.) For real processes,
# `pip install "tinyembed[mpi]"` brings MPI and its launcher `mpiexec`:
#
# ```console
# $ python -m tinyembed.train --model note_drop --examples 2000 --out one
# note_drop, small width, on the cpu with numba: 357,460 different examples in 221 pieces; ...
#                               loss   cosine   median rank of 1,000
#   this model                 1.527    0.090                   10.0
#
# $ mpiexec -n 2 python -m tinyembed.train --model note_drop --examples 2000 --out two
# note_drop, small width, on the cpu with numba in 2 processes: 357,460 different examples in 221 ...
#                               loss   cosine   median rank of 1,000
#   this model                 1.527    0.090                   10.0
# ```
#
# (Some lines are left out.) Both end with the same numbers. Only rank 0 prints and writes files. A
# training that was stopped can be resumed with any number of ranks.
#
# ## What it costs
#
# Our company has counted what each of two ranks gives. This is one step of the package at `paper` width,
# with 6.3 million weights:

# %%
company = Company(2)
in_ranks(company, width="paper", steps=1)
NAMES = {
    "add_up": "gradients",
    "gather_rows": "reconstructions",
    "sum_of_own_rows": "their gradients",
    "gather": "batch norm and counts",
}
for method, name in NAMES.items():
    print(f"{name:22s}{company.calls[method]:4d} exchanges, {company.bytes[method]:11,} bytes")

# %% tags=["hide"]
assert 25e6 < company.bytes["add_up"] < 25.5e6
assert company.bytes["gather"] < 0.012 * company.bytes["add_up"]

# %% [markdown]
# Batch norm takes a hundredth of the bytes of the gradients, although each exchange is also a wait for
# the slowest rank. The gradients are the large item, and do not shrink when there are more ranks.
#
# How much faster are $R$ ranks? If a share $\alpha$ of the work is not divided, the speedup is
#
# $$\frac{1}{\alpha + (1 - \alpha) / R}, \qquad \text{which is never above } \frac{1}{\alpha}$$
#
# This is **Amdahl's law**. Here every rank runs Adam on all weights, so Adam is not divided. And
# messages are added, which one rank does not need. We calculate with round numbers, which are
# **assumptions, not measurements**: half a second per step in one rank, of which Adam takes 10
# milliseconds; and a gigabyte per second for messages, of which each rank sends $2 (R - 1) / R$ times
# the gradients. (That is an Allreduce in which each rank adds up one $R$-th of the buffer.)


# %%
def speedup(R, step=0.5, adam=0.01, rate=1e9):
    """step, adam: seconds in one rank; rate: bytes per second."""
    messages = 2 * (R - 1) / R * company.bytes["add_up"] / rate
    return step / ((step - adam) / R + adam + messages)


print("ranks                      ", "".join(f"{R:7d}" for R in (2, 4, 8, 16, 100)))
for name, rate in (("Amdahl's law, for Adam", np.inf), ("with messages", 1e9)):
    print(f"assumed: {name:22s}", "".join(f"{speedup(R, rate=rate):7.1f}"
                                         for R in (2, 4, 8, 16, 100)))  # fmt: skip

files = sorted((lesson.ROOT / "benchmarks" / "results").glob("ranks-*.json"))
for file in files:
    measured = json.loads(file.read_text())
    for ranks, rate in measured["examples_per_s"].items():
        print(f"measured: {measured['width']} width, {ranks} ranks: {rate:.0f} examples per second")
if not files:
    print("The rates of several ranks are not measured yet.")

# %% [markdown]
# With more ranks, each has less to compute and as much to send. A larger batch gives every rank more
# rows for the same messages, but it is another training. `python -m benchmarks.ranks` measures the
# speedup on your machine.
#
# ## Exercises
#
# **1. Half an exchange.** Let two ranks exchange batch norm's statistics in the forward pass, but use
# their own two sums in the backward pass. What are the errors of the first loss and of the gradient?
#
# <details><summary>Solution</summary>
#
# ```python
# right = batch_norm_backward
# def batch_norm_backward(company, dy, cache):
#     return right(Company(1), dy, cache)
# print(*errors(2, exchanging))
# batch_norm_backward = right
# ```
#
# The error of the loss is below 1e-12, because the forward pass is right. That of the gradient is
# 15.73%. Only a test of gradients finds this mistake, or one that compares the losses of many steps.
#
# </details>
#
# **2. How many ranks pay?** Under the assumptions above, up to which $R$ is the speedup at least
# $R / 2$? And with a batch eight times as large, which takes four seconds per step in one rank?
#
# <details><summary>Solution</summary>
#
# ```python
# for step in (0.5, 4):
#     print(max(R for R in range(1, 1000) if speedup(R, step) >= R / 2))
# ```
#
# Up to 9, and up to 67. Adam and the messages take as long as before, so more arithmetic per
# step pays for more ranks.
#
# </details>
#
# **3. Why not add up squares?** The variance is also the mean of the squares minus the square of the
# mean. Try it in float32 with the two numbers 4096 and 4097. What does Chan's formula give, with one
# number in each rank?
#
# <details><summary>Solution</summary>
#
# ```python
# x = np.array([[4096], [4097]], np.float32)
# print((x * x).mean() - x.mean() ** 2)
# print(combine(np.array([own_statistics(x[:1]), own_statistics(x[1:])], np.float32))[2][0])
# ```
#
# The squares give 0.0, and Chan's formula gives 0.25, which is right. The squares are near 17 million,
# where neighbouring float32 numbers are 2 apart, so a difference of a quarter is lost. Chan's formula
# subtracts means *before* it squares.
#
# </details>
#
# ## Further reading
#
# - Tony Chan, Gene Golub and Randall LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing
#   Sample Variances*, 1979: the formula for variances of parts.
# - Gene Amdahl, *Validity of the Single Processor Approach to Achieving Large Scale Computing
#   Capabilities*, 1967: three pages, whose argument became the law.
# - Priya Goyal and others, *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017: data
#   parallelism with 256 GPUs, and a list of mistakes that are easy to make, such as the mean of means.
#
# ## What comes next
#
# This is the last page of the course. `mpiexec -n 2 python -m tinyembed.train --data FOLDER` trains on
# your own music, and [chapter 10](10_walking_the_space.md) shows what to do with the result.
