# %% [markdown]
# # 12. Reading the statistics
#
# A median rank of 15 beats one of 17, all 21 differences are significant, and p is below 0.00037:
# what of this may you believe? And which two numbers of the paper cannot both be true?

# %% [markdown]
# **What you'll do.** Compute every statistic of the paper by hand, on data where you know the
# truth, because you made them; then hold the paper's numbers, and our own, against what you found.
#
# **What you'll learn.** Median, spread and skew; what a p value says, and what it never says;
# Bonferroni's correction; Levene's test; why 325,219 sequences are far fewer observations than they
# seem; a bound between two scores that ends an argument.
#
# **What you need.** [Chapter 11](11_lstm_and_rank.md) (the rank among 1,000), and 25 minutes. No
# neural network is harmed in this chapter: NumPy, random numbers, and two files of results.

# %% [markdown]
# ## What the paper says
#
# Section 5.1 has three tables' worth of claims. Table 2: for each of seven models, the *median*,
# the *spread* and the *skew* of its ranks on 325,219 test sequences. Then 21 *t-tests*, one for
# each pair of models, with a *Bonferroni correction*: all differences are significant at p <
# 0.00037. Then *Levene's test* for the spreads, W = 7398.17. And Table 3: for each model two *F1
# scores* of naming the composer.
#
# Here is Table 2 and Table 3, typed in, and beside them a file of our own: the same seven models on
# other piano music, 22,702 test sequences of 66 pieces ([the
# report](../benchmarks/reproduction/report.md)).

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
ours = json.loads((lesson.ROOT / "benchmarks/reproduction/results.json").read_text())

print(f"{'':14s}{'paper':>12s}{'':12s}{'ours':>12s}")
print(f"{'':14s}  median  spread  skew      median     iqr  skew")
for name, (median, spread, skew, *_) in paper.items():
    rank = ours["models"][name]["rank"]
    print(f"{name:14s}{median:8d}{spread:8d}{skew:6.2f}", end="    ")
    print(f"{rank['median']:8.4g}{rank['iqr']:8.4g}{rank['skew']:6.2f}")

# %% alt="Box plots of the ranks of our seven models"
figure, ax = plt.subplots(figsize=(8.6, 3.4), layout="constrained")
boxes = [{**model["box"], "label": name} for name, model in ours["models"].items()]
ax.bxp(
    [{**box, "label": box["label"].replace("_", " "), "fliers": []} for box in boxes],
    orientation="horizontal",
    showfliers=False,
    medianprops={"color": lesson.ORANGE, "lw": 2},
)
ax.invert_yaxis()
ax.set_xlabel("rank of the right unit among 1,000 (0 is best)")
plt.show()

# %% [markdown]
# That is our version of the paper's Figure 3. The orange line is the median, the box holds the
# middle half of all ranks, and the whiskers reach up to one and a half box lengths further. Every
# box leans to the left. That lean is where the trouble starts.
#
# ## Skewed ranks
#
# | Symbol | Meaning |
# | --- | --- |
# | $x_1 \ldots x_n$ | the ranks of one model on $n$ sequences |
# | $\bar x$, $s$ | their mean and their standard deviation |
# | median | half of the ranks lie below it, half above |
# | quartiles | a quarter of the ranks lie below the lower one, a quarter above the upper one |
# | IQR | interquartile range: from the lower quartile to the upper one, the length of the box |
#
# We make ranks ourselves, so that we know everything about them. NumPy's `beta(a, b)` draws numbers
# between 0 and 1; a small `a` piles them up near 0. With these two values they look much like those
# of the paper's note-drop model. Predict first: the median is 32. How large is the mean?

# %%
rng = np.random.default_rng(10)


def draw(*shape, a=0.34, b=3.4):
    """Ranks between 0 and 999, most of them small."""
    return np.floor(1000 * rng.beta(a, b, shape))


def skewness(x):
    """The mean cube of the distance from the mean, in standard deviations."""
    return (((x - x.mean()) / x.std()) ** 3).mean()


x = draw(100_000)
low, middle, high = np.percentile(x, [25, 50, 75])
print(f"median {middle:.0f}, mean {x.mean():.0f}")
print(f"IQR {high - low:.0f}, standard deviation {x.std():.0f}, skew {skewness(x):.2f}")

spoilt = np.where(rng.random(len(x)) < 0.02, 999, x)  # two in a hundred go wholly wrong
print(f"two percent set to 999: median {np.median(spoilt):.0f}, mean {spoilt.mean():.0f}")

# %% tags=["hide"]
assert np.isclose(skewness(x), stats.skew(x))
assert abs(middle - 32) < 2 and x.mean() > 2.5 * middle and 110 < high - low < 130
assert np.median(spoilt) - middle < 3 and spoilt.mean() - x.mean() > 15

# %% alt="A histogram of skewed ranks with its median, its mean and the middle half"
figure, ax = plt.subplots(figsize=(8.6, 2.9), layout="constrained")
ax.hist(x, np.arange(0, 601, 10), color="#9db8d6")
ax.axvspan(low, high, color=lesson.ORANGE, alpha=0.15, lw=0, label="middle half (IQR)")
ax.axvline(middle, color=lesson.ORANGE, lw=2, label="median")
ax.axvline(x.mean(), color=lesson.INK, ls="--", label="mean")
ax.set_xlim(0, 600)
ax.set_xlabel("rank")
ax.set_ylabel("sequences")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# The mean is nearly three times the median, and two percent of disasters move it a long way while
# the median hardly notices. So the paper is right to report medians. The **skew** puts a number on
# the lean: 0 is symmetric, 2 to 4 is a pile with a long tail.
#
# ## A detective story: which "spread"?
#
# The paper does not define its spread. Two candidates: the IQR or the standard deviation. For
# skewed ranks they are very different numbers, and our file has both, with the skew, for 28 sets of
# ranks (seven models and the seven repetitions of chapter 11, for both kinds of candidates). So draw
# spread against skew, and see where the paper's seven points fall.

# %% alt="Spread against skew: the paper's seven points follow the interquartile range"
sets = [
    model[kind]
    for group in (ours["models"], ours["baselines"]["repetition"])
    for model in group.values()
    for kind in ("rank", "rank_same_piece")
]
sets.sort(key=lambda found: found["skew"])
skew, iqr, std = (np.array([found[key] for found in sets]) for key in ("skew", "iqr", "std"))

figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
ax.plot(skew, std, "s-", color=lesson.GREY, label="ours: standard deviation")
ax.plot(skew, iqr, "o-", color=lesson.BLUE, label="ours: IQR")
ax.plot(
    *zip(*[(row[2], row[1]) for row in paper.values()], strict=True),
    "*",
    ms=13,
    color=lesson.ORANGE,
    label='the paper: "spread"',
)
ax.set_yscale("log")
ax.set_yticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
ax.minorticks_off()
ax.set_xlabel("skew")
ax.set_ylabel("spread of the ranks")
ax.legend(frameon=False)
plt.show()

nearer = 0
for _, spread, its_skew, *_ in paper.values():
    from_iqr = abs(np.log(spread / np.interp(its_skew, skew, iqr)))
    from_std = abs(np.log(spread / np.interp(its_skew, skew, std)))
    nearer += from_iqr < from_std
print(f"of the paper's {len(paper)} models, {nearer} lie nearer to the IQR")
assert nearer == len(paper)

# %% [markdown]
# Case closed, as far as such a case can be: the spread is the interquartile range. The two context
# models decide it. With a skew of 4, a standard deviation of 47 would be very odd company.
#
# ## A t-test by hand
#
# Model A has a mean rank of 90, model B of 95, on $n$ sequences each. Would another draw of
# sequences turn this around? The **standard error** $s / \sqrt{n}$ says how far a mean of $n$
# numbers typically lies from the truth. Welch's $t$ is the difference of the two means, measured in
# the standard error of a difference:
#
# $$
# t = \frac{\bar x_A - \bar x_B}{\sqrt{s_A^2 / n_A + s_B^2 / n_B}}
# $$
#
# The **p value** is the share of experiments in which $|t|$ would come out at least as large *if
# the two models were equal*. A p below 0.05 is usually called significant. What it means is best
# seen by making models that *are* equal, over and over:


# %%
def welch(a, b):
    """a, b: (..., n) -> t and p, one of each for every pair of rows."""
    n_a, n_b = a.shape[-1], b.shape[-1]
    error_a, error_b = a.var(axis=-1, ddof=1) / n_a, b.var(axis=-1, ddof=1) / n_b
    t = (a.mean(axis=-1) - b.mean(axis=-1)) / np.sqrt(error_a + error_b)
    # How many independent numbers the two variances are worth, after Welch.
    freedom = (error_a + error_b) ** 2 / (error_a**2 / (n_a - 1) + error_b**2 / (n_b - 1))
    return t, 2 * stats.t.sf(abs(t), freedom)  # sf: the area of t's curve to the right of |t|


experiments = 4000
a, b = draw(2, experiments, 300)  # (4000, 300) each: the same distribution
t, p = welch(a, b)
assert np.allclose(p[:50], stats.ttest_ind(a[:50], b[:50], axis=1, equal_var=False).pvalue)
print(f"equal models, p below 0.05: {100 * (p < 0.05).mean():.1f}% of {experiments:,} experiments")

# %% tags=["hide"]
assert 0.035 < (p < 0.05).mean() < 0.065

# %% [markdown]
# So that is all that "p < 0.05" promises: of comparisons between equals, one in twenty is called a
# difference. (SciPy's t-test gives the same p values; the assertion holds them side by side.)
#
# Notice that ranks this skewed did no harm. The t-test wants the *means* to be nearly normal, and
# means of 300 are. But it does compare **means**, while the paper reports **medians**: note drop
# and beat drop have the same median, 32, and the paper still calls them significantly different.
# Both can be true: their tails differ.
#
# ## Twenty-one chances to be wrong
#
# Seven models make $7 \cdot 6 / 2 = 21$ pairs. Take seven models that are *all equal*, run all 21
# tests, and ask how often at least one of them cries "significant". Predict first.

# %%
pairs = [(first, second) for first in range(7) for second in range(first)]
seven = draw(7, 1000, 300)  # 1,000 experiments with seven equal models
smallest = np.min([welch(seven[first], seven[second])[1] for first, second in pairs], axis=0)

print(f"{len(pairs)} pairs; at least one p below")
for name, threshold in (("0.05", 0.05), ("0.05 / 21", 0.05 / 21), ("0.00037", 0.00037)):
    print(f"    {name:10s} in {100 * (smallest < threshold).mean():.1f}% of experiments")

# %% tags=["hide"]
assert (smallest < 0.05).mean() > 0.35
assert (smallest < 0.05 / 21).mean() < 0.06 and (smallest < 0.00037).mean() < 0.02

# %% [markdown]
# Nearly every second time somebody would publish a difference that does not exist. **Bonferroni's
# correction** is the remedy: with 21 tests, ask each for $p < 0.05 / 21$. Then all of them
# *together* err at most once in twenty.
#
# Now the paper's threshold. It says that after the correction, significance is p < 0.00037. What
# was divided by what?

# %%
print(f"0.05 / 21 = {0.05 / 21:.5f}")
print(f"0.01 / 21 = {0.01 / 21:.5f}")
print(f"0.01 / 27 = {0.01 / 27:.5f}, and 27 is the number of composers, not of comparisons")
assert round(0.01 / 27, 5) == 0.00037
assert all(round(alpha / 21, 5) != 0.00037 for alpha in (0.05, 0.01, 0.001))

# %% [markdown]
# We do not know, but it is harmless: 0.00037 is *stricter* than 0.05 / 21, so whatever passed it
# also passes the right one.
#
# ## Significant is not large
#
# With more sequences the standard error shrinks, so ever smaller differences become significant. An
# **effect size** does not grow with $n$. Cohen's $d$ is the difference of the means in standard
# deviations:
#
# $$
# d = \frac{\bar x_A - \bar x_B}{s}, \qquad \text{and for equal } n: \quad t = d \sqrt{n / 2}
# $$
#
# So the smallest $d$ that comes out significant is $t_{\min} \sqrt{2 / n}$, where $t_{\min} = 3.04$
# is the $t$ of $p = 0.05 / 21$.

# %%
t_min = stats.norm.isf(0.05 / 21 / 2)
for n in (100, 22_702, 325_219):
    d_min = t_min * np.sqrt(2 / n)
    print(f"n = {n:7,}: significant from d = {d_min:.4f}, or {120 * d_min:.2f} ranks if s is 120")

by_pair = {(pair["first"], pair["second"]): pair for pair in ours["tests"]["rank"]["pairs"]}
significant = [pair for pair in by_pair.values() if pair["welch"]["significant"]]
smallest_d = min(significant, key=lambda pair: abs(pair["cohen_d"]))
print(f"ours: {len(significant)} of {len(by_pair)} pairs are significant. The least of them is")
print(f"{smallest_d['first']} against {smallest_d['second']}, d = {smallest_d['cohen_d']:.3f}")

# %% tags=["hide"]
assert round(t_min, 2) == 3.04
assert 120 * t_min * np.sqrt(2 / 325_219) < 1
assert abs(smallest_d["cohen_d"]) < 0.05 and len(significant) == 20
assert stats.norm.cdf(0.04 / np.sqrt(2)) < 0.52  # for normal ranks

# %% [markdown]
# With 325,219 sequences, *nine tenths of one rank* is significant. "All distributions are
# significantly different" was therefore almost bound to come out, whatever the models are. A $d$ of
# 0.04, as in our file, means: draw one rank of each model, and the better model has the lower one
# hardly more often than a coin says heads.
#
# ## The observation that was counted many times
#
# And now for the assumption behind all of these formulas, and it is the one that fails. They take
# the $n$ numbers for **independent**: knowing one tells you nothing about another.

# %% alt="A tune with three units marked: one that begins a beat later shares three of four beats"
from tinyembed import onset_roll

tune = lesson.tune()
roll = np.concatenate([onset_roll(tune, beat) for beat in (0, 4)], axis=1)  # (60, 192): 8 beats
figure, ax = plt.subplots(figsize=(8.6, 3), layout="constrained")
lesson.show_roll(ax, roll)
for k, colour in enumerate([lesson.BLUE, lesson.ORANGE, lesson.INK]):
    ax.annotate(
        "", (k, 50 + 3 * k), (k + 4, 50 + 3 * k), arrowprops={"arrowstyle": "<->", "color": colour}
    )
    ax.text(k + 4.1, 50 + 3 * k, f"unit at beat {k + 1}", va="center", color=colour, fontsize=9)
ax.set_xlabel("beat")
plt.show()

# %% [markdown]
# Two units that begin a beat apart share three of their four beats. Two test *sequences* that begin
# a beat apart share 31 of their 32 beats. Their ranks are nearly the same number, counted twice.
# Beyond that, all sequences of a piece share its style, which one model may happen to like better
# than another.
#
# So let us build models that are equal **on average over all music**, but where each piece favours
# one of them by chance. For each of 66 pieces, the true difference between the two models is a
# random number, positive as often as negative. How large should it be? Our file knows: it has the
# standard deviation of the differences, sequence by sequence and piece by piece, for each pair of
# models.

# %%
pair = by_pair["note_drop", "composer"]
by_sequence = abs(pair["mean_difference"] / pair["d_z"])  # d_z is the mean over this deviation
by_piece = abs(pair["pieces"]["mean_difference"] / pair["pieces"]["d_z"])
pieces, each = pair["pieces"]["n"], pair["n"] // pair["pieces"]["n"]
print(f"{pair['first']} against {pair['second']}: {pieces} pieces, some {each} sequences each")
print(
    f"standard deviation of the difference: {by_sequence:.0f} ranks, of a piece's mean {by_piece:.0f}"
)

p_naive, p_fair = [], []
for _ in range(1000):
    favour = by_piece * rng.standard_normal((pieces, 1))  # of each piece, for one of two equals
    difference = favour + by_sequence * rng.standard_normal((pieces, each))
    p_naive.append(stats.ttest_1samp(difference.ravel(), 0).pvalue)  # 22,638 "observations"
    p_fair.append(stats.ttest_1samp(difference.mean(axis=1), 0).pvalue)  # 66 observations
p_naive, p_fair = np.array(p_naive), np.array(p_fair)
for name, p in (("sequence by sequence", p_naive), ("piece by piece", p_fair)):
    print(
        f"two equal models, tested {name}: p < 0.05 in {100 * (p < 0.05).mean():.0f}% of experiments"
    )

# %% alt="p values of equal models: by sequence nearly all tiny, by piece evenly spread"
figure, axes = plt.subplots(1, 2, figsize=(8.6, 2.8), layout="constrained", sharey=True)
for ax, p, title in zip(
    axes, (p_naive, p_fair), ("sequence by sequence", "piece by piece"), strict=True
):
    ax.hist(p, np.linspace(0, 1, 21), color="#9db8d6")
    ax.hist(p[p < 0.05], np.linspace(0, 1, 21), color=lesson.ORANGE, label="p < 0.05")
    ax.set_title(f"two equal models, tested {title}", fontsize=10)
    ax.set_xlabel("p")
axes[0].set_ylabel("experiments")
axes[1].legend(frameon=False)
plt.show()

# %% tags=["hide"]
assert (p_naive < 0.05).mean() > 0.5
assert 0.03 < (p_fair < 0.05).mean() < 0.07

# %% [markdown]
# Tested by sequence, two *equal* models are "significantly different" most of the time. Tested by
# piece, with one number a piece, it is the promised one in twenty. Sequences are not what was drawn
# from the world of music. Pieces are.
#
# Does it matter for real? Here are all pairs of our seven models where the two ways disagree:

# %%
print(f"{'':31s}  p by sequence    p by piece   (both times 21)")
turned = []
for (first, second), pair in by_pair.items():
    naive, fair = pair["welch"], pair["pieces"]["paired"]
    if naive["significant"] != fair["significant"]:
        turned.append((first, second))
        print(
            f"{first:13s} and {second:13s}{naive['p_bonferroni']:15.1e}{fair['p_bonferroni']:15.2f}"
        )
print(
    f"significant by sequence: {len(significant)} of 21, by piece: {len(significant) - len(turned)}"
)

# %% tags=["hide"]
assert len(turned) == 3 and ("note_drop", "composer") in turned
assert by_pair["note_drop", "composer"]["welch"]["p_bonferroni"] < 1e-15
assert by_pair["note_drop", "composer"]["pieces"]["paired"]["p_bonferroni"] > 0.5
assert sum(pair["pieces"]["paired"]["significant"] for pair in by_pair.values()) == 17

# %% [markdown]
# From fifteen zeros behind the point to .63. ("By sequence" is Welch's test, as in the paper; "by
# piece" takes the 66 mean differences against 0. p times 21 is Bonferroni's correction from the
# other side: compare it with 0.05.) The other differences survive: on our music, too, most of the
# paper's verdicts hold.
#
# How many pieces do 325,219 sequences come from? Table 1 of the paper says 75 test songs.
#
# The same thought gives honest error bars. The **bootstrap** draws as many pieces as there are,
# with replacement, computes the median again, and does this 2,000 times; the middle 95% of those
# medians is an interval. Our file has them:

# %% alt="Median ranks of the seven models with intervals, resampled by piece"
figure, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
for place, model in enumerate(ours["models"].values()):
    low, high = model["rank"]["interval"]
    ax.plot([low, high], [place, place], color=lesson.BLUE, lw=3, solid_capstyle="butt")
    ax.plot(model["rank"]["median"], place, "o", color=lesson.ORANGE)
ax.set_yticks(range(7), [name.replace("_", " ") for name in ours["models"]])
ax.invert_yaxis()
ax.set_xlim(0)
ax.set_xlabel("median rank, with a 95% interval resampled by piece")
plt.show()

# %% [markdown]
# One thing none of this repairs: each model was trained *once*. With another seed the same method
# gives another network. Statistics over test sequences compare seven trained networks, not seven
# methods.
#
# ## Levene's test by hand
#
# Are some models more *reliable* than others, that is, do their ranks spread less? **Levene's
# test** turns spread into a mean. It replaces each rank by its distance from its own model's mean,
# $z_{ij} = |x_{ij} - \bar x_i|$, and asks whether the mean distances of the $k$ models differ more
# than they should by chance:
#
# $$
# W = \frac{\sum_i n_i (\bar z_i - \bar z)^2 / (k - 1)}{\sum_i \sum_j (z_{ij} - \bar z_i)^2 / (N - k)}
# $$
#
# | Symbol | Meaning |
# | --- | --- |
# | $x_{ij}$ | rank $j$ of model $i$; $\bar x_i$ is the mean of model $i$ |
# | $\bar z_i$, $\bar z$ | mean distance of model $i$, and of all models |
# | $k$, $n_i$, $N$ | number of models; ranks of model $i$; ranks of all models |
#
# Above the line: how far the models' mean distances lie apart. Below: how much single distances
# vary anyway. Equal spreads give a $W$ around 1.


# %%
def levene(groups, centre=np.mean):
    """groups: a list of (n_i,) -> W."""
    z = [abs(x - centre(x)) for x in groups]
    k, n, N = len(z), np.array([len(g) for g in z]), sum(len(g) for g in z)
    means, all_mean = np.array([g.mean() for g in z]), np.concatenate(z).mean()
    between = (n * (means - all_mean) ** 2).sum() / (k - 1)
    within = sum(((g - mean) ** 2).sum() for g, mean in zip(z, means, strict=True)) / (N - k)
    return between / within


groups = [draw(2000, b=b) for b in (3.4, 3.6, 5, 12)]  # a larger b: smaller, tighter ranks
W = levene(groups)
assert np.isclose(W, stats.levene(*groups, center="mean").statistic)
print(f"four models of different spread, n =  2,000 each: W = {W:.1f}")
larger = levene([draw(20_000, b=b) for b in (3.4, 3.6, 5, 12)])
print(f"the same four models,            n = 20,000 each: W = {larger:.1f}")

# %% tags=["hide"]
assert 7 < larger / W < 14

# %% [markdown]
# Like $t^2$, $W$ grows in proportion to $n$, so on its own W = 7398.17 says more about 325,219 than
# about spreads. We can still ask whether it is a believable number. Ours comes from 22,702
# sequences:

# %%
tests = ours["tests"]["rank"]["levene"]
W, n = tests["levene"]["statistic"], by_pair["note_drop", "composer"]["n"]
print(f"our W is {W:.1f}; with 325,219 sequences it would be about {W * 325_219 / n:,.0f}")

# %% tags=["hide"]
assert 0.5 < 7398.17 / (W * 325_219 / n) < 2

# %% [markdown]
# The same order as the paper's 7,398. No contradiction here; the claim holds, with the reservation
# of the last section about $n$.
#
# One more trap. Predict first: for seven *equal* models with skewed ranks, how often does Levene's
# test find that spreads differ? It should be 5%.

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
# Measured from the mean, skewed ranks set off one false alarm after another. Measured from the
# median, the test keeps its promise. That variant is named after Brown and Forsythe, and the
# package reports both.
#
# ## Two numbers that cannot both be true
#
# Table 3 says of the composer model: micro-F1 .29, macro-F1 .76, the latter "weighted by the number
# of true instances for each composer". Let us see what these are. For one composer $c$:
#
# | Symbol | Meaning |
# | --- | --- |
# | $n_c$, $N$ | units that are by composer $c$; all units |
# | $p_c$ | units that the network says are by $c$ |
# | $TP_c$ | units where both hold: true positives |
# | $P_c = TP_c / p_c$ | precision: how much of what is called $c$ is by $c$ |
# | $R_c = TP_c / n_c$ | recall: how much of what is by $c$ is called $c$ |
# | $F_c = 2 P_c R_c / (P_c + R_c)$ | F1: high only if both are |
# | $a = \sum_c TP_c / N$ | accuracy: the share of units named rightly |
#
# **Micro-F1** pools all composers before it divides. Every unit has one composer and gets one name,
# so the pooled precision and the pooled recall are both $\sum TP_c / N$: *micro-F1 is the
# accuracy*.
#
# **Weighted F1** is $\sum_c n_c F_c / N$. Now watch. A sum is larger than each of its parts, so
#
# $$
# F_c = \frac{2 P_c R_c}{P_c + R_c} \le \frac{2 P_c R_c}{P_c} = 2 R_c,
# $$
#
# and therefore
#
# $$
# \frac{1}{N} \sum_c n_c F_c  \le  \frac{2}{N} \sum_c n_c R_c = \frac{2}{N} \sum_c TP_c = 2a.
# $$
#
# *The weighted F1 is never more than twice the accuracy*, whatever the network, the composers or
# the music. That took two lines. Now look at .29 and .76.


# %%
def scores(confusion):
    """confusion: (C, C), units by composer (row) that were given each name (column) -> two scores."""
    hits, by, named = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * hits / (by + named)  # the same as 2 P R / (P + R)
    return hits.sum() / by.sum(), (by * f1).sum() / by.sum()


def random_confusion():
    """27 composers, of which some are common; a network that is more or less good for each."""
    by = rng.dirichlet(np.full(27, 0.5)) * 10_000 + 1
    right = rng.beta(0.5, rng.uniform(0.2, 3), 27)  # the recall of each
    wrong = rng.dirichlet(np.full(27, 0.1), 27)  # the names given when wrong
    return by[:, None] * (right[:, None] * np.eye(27) + (1 - right[:, None]) * wrong)


tries = np.array([scores(random_confusion()) for _ in range(5000)])
assert (tries[:, 1] <= 2 * tries[:, 0]).all()

# %% tags=["thumbnail"] alt="Weighted F1 against accuracy: the paper's seven points lie in the region that cannot be"
figure, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
edge = np.linspace(0, 1, 101)
ax.fill_between(edge, np.minimum(2 * edge, 1), 1, color=lesson.ORANGE, alpha=0.15, lw=0)
ax.plot(edge, 2 * edge, color=lesson.ORANGE, lw=1.5)
ax.text(0.03, 0.93, "cannot be: more than twice the accuracy", color=lesson.ORANGE)
ax.plot(*tries.T, ".", color="#9db8d6", ms=2, label="5,000 random networks")
ax.plot(
    *zip(*[row[3:] for row in paper.values()], strict=True),
    "*",
    color=lesson.ORANGE,
    ms=13,
    label="the paper's seven models",
)
found = [
    (m["composers"]["accuracy"], m["composers"]["weighted_f1"]) for m in ours["models"].values()
]
ax.plot(*zip(*found, strict=True), "o", color=lesson.INK, ms=5, label="our seven models")
ax.set_xlim(0, 1)
ax.set_ylim(0, 1)
ax.set_xlabel("accuracy (micro-F1)")
ax.set_ylabel("weighted F1")
ax.legend(frameon=False, loc="lower right")
plt.show()

for name, (*_, micro, weighted) in paper.items():
    print(f"{name:14s} accuracy {micro:.2f}, at most {2 * micro:.2f}, the paper has {weighted:.2f}")
    assert weighted - 0.005 > 2 * (micro + 0.005)  # not even if both were rounded in its favour

# %% [markdown]
# None of the seven rows is possible. Either one column is not what its description says, or the two
# were computed from different predictions (units and whole pieces, say, or test and training
# music). The paper does not tell. It is a reminder that a number in a table has nothing around it
# that would ring a bell; someone has to do the two lines.
#
# ## Small change
#
# Three more, by arithmetic alone. All are harmless, and all were printed.

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

for what, count in (("training units", 4_682_293), ("test sequences", 325_219)):
    print(f"{count:,} {what} in twelve keys: {count % 12} too many to divide by 12")

# %% tags=["hide"]
assert (96 - 36 + 1, len(songs), training, test) == (61, 27, 516, 75)
assert (4_682_293 % 12, 325_219 % 12) == (1, 7)

# %% [markdown]
# The last is not a contradiction, only unexplained: something that the paper does not mention was
# left out, or was not transposed.
#
# **So what may you believe?** The medians, as what one trained network of each kind did. The order
# of the models, where differences are large: ours, on other music, agrees for the most part. Of the
# tests, nothing beyond that. Of Table 3's second column, nothing.
#
# ## The package does the same
#
# `python -m tinyembed.reproduce` writes all of this into its report: `describe` the medians,
# `compare` the tests with effect sizes, by sequence and by piece, `levene` both variants,
# `classification_scores` the F1 scores, and `impossibilities` the contradictions. The same numbers
# as on this page:

# %%
from tinyembed.evaluation.classification import scores_of
from tinyembed.evaluation.significance import compare
from tinyembed.evaluation.significance import levene as package_levene
from tinyembed.evaluation.statistics import describe
from tinyembed.report.paper import impossibilities

x, y = draw(2, 1980)
piece = np.repeat(np.arange(66), 30)
found = describe(x, piece)
assert np.isclose(found["median"], np.median(x)) and np.isclose(found["skew"], skewness(x))
assert np.isclose(found["iqr"], np.subtract(*np.percentile(x, [75, 25])))

found = compare(x, y, piece, comparisons=21)
t, p = welch(x, y)
assert np.isclose(found["welch"]["t"], t) and np.isclose(found["welch"]["p"], p)
assert np.isclose(found["cohen_d"] * np.sqrt(len(x) / 2), t)
means = (x - y).reshape(66, 30).mean(axis=1)
assert np.isclose(found["pieces"]["paired"]["p"], stats.ttest_1samp(means, 0).pvalue)

found = package_levene({"x": x, "y": y})
assert np.isclose(found["levene"]["statistic"], levene([x, y]))
assert np.isclose(found["brown_forsythe"]["statistic"], levene([x, y], centre=np.median))

confusion = np.round(random_confusion()).astype(int) + np.eye(27, dtype=int)
found = scores_of(confusion)
assert np.allclose([found["accuracy"], found["weighted_f1"]], scores(confusion))

certain = [found for found in impossibilities() if found["certain"]]
print(
    f"the package lists {len(certain)} claims that cannot hold; seven of them are rows of Table 3"
)
assert len([found for found in certain if found["claim"].startswith("Table 3")]) == 7

# %% [markdown]
# ## Exercises
#
# 1. **A sharper bound.** Precision is at most 1. What does that make of
#    $F_c = 2 P_c R_c / (P_c + R_c)$? Use it to show that the weighted F1 is at most $2a / (1 + a)$:
#    for an accuracy of .29, at most .45. Then build a confusion matrix that comes close, to see
#    that no better bound exists.
#
#    <details><summary>Solution</summary>
#
#    $F_c$ grows with $P_c$, so $F_c \le 2 R_c / (1 + R_c)$. This curve bends downward, and for such
#    a curve the mean of its values is at most its value at the mean (Jensen's inequality). The mean
#    recall, weighted by $n_c$, is $a$.
#
#    To come close, every composer needs a precision of nearly 1 and the same recall $a$: give all
#    wrong answers the name of one very rare composer.
#
#    ```python
#    a, by = 0.29, np.full(27, 1000.0)
#    by[-1] = 1  # the rare one
#    sharp = np.diag(a * by)
#    sharp[:, -1] += (1 - a) * by  # all wrong answers
#    accuracy, weighted = scores(sharp)
#    bound = 2 * accuracy / (1 + accuracy)
#    ```
#
#    To four digits the matrix reaches the bound, .4496. So with the paper's accuracy of .29
#    everything above .45 is out of reach, and .76 by far.
#
#    </details>
#
# 2. **Error bars that lie.** Make 66 pieces of 300 ranks, where each piece has a difficulty of its
#    own: `draw(66, 300) * level`, with `level` drawn once a piece. Compute the bootstrap interval
#    of the median twice: drawing single ranks, and drawing whole pieces. How much longer is the
#    second?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    level = rng.uniform(0.2, 1.8, (66, 1))
#    ranks = draw(66, 300) * level  # (66, 300)
#    single = [np.median(rng.choice(ranks.ravel(), ranks.size)) for _ in range(300)]
#    whole = [np.median(ranks[rng.integers(66, size=66)]) for _ in range(300)]
#    lengths = [np.subtract(*np.percentile(m, [97.5, 2.5])) for m in (single, whole)]
#    ```
#
#    More than twice as long. The first pretends to 19,800 observations, but only 66 difficulties
#    were drawn.
#
#    </details>
#
# 4. **The test the paper could have used.** All models rank the *same* targets. Let `hard` be how
#    hard each of 300 targets is, and let model A have `hard` plus noise, and model B the same plus
#    2 ranks. Compare Welch's test with a paired one (a t-test of the differences against 0). Which
#    one finds the 2 ranks?
#
#    <details><summary>Solution</summary>
#
#    ```python
#    hard = draw(1000, 300)  # 1,000 experiments
#    a = hard + 10 * rng.standard_normal((1000, 300))
#    b = hard + 10 * rng.standard_normal((1000, 300)) + 2
#    unpaired = (welch(a, b)[1] < 0.05).mean()
#    paired = (stats.ttest_1samp(a - b, 0, axis=1).pvalue < 0.05).mean()
#    ```
#
#    The paired test finds it in more than half of the experiments, Welch's in next to none: for
#    Welch the difficulty of the targets is noise, for the pairs it cancels. The package reports
#    both, and Wilcoxon's signed-rank test, which looks only at the order of the differences and so
#    does not mind a long tail.
#
#    </details>

# %% tags=["hide"]
a, by = 0.29, np.full(27, 1000.0)
by[-1] = 1  # the rare one
sharp = np.diag(a * by)
sharp[:, -1] += (1 - a) * by  # all wrong answers
accuracy, weighted = scores(sharp)
bound = 2 * accuracy / (1 + accuracy)
assert (tries[:, 1] <= 2 * tries[:, 0] / (1 + tries[:, 0]) + 1e-12).all()
assert f"{weighted:.4f} {bound:.4f}" == "0.4496 0.4496" and weighted < bound

level = rng.uniform(0.2, 1.8, (66, 1))
ranks = draw(66, 300) * level  # (66, 300)
single = [np.median(rng.choice(ranks.ravel(), ranks.size)) for _ in range(300)]
whole = [np.median(ranks[rng.integers(66, size=66)]) for _ in range(300)]
lengths = [np.subtract(*np.percentile(m, [97.5, 2.5])) for m in (single, whole)]
assert lengths[1] > 2 * lengths[0], lengths

hard = draw(1000, 300)  # 1,000 experiments
a = hard + 10 * rng.standard_normal((1000, 300))
b = hard + 10 * rng.standard_normal((1000, 300)) + 2
unpaired = (welch(a, b)[1] < 0.05).mean()
paired = (stats.ttest_1samp(a - b, 0, axis=1).pvalue < 0.05).mean()
assert paired > 0.5 and unpaired < 0.02, (paired, unpaired)

# %% [markdown]
# ## What comes next
#
# Three seeds instead of one, seven models, twelve keys: honest statistics want many trainings, and
# many trainings want speed. [Chapter 15](15_gpu.md) takes the same code to a GPU and counts what it
# does there.
