"""The report's sections, in order. Each takes the results and returns a list of blocks.

A block without results is None, a table without rows, or a list without items; write.py omits such
blocks, and the headings of empty sections.
"""

from tinyembed.report import paper, rank_tables, tables
from tinyembed.report.access import KINDS, PREDICTORS, dig, entries, label
from tinyembed.report.beside import beside_sections
from tinyembed.report.blocks import Bullets, Heading, Paragraph, Picture, Table
from tinyembed.report.findings import summary
from tinyembed.report.method import cannot_hold_section, making_section, trust_section
from tinyembed.report.verdicts import verdicts
from tinyembed.report.words import number, rank_text, setting_text, share

TITLE = "Musical features by deep autoencoders: prediction and composers"
MOST_LISTED = 10  # files left out; results.json lists all of them


def summary_section(results):
    """The findings, before everything else."""
    data = dig(results, "corpus", "data")
    settings = dig(results, "settings") or {}
    about = [f"Corpus: {data}"] if data else []
    about += [f"width {settings['width']}"] if settings.get("width") else []
    if seeds := settings.get("seeds"):
        about.append(f"{'seeds' if len(seeds) > 1 else 'seed'} {setting_text(seeds)}")
    return [
        Heading(TITLE, 1),
        Paragraph(
            "The experiments of Bretan, Oore, Eck and Heck, Learning and Evaluating Musical "
            "Features with Deep Autoencoders (2017), section 5, on a different corpus. The paper's "
            "numbers are shown to compare the order of the models, not individual values."
            + (f" {'; '.join(about)}." if about else "")
        ),
        Heading("At a glance"),
        Table(
            ["What the paper found", "holds here", "evidence"],
            [[verdict.finding, verdict.holds, verdict.numbers] for verdict in verdicts(results)],
            "Each finding is a set of pairs of models and claims that the first of each pair is "
            "better. Yes: all pairs hold with both predictors. Partly: some pairs hold. "
            "Significant: by Wilcoxon's test on means by piece, after Bonferroni correction.",
        ),
        Picture("findings.png", "Median rank and accuracy of each model, here and in the paper"),
        Heading("Summary"),
        Bullets(summary(results) or ["No model has been evaluated yet."]),
        Heading("Warnings"),
        Bullets(results.get("warnings") or []),
    ]


def corpus_section(results):
    """The size of the corpus, leakage from training to test, and Table 1."""
    corpus = dig(results, "corpus")
    if not corpus:
        return []
    sizes = [
        f"{number(corpus[key], 0)} {what}"
        for key, what in (
            ("train_units", "training units in one key"),
            ("unique_train_units", "distinct training units in all twelve keys"),
            ("test_units", "test units"),
            ("test_sequences", "test sequences of eight units"),
        )
        if corpus.get(key) is not None
    ]
    sizes_text = f"{', '.join(sizes)}. " if sizes else ""
    candidates, left_out = corpus.get("candidates"), corpus.get("left_out") or []
    rest = len(left_out) - MOST_LISTED
    return [
        Heading("The corpus"),
        Paragraph(
            f"{sizes_text}The paper has {paper.UNITS:,} training units in all keys, "
            f"{paper.UNIQUE_UNITS:,} of them distinct, and {paper.TEST_SEQUENCES:,} test "
            "sequences."
        ),
        _leakage(corpus),
        Paragraph(
            f"There are fewer than 1,000 test units, so a target is ranked among {candidates} "
            "candidates. For that reason alone, these ranks are lower than the paper's."
        )
        if candidates and candidates < 1000
        else None,
        Bullets(corpus.get("notes") or []),
        tables.table_1(results),
        Heading("Files left out", 3),
        Bullets(
            [f"{entry['file']}: {entry['reason']}" for entry in left_out[:MOST_LISTED]]
            + ([f"and {rest} more, in results.json"] if rest > 0 else [])
        ),
    ]


def _leakage(corpus):
    """How much music is in both splits, or None if that is not known."""
    shared = corpus.get("pieces_in_both")
    if shared is None:
        return None
    pieces = {0: "no test piece shares half of its", 1: "1 test piece shares half of its"}
    text = (
        f"Leakage: {pieces.get(shared, f'{shared} test pieces share half of their')} units or more "
        "with a training piece"
    )
    text += ", so the numbers below are somewhat too optimistic." if shared else "."
    if corpus.get("test_units_in_training") is not None:
        text += (
            f" {number(corpus['test_units_in_training'], 0)} test units "
            f"({share(corpus.get('test_units_in_training_share'))}) also occur, note for note, in "
            "training pieces."
        )
    return Paragraph(text)


def last_unit_added(results):
    """A sentence with the weight of the last unit in each model's predictions."""
    names = {}
    for name, entry in entries(results):
        for weight in dict.fromkeys(entry.get("last_unit_weights") or ()):
            names.setdefault(weight, []).append(label(results, name))
    parts = [f"{rank_text(weight)} for {', '.join(names[weight])}" for weight in sorted(names)]
    several = ", one per seed" if len(dig(results, "settings", "seeds") or ()) > 1 else ""
    return f" The chosen weights{several}: {'; '.join(parts)}." if parts else ""


def prediction_section(results):
    """Tables and pictures of section 5.0.1."""
    table = rank_tables.table_2(results)
    if not table.rows:
        return []
    predictor, theirs = (dig(results, "settings", f"{who}predictor") for who in ("", "paper_"))
    return [
        Heading("Forward prediction"),
        Paragraph(
            "A stack of three LSTMs reads the embeddings of seven units and predicts the eighth. "
            "The true eighth is ranked by cosine among its candidates, which are of two kinds. "
            "Random units of the test pieces, as in the paper, mostly differ in key and texture. "
            "Units of the same piece are harder. They share no beat with the target or the seven, "
            "and are drawn with replacement because a piece has fewer than 999 of them."
        ),
        Paragraph(predictor + last_unit_added(results)) if predictor else None,
        table,
        Paragraph(f"The paper's own predictor: {theirs}") if theirs else None,
        rank_tables.table_2(results, "paper"),
        Picture("ranks.png", "Boxes of the ranks of each model, for both kinds of candidates",
            "Figure 3 for this corpus. Box: quartiles; whiskers: the outermost ranks within 1.5 "
            "interquartile ranges; outliers are not drawn."),
        Picture("beside_paper.png", "Median, spread and skew of each model, here and in the paper",
            "Random units: this run and the paper's Table 2, which was measured on other music."),
        Heading("Comparison with repeating the last unit", 3),
        rank_tables.repetition_table(results),
        Heading("Comparison between models", 3),
        Picture("significance.png", "Rank-biserial correlation of every pair of models",
            "Rank-biserial correlations. One star: Wilcoxon's test on sequences is significant "
            "after Bonferroni correction. Two stars: the test on means by piece is significant "
            "too."),
        *(rank_tables.pair_table(results, kind, who) for who in PREDICTORS for kind in KINDS),
        rank_tables.others_table(results),
        Heading("Spreads", 3),
        rank_tables.levene_table(results),
        Heading("Ranks in full", 3),
        *(rank_tables.rank_details(results, kind) for kind in KINDS),
    ]  # fmt: skip


def classification_section(results):
    """Tables and pictures of section 5.0.2."""
    table = tables.table_3(results)
    if not table.rows:
        return []
    return [
        Heading("Composer classification"),
        Paragraph(
            "A network of 50 hidden units predicts the composer from one embedding, which covers "
            "four beats of music. For a whole piece, the predicted composer is the one with the "
            "highest mean log-probability over its units."
        ),
        table,
        Picture("accuracy.png", "Accuracy of each model on units and on whole pieces"),
        tables.composer_table(results),
        Picture("confusion.png", "Confusion matrix of composers",
            "Each row adds up to 100 percent; shares under 9.5 percent are shaded but not "
            "labelled."),
    ]  # fmt: skip


SECTIONS = (
    summary_section,
    corpus_section,
    prediction_section,
    classification_section,
    beside_sections,
    trust_section,
    cannot_hold_section,
    making_section,
)
