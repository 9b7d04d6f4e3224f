"""The tables of `python -m benchmarks.pieces`, in Markdown, from the contents of pieces.json."""

from tinyembed.evaluation.significance import p_text

PUBLISHED = (  # source, data, composers, of what, accuracy
    ("Kong, Choi and Wang 2020 (arXiv 2010.14805)", "GiantMIDI-Piano", 10, "pieces", 0.739),
    ("the same", "GiantMIDI-Piano", 10, "clips of 30 seconds", 0.648),
    ("the same", "GiantMIDI-Piano", 100, "pieces", 0.489),
    ("Verma and Thickstun 2019 (arXiv 1911.11737)", "KernScores, 2,500 scores", 19, "pieces", 0.80),
)


def report(result):
    """The tables for people, in Markdown."""
    about, seconds = result["corpus"], result["embedding_seconds"]
    works, unknown = about["works"], about["unknown"]
    lines = [
        "| weights | method | folds by work | compared with voting | folds by cycle "
        f"| {about['test_pieces']} test pieces | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        *(table_row(row) for row in result["rows"]),
        "",
        f"Accuracy, with its 95% interval resampled by work, of {about['training_pieces']} training"
        f" pieces by {about['composers']} composers ({works['works']} works; with cycles as one "
        f"work, {works['cycles']}). Against voting: pieces recognized by this method only, by "
        "voting only, and the p of McNemar's exact test. Seconds: the five folds of the first "
        "column. Seconds of embedding all pieces: "
        f"{', '.join(f'{name} {taken:.1f}' for name, taken in seconds.items())}.",
        f"No piece of the composer is among those learned from for {unknown['works']} pieces "
        f"({unknown['cycles']} with cycles undivided). Of {about['test_pieces_of_trained_works']} "
        "test pieces another part of the same work is among the training pieces.",
        "The weights of the package were trained on many of the training pieces, contrastive and "
        "regularized with the composers as labels, so their accuracy in folds is optimistic. "
        "Those of context were trained on the notes of these pieces, without labels.",
        "",
        *(
            f"{found['method']}, {found['first']} against {found['second']}: {versus(found)}"
            for found in result["between_weights"]
        ),
        "",
    ]
    for source, data, n, what, accuracy in PUBLISHED:
        lines.append(f"{source}: {accuracy:.3f} of {what}, {n} composers, {data}")
    return "\n".join([*lines, "", *mistakes(result), "", *by_composer(result)])


def table_row(row):
    first = row["works"]
    cells = [row["weights"] or "none", row["method"], cell(first), against(first)]
    cells += [cell(row[kind]) if kind in row else "" for kind in ("cycles", "test")]
    return f"| {' | '.join([*cells, format(first['seconds'], '.1f')])} |"


def cell(scores):
    low, high = scores["interval"]
    return f"{scores['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def against(scores):
    return versus(scores["against_voting"]) if "against_voting" in scores else ""


def versus(found):
    return f"{found['won']} : {found['lost']}, p {p_text(found['p'])}"


def mistakes(result):
    """The most common mistakes of the methods that use counts, in folds that divide no work."""
    for row in result["rows"]:
        if found := row["works"].get("mistakes"):
            pairs = (f"{m['composer']} as {m['taken_for']} {m['pieces']}" for m in found)
            yield f"{row['method']}, {row['weights'] or 'no weights'}: {'; '.join(pairs)}"


def by_composer(result):
    """Precision and recall in the same folds, from embeddings and counts both."""
    rows = [row for row in result["rows"] if row["method"] == "both"]
    heads = [f"{row['weights']}: {score}" for row in rows for score in ("precision", "recall")]
    yield f"| composer | pieces | {' | '.join(heads)} |"
    yield "| --- |" + " ---: |" * (1 + len(heads))
    for name, (_, _, support) in rows[0]["works"]["per_composer"].items():
        scores = [x for row in rows for x in row["works"]["per_composer"][name][:2]]
        yield f"| {name} | {support} | {' | '.join(f'{x:.2f}' for x in scores)} |"
