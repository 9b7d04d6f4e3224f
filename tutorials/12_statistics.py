# %% [markdown]
# # 12. Reading the statistics
#
# A median rank of 15 beats one of 17, all 21 differences are significant, and p is below 0.00037.
# How much of this can you believe? And which two columns of the paper contradict each other?

# %% [markdown]
# **What you'll do.** Compute every statistic of the paper by hand, on data that you made yourself,
# so that you know the truth. Then check the paper's numbers, and ours, against what you found.
#
# **What you'll learn.** Median, spread and skew; what a p value says and what it does not say;
# multiple comparisons and Bonferroni's correction; effect sizes; independence, and the bootstrap;
# Levene's test; a bound that two scores of the paper break.
#
# **What you need.** [Chapter 11](11_lstm_and_rank.md) (the rank among 1,000), and 23 minutes. There
# is no neural network in this chapter, only NumPy, random numbers and two tables of results.

# %% [markdown]
# ## What the paper says
#
# Section 5.1 compares seven models. Table 2 has the *median*, the *spread* and the *skew* of each
# model's ranks on 325,219 test sequences. Then there are 21 *t-tests*, one per pair of models, with
# a *Bonferroni correction*: all differences are significant, at p < 0.00037. *Levene's test* for
# equal spreads gives W = 7398.17. Table 3 has two *F1 scores* per model for naming the composer.
#
# Here is Table 2, beside [our report](../benchmarks/reproduction/report.md): the same seven models,
# trained and tested on other piano music.

# %%
import json

import lesson
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

paper = {  # median rank, spread, skew; micro-F1, macro-F1 "weighted by the number of true instances"
    "note_drop": (32, 120, 2.18, 0.14, 0.48),
    "beat_drop": (32, 106, 2.51, 0.13, 0.47),
    "octave_split": (52, 131, 2.22, 0.12, 0.43),
    "forward": (17, 47, 4.0, 0.14, 0.52),
    "context": (15, 43, 3.98, 0.14, 0.53),
    "composer": (50, 129, 1.92, 0.29, 0.76),
    "regularized": (30, 87, 2.31, 0.21, 0.66),
}
paper_N = 325_219  # test sequences
ours = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())
by_pair = {(pair["first"], pair["second"]): pair for pair in ours["tests"]["rank"]["pairs"]}
our_N = by_pair["note_drop", "beat_drop"]["n"]

print(f"{'':14s}{'paper':>12s}{'':12s}{'ours':>12s}   ({our_N:,} sequences)")
print(f"{'':14s}  median  spread  skew      median     iqr  skew")
for name, (median, spread, skew, *_) in paper.items():
    rank = ours["models"][name]["rank"]
    print(f"{name:14s}{median:8d}{spread:8d}{skew:6.2f}", end="    ")
    print(f"{rank['median']:8.4g}{rank['iqr']:8.4g}{rank['skew']:6.2f}")

# %% alt="Box plots of the ranks of our seven models: all of them are skewed"
figure, ax = plt.subplots(figsize=(8.6, 3.4), layout="constrained")
boxes = [{**model["box"], "label": name} for name, model in ours["models"].items()]
ax.bxp(
    [{**box, "label": box["label"].replace("_", " "), "fliers": []} for box in boxes],
    orientation="horizontal",
    showfliers=False,
    medianprops={"color": lesson.BLUE, "lw": 2},
)
ax.invert_yaxis()
ax.set_xlabel("rank of the right unit among 1,000 (0 is best)")
plt.show()

# %% tags=["hide"]
# Where an assertion of a hidden cell fails after the report was made anew, the text below it, or
# the one before it, has to be changed.
for model in ours["models"].values():
    box = model["box"]
    assert model["rank"]["skew"] > 1 and box["q3"] - box["med"] > 2 * (box["med"] - box["q1"])
assert len(ours["models"]) == 7 and len(by_pair) == 21 and len(ours["settings"]["seeds"]) == 1

# %% [markdown]
# The picture is our version of the paper's Figure 3. A box holds the middle half of all ranks, the
# blue line in it is the median, and the whiskers reach up to one and a half box lengths further.
# All boxes are skewed: most ranks are small, and a long tail reaches to the right.
#
# ## Skewed ranks
#
# | Symbol | Meaning |
# | --- | --- |
# | $x_1 \ldots x_N$ | the ranks of one model on $N$ sequences |
# | $\bar x$, $\sigma$ | their mean and their standard deviation |
# | median | half of the ranks are at most as large |
# | quartiles | a quarter of the ranks lie below the lower one, a quarter above the upper one |
# | IQR | interquartile range: the distance between the two quartiles |
# | skew | the mean of $((x_n - \bar x) / \sigma)^3$: 0 if symmetric, positive with a tail to the right |
# | $t$, $W$, $d$ | two test statistics and an effect size (this chapter has no targets, weights or features) |
#
# We make ranks ourselves, so we know everything about them. NumPy's `beta(a, b)` draws numbers
# between 0 and 1, and a small `a` puts most of them near 0. These two values give ranks like those
# of the paper's note drop model. Predict first: if the median is near 32, how large is the mean?

# %%
rng = np.random.default_rng(10)


def draw(*shape, a=0.34, b=3.4):
    """Ranks between 0 and 999, most of them small."""
    return np.floor(1000 * rng.beta(a, b, shape))


def skewness(x):
    return (((x - x.mean()) / x.std()) ** 3).mean()


x = draw(100_000)
low, middle, high = np.percentile(x, [25, 50, 75])
print(f"median {middle:.0f}, mean {x.mean():.0f}")
print(f"IQR {high - low:.0f}, standard deviation {x.std():.0f}, skew {skewness(x):.2f}")

spoilt = np.where(rng.random(len(x)) < 0.02, 999, x)  # two in a hundred fail completely
print(f"two percent set to 999: median {np.median(spoilt):.0f}, mean {spoilt.mean():.0f}")

# %% tags=["hide"]
assert np.isclose(skewness(x), stats.skew(x))
assert abs(middle - 32) < 2 and 2.5 < x.mean() / middle < 3.5 and 110 < high - low < 130
assert np.median(spoilt) - middle < 3 and spoilt.mean() - x.mean() > 15

# %% [markdown]
# The mean is about three times the median, and two percent of failures move it far, while the
# median hardly changes. So the paper is right to report medians.
#
# ## Which spread?
#
# The paper does not define its spread. It could be the IQR or the standard deviation. Our report
# has both, with the skew, for many sets of ranks: of seven models and of the baseline of chapter
# 11, by both kinds of candidates. So we plot spread against skew, and look where the paper's seven
# points lie.

# %% alt="Spread against skew: the paper's seven points follow the interquartile range"
sets = [
    model[kind]
    for group in (ours["models"], ours["baselines"]["repetition"])
    for model in group.values()
    for kind in ("rank", "rank_same_piece")
]
sets.sort(key=lambda found: found["skew"])
skew, iqr, std = (np.array([found[key] for found in sets]) for key in ("skew", "iqr", "std"))
paper_spread, paper_skew = np.array([row[1:3] for row in paper.values()]).T

figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
ax.plot(skew, std, "s-", color=lesson.GREY, label="ours: standard deviation")
ax.plot(skew, iqr, "o-", color=lesson.BLUE, label="ours: IQR")
ax.plot(paper_skew, paper_spread, "*", ms=13, color=lesson.ORANGE, label='the paper: "spread"')
ax.set_yscale("log")
ax.set_yticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
ax.minorticks_off()
ax.set_xlabel("skew")
ax.set_ylabel("spread of the ranks")
ax.legend(frameon=False)
plt.show()

from_iqr = abs(np.log(paper_spread / np.interp(paper_skew, skew, iqr)))
from_std = abs(np.log(paper_spread / np.interp(paper_skew, skew, std)))
print(f"of the paper's {len(paper)} models, {(from_iqr < from_std).sum()} lie nearer to the IQR")

# %% tags=["hide"]
assert (from_iqr < from_std).all(), "all seven points fit the IQR"
assert np.interp(4, skew, std) > 2 * 47

# %% [markdown]
# All seven points lie nearer to the interquartile range. The forward and the context model are the clearest:
# with a skew of 4, our standard deviations are more than twice as large as the paper's 47.
#
# ## A t-test by hand
#
# Suppose that model $A$ has a mean rank of 90 and model $B$ of 95. Would other test sequences give
# the opposite order? The **standard error** $\sigma / \sqrt{N}$ says how far a mean of $N$
# independent numbers typically lies from the true mean. Welch's $t$ is the difference of two means,
# divided by its standard error:
#
# $$
# t = \frac{\bar x_A - \bar x_B}{\sqrt{\sigma_A^2 / N_A + \sigma_B^2 / N_B}}
# $$
#
# The **null hypothesis** is that the two true means are equal. The **p value** is the probability,
# if the null hypothesis holds, of a $|t|$ at least as large as the one found. It is *not* the
# probability that the null hypothesis holds. A difference with p below 0.05 is usually called
# **significant**. To see what that means, we compare models that *are* equal, many times:


# %%
def welch(a, b):
    """a, b: (..., N) -> t and p for every pair of rows."""
    error_a, error_b = (x.var(axis=-1, ddof=1) / x.shape[-1] for x in (a, b))
    t = (a.mean(axis=-1) - b.mean(axis=-1)) / np.sqrt(error_a + error_b)
    # How many independent numbers the two variances are worth, by Welch's formula.
    parts = (error**2 / (x.shape[-1] - 1) for x, error in ((a, error_a), (b, error_b)))
    freedom = (error_a + error_b) ** 2 / sum(parts)
    return t, 2 * stats.t.sf(abs(t), freedom)  # sf: the probability of a larger t


experiments = 4000
a, b = draw(2, experiments, 300)  # (4000, 300) each: the same distribution
t, p = welch(a, b)
print(f"equal models, p below 0.05: {100 * (p < 0.05).mean():.1f}% of {experiments:,} experiments")

# %% tags=["hide"]
assert np.allclose(p[:50], stats.ttest_ind(a[:50], b[:50], axis=1, equal_var=False).pvalue)
assert 0.035 < (p < 0.05).mean() < 0.065

# %% [markdown]
# So one comparison of equal models in twenty is called significant. That is all that "p < 0.05"
# promises.
#
# The skew did no harm here. A t-test only needs the *means* to be nearly normal, that is, distributed
# like a bell, and means of 300 ranks are. But it compares **means**, and the paper reports
# **medians**. Note drop and beat drop have the same median, 32, and the paper still calls them
# significantly different. Both can be true if their tails differ.
#
# ## Multiple comparisons
#
# Seven models make $7 \cdot 6 / 2 = 21$ pairs. If all seven are *equal* and we run all 21 tests,
# how often is at least one of them significant? Predict first.

# %%
pairs = [(first, second) for first in range(7) for second in range(first)]
seven = draw(7, 1000, 300)  # 1,000 experiments with seven equal models
smallest = np.min([welch(seven[first], seven[second])[1] for first, second in pairs], axis=0)

print(f"{len(pairs)} pairs; at least one p below")
for name, threshold in (("0.05", 0.05), ("0.05 / 21", 0.05 / 21), ("0.00037", 0.00037)):
    print(f"    {name:10s} in {100 * (smallest < threshold).mean():.1f}% of experiments")

# %% tags=["hide"]
assert 0.35 < (smallest < 0.05).mean() < 0.5
assert (smallest < 0.05 / 21).mean() < 0.06 and (smallest < 0.00037).mean() < 0.02

# %% [markdown]
# In nearly half of the experiments a difference is found that does not exist. **Bonferroni's
# correction** prevents this: with 21 tests, each must reach $p < 0.05 / 21$. Then the probability
# of *any* false alarm, the *family-wise error rate*, is at most 0.05. (Or multiply each p by 21,
# and compare with 0.05.)
#
# The paper says that its corrected threshold is p < 0.00037. Which division gives that?

# %%
print(f"0.05 / 21 = {0.05 / 21:.5f}")
print(f"0.01 / 21 = {0.01 / 21:.5f}")
print(f"0.01 / 27 = {0.01 / 27:.5f}, and 27 is the number of composers, not of comparisons")

# %% tags=["hide"]
assert round(0.01 / 27, 5) == 0.00037
assert all(round(alpha / 21, 5) != 0.00037 for alpha in (0.05, 0.01, 0.001))

# %% [markdown]
# We do not know, but it does no harm: 0.00037 is *stricter* than 0.05 / 21.
#
# ## Significant is not large
#
# With more sequences the standard error shrinks, so ever smaller differences become significant. An
# **effect size** does not grow with $N$. Cohen's $d$ divides by the standard deviation instead of
# the standard error, so for equal $N$ the two are related:
#
# $$
# d = \frac{\bar x_A - \bar x_B}{\sigma}, \quad \sigma^2 = \frac{\sigma_A^2 + \sigma_B^2}{2}, \quad
# t = d \sqrt{N / 2}
# $$
#
# Therefore the smallest $d$ that is significant is $t_{\min} \sqrt{2 / N}$, where $t_{\min}$
# belongs to $p = 0.05 / 21$:

# %%
t_min = stats.norm.isf(0.05 / 21 / 2)
for N in (100, our_N, paper_N):
    d_min = t_min * np.sqrt(2 / N)
    print(f"N = {N:7,}: significant from d = {d_min:.4f}; if sigma is 120, {120 * d_min:.2f} ranks")

significant = [pair for pair in by_pair.values() if pair["welch"]["significant"]]
least = min(significant, key=lambda pair: abs(pair["cohen_d"]))
names = least["first"], least["second"]
sigma = np.sqrt(np.mean([ours["models"][name]["rank"]["std"] ** 2 for name in names]))
d = least["mean_difference"] / sigma
print(f"in our report {len(significant)} of {len(by_pair)} pairs are significant; the smallest d:")
print(f"{names[0]} - {names[1]} = {least['mean_difference']:.1f} ranks, d = {d:.3f}")
order = stats.norm.cdf(abs(d) / np.sqrt(2))
print(f"for normal ranks: the better model has the lower rank {100 * order:.0f}% of the time")

# %% tags=["hide"]
assert 120 * t_min * np.sqrt(2 / paper_N) < 1
assert abs(d - least["cohen_d"]) < 1e-4 * abs(d)
assert abs(d) < 0.1 and order < 0.53 and len(significant) >= 18

# %% [markdown]
# With 325,219 sequences, a difference of less than one rank is significant. "All distributions are
# significantly different" was therefore almost certain from the start. And the smallest significant
# $d$ of our report means that the better of the two models wins little more often than a coin toss.
#
# ## Observations that are not independent
#
# All these formulas assume that the $N$ numbers are **independent**: one of them says nothing about
# the others. Is that so?

# %% alt="A tune with three units marked, each a beat later: neighbours share three of four beats"
from tinyembed import onset_roll

tune = lesson.tune()
roll = np.concatenate([onset_roll(tune, beat) for beat in (0, 4)], axis=1)  # (60, 192): 8 beats
figure, ax = plt.subplots(figsize=(8.6, 3), layout="constrained")
lesson.show_roll(ax, roll)
for k, colour in enumerate([lesson.BLUE, lesson.GREY, lesson.INK]):
    place = 52.5 + 2.5 * k
    arrow = {"arrowstyle": "<->", "color": colour}
    ax.annotate("", (k, place), (k + 4, place), arrowprops=arrow)
    ax.text(k + 4.1, place, f"unit at beat {k + 1}", va="center", color=colour, fontsize=9)
ax.set_xlabel("beat")
ax.set_ylabel("pitch")
plt.show()

# %% [markdown]
# Two units that begin one beat apart share three of their four beats. Two *sequences* that begin
# one beat apart share 31 of their 32 beats, so their ranks are nearly the same number, counted
# twice. And all sequences of a piece share its style, which may suit one model better than the
# other.
#
# We simulate that: two models that are equal **on average over all music**, while each single piece
# favours one of them by chance. Our report says how much ranks vary, for each pair of models: it
# has the standard deviation of the difference between two models' ranks on the same sequence, and
# of its mean over each piece. (A transposed sequence is not new evidence, so we count one key.)

# %%
pair = by_pair["note_drop", "composer"]
by_sequence = abs(pair["mean_difference"] / pair["d_z"])  # d_z: the mean divided by this deviation
by_piece = abs(pair["pieces"]["mean_difference"] / pair["pieces"]["d_z"])
pieces = pair["pieces"]["n"]
each = our_N // pieces // ours["settings"]["keys"]
print(f"{pieces} pieces, on average {each} sequences in each")
print(f"standard deviation: {by_sequence:.0f} ranks by sequence, {by_piece:.0f} by piece")

p_naive, p_fair = [], []
for _ in range(1000):
    favour = by_piece * rng.standard_normal((pieces, 1))  # of each piece, for one of the two
    difference = favour + by_sequence * rng.standard_normal((pieces, each))
    p_naive.append(stats.ttest_1samp(difference.ravel(), 0).pvalue)  # every sequence counts
    p_fair.append(stats.ttest_1samp(difference.mean(axis=1), 0).pvalue)  # one number per piece
p_naive, p_fair = np.array(p_naive), np.array(p_fair)
for name, p in (("sequence", p_naive), ("piece", p_fair)):
    share = 100 * (p < 0.05).mean()
    print(f"two equal models, tested by {name}: p < 0.05 in {share:.0f}% of experiments")

# %% alt="p values of equal models: by sequence most are below 0.05, by piece evenly spread"
figure, axes = plt.subplots(1, 2, figsize=(8.6, 2.8), layout="constrained", sharey=True)
for ax, p, title in zip(axes, (p_naive, p_fair), ("sequence", "piece"), strict=True):
    ax.hist(p, np.linspace(0, 1, 21), color="#9db8d6")
    ax.hist(p[p < 0.05], np.linspace(0, 1, 21), color=lesson.INK, label="p < 0.05")
    ax.set_title(f"two equal models, tested by {title}", fontsize=10)
    ax.set_xlabel("p")
axes[0].set_ylabel("experiments")
axes[1].legend(frameon=False)
plt.show()

# %% tags=["hide"]
assert (p_naive < 0.05).mean() > 0.5
assert 0.03 < (p_fair < 0.05).mean() < 0.07

# %% [markdown]
# Tested by sequence, two *equal* models are "significantly different" in most experiments. Tested
# by piece, the test keeps its promise. The independent observations are the pieces, not the
# sequences. To count dependent observations as independent is called **pseudoreplication**.
#
# Does it matter in practice? These are all pairs of our seven models where the two ways disagree,
# with p values times 21. "By sequence" is Welch's test, as in the paper; "by piece" tests the mean
# difference of each piece against 0:

# %%
print(f"{'':31s}p by sequence   p by piece")
turned = []
for (first, second), pair in sorted(by_pair.items(), key=lambda item: item[1]["welch"]["p"]):
    naive, fair = pair["welch"], pair["pieces"]["paired"]
    if naive["significant"] != fair["significant"]:
        turned.append((naive["p_bonferroni"], fair["p_bonferroni"]))
        certain = f"{turned[-1][0]:.1e}" if turned[-1][0] else "below 1e-300"
        print(f"{first:13s} and {second:13s}{certain:>14s}{turned[-1][1]:13.2f}")
fair_count = sum(pair["pieces"]["paired"]["significant"] for pair in by_pair.values())
print(f"significant by sequence: {len(significant)} of {len(by_pair)}, by piece: {fair_count}")

# %% tags=["hide"]
assert turned and turned[0][0] < 1e-10 and turned[0][1] > 0.05, "certain by sequence, not by piece"
assert 12 <= fair_count < len(significant), "most differences remain"

# %% [markdown]
# A difference that looks certain by sequence can disappear by piece, as the first line shows. Most
# differences between our models remain. The paper's 325,219 sequences come from 75 test songs
# (Table 1).
#
# The same idea gives honest error bars. The **bootstrap** draws as many pieces as there are, with
# replacement, computes the median again, and repeats this 2,000 times. The middle 95% of those
# medians is a **confidence interval**. Our report has them:

# %% alt="Median ranks of the seven models, with intervals resampled by piece"
figure, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
for place, model in enumerate(ours["models"].values()):
    low, high = model["rank"]["interval"]
    ax.plot([low, high], [place, place], color=lesson.GREY, lw=3, solid_capstyle="butt")
    ax.plot(model["rank"]["median"], place, "o", color=lesson.BLUE)
ax.set_yticks(range(len(ours["models"])), [name.replace("_", " ") for name in ours["models"]])
ax.invert_yaxis()
ax.set_xlim(0)
ax.set_xlabel("median rank, with a 95% interval resampled by piece")
plt.show()

# %% [markdown]
# None of this covers another source of chance: each of these models was trained once. With another
# seed the same method gives another network, so these tests compare seven networks, not seven
# methods.
#
# ## Levene's test by hand
#
# Do the ranks of some models spread more than those of others? **Levene's test** turns spread into
# a mean. It replaces each rank by its distance from its own model's mean, and asks whether these
# distances differ between the models by more than chance:
#
# $$
# W = \frac{\sum_g N_g (\bar \Delta_g - \bar \Delta)^2 / (G - 1)}
# {\sum_g \sum_n (\Delta_{gn} - \bar \Delta_g)^2 / (\sum_g N_g - G)}, \qquad
# \Delta_{gn} = |x_{gn} - \bar x_g|
# $$
#
# | Symbol | Meaning |
# | --- | --- |
# | $G$, $N_g$ | number of models; number of ranks of model $g$ |
# | $x_{gn}$, $\bar x_g$ | rank $n$ of model $g$; the mean rank of model $g$ |
# | $\Delta_{gn}$ | distance of rank $n$ of model $g$ from that mean |
# | $\bar \Delta_g$, $\bar \Delta$ | mean distance of model $g$, and of all models |
#
# The numerator says how much the mean distances of the models differ, the denominator how much
# single distances vary. Equal spreads give a $W$ near 1.


# %%
def levene(groups, centre=np.mean):
    """groups: a list of G arrays of ranks -> W."""
    apart = [abs(x - centre(x)) for x in groups]  # the distances of each model
    G, N = len(apart), np.array([len(distances) for distances in apart])
    means = np.array([distances.mean() for distances in apart])
    all_mean = np.concatenate(apart).mean()
    between = (N * (means - all_mean) ** 2).sum() / (G - 1)
    squares = [
        ((distances - mean) ** 2).sum() for distances, mean in zip(apart, means, strict=True)
    ]
    return between / (sum(squares) / (N.sum() - G))


groups = [draw(2000, b=b) for b in (3.4, 3.6, 5, 12)]  # a larger b: smaller, tighter ranks
W = levene(groups)
print(f"four models of different spread,  2,000 ranks each: W = {W:.1f}")
larger = levene([draw(20_000, b=b) for b in (3.4, 3.6, 5, 12)])
print(f"the same four models,            20,000 ranks each: W = {larger:.1f}")

our_W = ours["tests"]["rank"]["levene"]["levene"]["statistic"]
print(f"our report: W = {our_W:.1f}; for {paper_N:,} sequences, {our_W * paper_N / our_N:,.0f}")

# %% tags=["hide"]
assert np.isclose(W, stats.levene(*groups, center="mean").statistic)
assert 7 < larger / W < 14
assert 1 / 3 < 7398.17 / (our_W * paper_N / our_N) < 3, "the same order of magnitude"

# %% [markdown]
# Like $t^2$, $W$ grows in proportion to the number of ranks. So W = 7398.17 alone says more about
# 325,219 than about spreads. But it is plausible: scaled to as many sequences, ours has the same
# order of magnitude.
#
# There is one more trap. Predict first: for seven *equal* models with skewed ranks, how often does
# Levene's test give p < 0.05? It should be 5%.

# %%
alarms = {"mean": 0, "median": 0}
for _ in range(1000):
    seven = list(draw(7, 60))
    for centre in alarms:
        alarms[centre] += stats.levene(*seven, center=centre).pvalue < 0.05
for centre, count in alarms.items():
    print(f"distances from the {centre:6s}: p < 0.05 in {count / 10:.1f}% of experiments")

# %% tags=["hide"]
assert alarms["mean"] > 150 and alarms["median"] < 80

# %% [markdown]
# With distances from the mean, skewed ranks cause many false alarms. With distances from the
# median, which is Brown and Forsythe's variant, the test keeps its promise. The package reports
# both.
#
# ## Two scores that contradict each other
#
# Table 3 gives the composer model a micro-F1 of .29 and a macro-F1 of .76, the latter "weighted by
# the number of true instances for each composer". These are the definitions, for one composer $m$:
#
# | Symbol | Meaning |
# | --- | --- |
# | $N_m$, $N$ | units by composer $m$; all units |
# | $\hat N_m$ | units that the network assigns to $m$ |
# | $\mathrm{TP}_m$ | units where both hold: true positives |
# | $\mathrm{prec}_m = \mathrm{TP}_m / \hat N_m$ | precision: the share of the units assigned to $m$ that are by $m$ |
# | $\mathrm{rec}_m = \mathrm{TP}_m / N_m$ | recall: the share of the units by $m$ that are assigned to $m$ |
# | $\mathrm{F1}_m = 2 \, \mathrm{prec}_m \mathrm{rec}_m / (\mathrm{prec}_m + \mathrm{rec}_m)$ | F1: high only if both are |
# | $\mathrm{acc} = \sum_m \mathrm{TP}_m / N$ | accuracy: the share of correctly classified units |
#
# **Micro-F1** pools all composers before it divides. Every unit has one composer and is assigned to
# one, so pooled precision and pooled recall are both $\sum_m \mathrm{TP}_m / N$: *micro-F1 is the
# accuracy*.
#
# **Weighted F1** is $\sum_m N_m \mathrm{F1}_m / N$. The denominator of $\mathrm{F1}_m$ is at least
# $\mathrm{prec}_m$, so
#
# $$
# \mathrm{F1}_m \le 2 \, \mathrm{rec}_m, \qquad \text{and therefore} \qquad
# \frac{1}{N} \sum_m N_m \mathrm{F1}_m \le \frac{2}{N} \sum_m N_m \mathrm{rec}_m
# = \frac{2}{N} \sum_m \mathrm{TP}_m = 2 \, \mathrm{acc}.
# $$
#
# *The weighted F1 is never more than twice the accuracy*, whatever the network, the composers or
# the music. Random classifiers confirm it:


# %%
def scores(confusion):
    """confusion: (27, 27), the units by each composer (row) assigned to each (column).

    Returns accuracy and weighted F1.
    """
    hits, by, assigned = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * hits / (by + assigned)  # the same as 2 prec rec / (prec + rec)
    return hits.sum() / by.sum(), (by * f1).sum() / by.sum()


def random_confusion():
    """27 composers, some of them common; a network that is better for some than for others."""
    by = rng.dirichlet(np.full(27, 0.5)) * 10_000 + 1
    right = rng.beta(0.5, rng.uniform(0.2, 3), 27)  # the recall of each
    wrong = rng.dirichlet(np.full(27, 0.1), 27)  # what the wrong ones are assigned to
    return by[:, None] * (right[:, None] * np.eye(27) + (1 - right[:, None]) * wrong)


tries = np.array([scores(random_confusion()) for _ in range(5000)])
assert (tries[:, 1] <= 2 * tries[:, 0]).all()

# %% tags=["thumbnail"] alt="Weighted F1 against accuracy: the paper's seven points lie in the impossible region"
figure, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
edge = np.linspace(0, 1, 101)
ax.fill_between(edge, np.minimum(2 * edge, 1), 1, color=lesson.GREY, alpha=0.2, lw=0)
ax.plot(edge, 2 * edge, color=lesson.GREY, lw=1.5, label="twice the accuracy")
ax.text(0.03, 0.93, "impossible", color=lesson.INK)
ax.plot(*tries.T, ".", color="#9db8d6", ms=2, label="5,000 random classifiers")
table_3 = np.array([row[3:] for row in paper.values()])
ax.plot(*table_3.T, "*", color=lesson.ORANGE, ms=13, label="the paper's seven models")
of_units = [model["composers"] for model in ours["models"].values()]
found = np.array([(unit["accuracy"], unit["weighted_f1"]) for unit in of_units])
ax.plot(*found.T, "o", color=lesson.BLUE, ms=5, label="our seven models")
ax.set_xlim(0, 1)
ax.set_ylim(0, 1)
ax.set_xlabel("accuracy (micro-F1)")
ax.set_ylabel("weighted F1")
ax.legend(frameon=False, loc="lower right")
plt.show()

for name, (*_, micro, weighted) in paper.items():
    print(f"{name:14s} accuracy {micro:.2f}, at most {2 * micro:.2f}, the paper has {weighted:.2f}")

# %% tags=["hide"]
assert (found[:, 1] < 2 * found[:, 0]).all()
assert (table_3[:, 1] - 0.005 > 2 * (table_3[:, 0] + 0.005)).all()  # even with rounding

# %% [markdown]
# None of the seven rows is possible. Either a column is not what its description says, or the two
# were computed from different predictions, for example of units and of whole pieces. The paper does
# not say.
#
# ## Smaller errors
#
# Arithmetic alone finds three more, all of them harmless:

# %%
print(f"MIDI notes 36 to 96 are {96 - 36 + 1} pitches, not 60")

songs = {  # Table 1: training and test songs of each composer
    "Albeniz": (15, 2), "Bach": (8, 2), "Bartok": (21, 4), "Beethoven": (30, 4),
    "Borodin": (8, 2), "Brahms": (31, 5), "Burgmueller": (10, 2), "Byrd": (34, 4),
    "Chopin": (49, 6), "Clementi": (17, 2), "Couperin": (10, 2), "Debussy": (10, 2),
    "Galuppi": (6, 2), "Grieg": (17, 2), "Handel": (20, 3), "Haydn": (20, 3),
    "Joplin": (57, 4), "Liszt": (17, 2), "Mendelssohn": (16, 2), "Mozart": (22, 3),
    "Mussorgsky": (9, 2), "Rachmaninov": (10, 2), "Ravel": (5, 2), "Scarlatti": (6, 2),
    "Schubert": (30, 4), "Schumann": (25, 3), "Tschaikovsky": (13, 2),
}  # fmt: skip
training, test = np.sum(list(songs.values()), axis=0)
print(f'"25 artists" are {len(songs)} in Table 1, with {training} training and {test} test songs')

for what, count in (("training units", 4_682_293), ("test sequences", paper_N)):
    print(f"{count:,} {what} in twelve keys: {count % 12} left over after division by 12")

# %% [markdown]
# The remainders are not contradictions, only unexplained: something was left out, or was not
# transposed.
#
# ## What you may believe
#
# Are the models in the same order in the paper and in our report? Spearman's rank correlation of
# the two columns of medians tells: 1 is the same order, 0 no relation.

# %%
ours_by_name = [ours["models"][name]["rank"]["median"] for name in paper]
agreement = stats.spearmanr([row[0] for row in paper.values()], ours_by_name).statistic
print(f"Spearman's rank correlation: {agreement:.2f}")

# %% tags=["hide"]
assert agreement > 0.6, "a similar order"

# %% [markdown]
# So you may believe the medians, as the results of one trained network per method, and the order of
# the models where the differences are large: on other music ours is similar. The tests add nothing
# to that, because they count sequences as independent. The two columns of Table 3 cannot both be
# what the paper says they are.
#
# ## The package does the same
#
# `python -m tinyembed.reproduce` computes all of this for its report: `describe` the medians,
# `compare` the tests and effect sizes, by sequence and by piece, `levene` both variants,
# `scores_of` the F1 scores, and `impossibilities` the contradictions.

# %%
from tinyembed.evaluation.classification import scores_of
from tinyembed.evaluation.significance import compare
from tinyembed.evaluation.significance import levene as package_levene
from tinyembed.evaluation.statistics import describe
from tinyembed.report.paper import impossibilities

x, y = draw(2, 1980)
piece = np.repeat(np.arange(66), 30)
theirs = describe(x, piece)
assert np.isclose(theirs["median"], np.median(x)) and np.isclose(theirs["skew"], skewness(x))
assert np.isclose(theirs["iqr"], np.subtract(*np.percentile(x, [75, 25])))

theirs = compare(x, y, piece, comparisons=21)
t, p = welch(x, y)
assert np.isclose(theirs["welch"]["t"], t) and np.isclose(theirs["welch"]["p"], p)
assert np.isclose(theirs["cohen_d"] * np.sqrt(len(x) / 2), t)
means = (x - y).reshape(66, 30).mean(axis=1)
assert np.isclose(theirs["pieces"]["paired"]["p"], stats.ttest_1samp(means, 0).pvalue)

theirs = package_levene({"x": x, "y": y})
assert np.isclose(theirs["levene"]["statistic"], levene([x, y]))
assert np.isclose(theirs["brown_forsythe"]["statistic"], levene([x, y], centre=np.median))

confusion = np.round(random_confusion()).astype(int) + np.eye(27, dtype=int)
theirs = scores_of(confusion)
assert np.allclose([theirs["accuracy"], theirs["weighted_f1"]], scores(confusion))

certain = [claim["claim"] for claim in impossibilities() if claim["certain"]]
rows = sum(claim.startswith("Table 3") for claim in certain)
print(f"the same numbers; {len(certain)} claims cannot hold, {rows} of them are rows of Table 3")

# %% [markdown]
# ## Exercises
#
# 1. **A sharper bound.** Precision is at most 1. Use this to show that the weighted F1 is at most
#    $2 \mathrm{acc} / (1 + \mathrm{acc})$. Then build a confusion matrix with an accuracy of .29
#    that comes close to the bound.
#
#    <details><summary>Solution</summary>
#
#    $\mathrm{F1}_m$ grows with the precision, so
#    $\mathrm{F1}_m \le 2 \, \mathrm{rec}_m / (1 + \mathrm{rec}_m)$. This function is concave, so the
#    mean of its values is at most its value at the mean (Jensen's inequality). The mean recall,
#    weighted by $N_m$, is $\mathrm{acc}$.
#
#    To come close, every composer needs a precision near 1 and the same recall. So assign all wrong
#    answers to one very rare composer:
#
#    ```python
#    by = np.full(27, 1000.0)
#    by[-1] = 1  # the rare one
#    sharp = np.diag(0.29 * by)
#    sharp[:, -1] += 0.71 * by  # all wrong answers
#    accuracy, weighted = scores(sharp)
#    print(f"{weighted:.4f}, at most {2 * accuracy / (1 + accuracy):.4f}")
#    ```
#
#    To four digits the matrix reaches the bound, 0.4496. The paper has .76.
#
#    </details>
#
# 2. **Error bars.** Make 66 pieces of 300 ranks, each piece with its own difficulty:
#    `draw(66, 300) * level`, where `level` is drawn once per piece. Compute the bootstrap interval
#    of the median twice, by drawing single ranks and by drawing whole pieces. How much longer is
#    the second?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    rng = np.random.default_rng(2)
#    level = rng.uniform(0.2, 1.8, (66, 1))
#    ranks = draw(66, 300) * level  # (66, 300)
#    single = [np.median(rng.choice(ranks.ravel(), ranks.size)) for _ in range(300)]
#    whole = [np.median(ranks[rng.integers(66, size=66)]) for _ in range(300)]
#    lengths = [np.subtract(*np.percentile(m, [97.5, 2.5])) for m in (single, whole)]
#    print(f"{lengths[0]:.1f} and {lengths[1]:.1f} ranks")
#    ```
#
#    The intervals are 2.6 and 8.5 ranks long. The first treats 19,800 ranks as independent, but
#    only 66 difficulties were drawn.
#
#    </details>
#
# 3. **The test that the paper could have used.** All models rank the *same* targets. Let `hard` be
#    the difficulty of each of 300 targets, let model A have `hard` plus noise, and model B the same
#    plus 2 ranks. How often does Welch's test find the 2 ranks, and how often a paired test, which
#    tests the differences against 0?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    rng = np.random.default_rng(3)
#    hard = draw(1000, 300)  # 1,000 experiments
#    a = hard + 10 * rng.standard_normal((1000, 300))
#    b = hard + 10 * rng.standard_normal((1000, 300)) + 2
#    print(f"Welch {(welch(a, b)[1] < 0.05).mean():.2f}")
#    print(f"paired {(stats.ttest_1samp(a - b, 0, axis=1).pvalue < 0.05).mean():.2f}")
#    ```
#
#    Welch's test finds them in 0.00 of the experiments, the paired test in 0.70. To Welch's test
#    the difficulty of the targets is noise; in the differences it cancels.
#
#    </details>
#
# ## Further reading
#
# - Jacob Cohen, *The Earth Is Round (p < .05)* (1994): what a p value does not say, by the author
#   of $d$.
# - Stuart Hurlbert, *Pseudoreplication and the Design of Ecological Field Experiments* (1984): the
#   classic on observations that are not independent.
# - Bradley Efron and Robert Tibshirani, *An Introduction to the Bootstrap* (1993): the bootstrap,
#   by its inventor.
# - Janez Demšar, *Statistical Comparisons of Classifiers over Multiple Data Sets* (2006): which
#   tests to use when several models are compared.
#
# ## What comes next
#
# This is the end of the course's main part. The appendices go further. [Chapter
# 13](13_contrastive_loss.md) compares each prediction with a whole batch, and [chapter
# 14](14_counts_and_results.md) counts intervals and shows how far all models come. [Chapter
# 15](15_gpu.md) runs the same code on a GPU, and [chapter 16](16_several_processes.md) in several
# processes.
