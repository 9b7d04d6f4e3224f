"""The report's sections about method: how reliable the numbers are, and how they were made.

Each takes the results and returns a list of blocks, as in sections.py.
"""

from tinyembed.report import paper, tables
from tinyembed.report.access import dig, entries, models_of
from tinyembed.report.blocks import Bullets, Code, Heading, Paragraph, Table
from tinyembed.report.words import duration, setting_text


def trust_section(results):
    """What the intervals and the tests show, and what they do not show."""
    if not models_of(results):
        return []
    seeds = dig(results, "settings", "seeds") or []
    if len(seeds) > 1:
        about_seeds = (
            f"Ranks and predictions of {len(seeds)} seeds ({setting_text(seeds)}) are pooled: with "
            "each seed, every network is trained again and ranks the same targets. Intervals "
            "resample both seeds and pieces; tests by piece resample pieces only."
        )
    else:
        about_seeds = (
            "With one seed, this report compares trained networks, not methods. The same method "
            "gives a different network with another seed, and tests on many sequences say nothing "
            "about how much those networks would differ. --seeds 3 trains and pools three seeds."
        )
    return [
        Heading("How reliable these numbers are"),
        Bullets(
            [
                about_seeds,
                "Sequences of one piece are not independent: they overlap and share a style. "
                "Intervals are therefore resampled by piece (2,000 times), and the paired tests "
                "are repeated on one mean per piece. Where the two tests disagree, rely on the one "
                "by piece.",
                "With this many sequences, nearly every difference is significant; the effect "
                "sizes show whether it matters.",
            ]
        ),
    ]


def cannot_hold_section(_):
    """Contradictions among the paper's own numbers."""
    rows = [
        [entry["claim"], entry["finding"], "impossible" if entry["certain"] else "unexplained"]
        for entry in paper.impossibilities()
    ]
    table = Table(["The paper", "What arithmetic gives", ""], rows)
    return [Heading("Contradictions in the paper"), table]


def making_section(results):
    """The commands, settings and times."""
    settings = dig(results, "settings") or {}
    facts = [
        f"{key}: {setting_text(results[key])}"
        for key in ("created", "version", "device", "machine")
        if results.get(key)
    ]
    if results.get("seconds") is not None:
        facts.append(f"total time: {duration(results['seconds'])}")
    facts += [
        f"{key.replace('_', ' ')}: {setting_text(value)}"
        for key, value in settings.items()
        if key != "predictor"  # which has a paragraph in the section on prediction
    ]
    commands = {
        command: None  # a dict keeps the order and drops repeats
        for _, entry in entries(results)
        for command in (dig(entry, "commands") or {}).values()
    }
    blocks = [Heading("How it was made")]
    if command := results.get("command"):
        what = "these two experiments" if results.get("earlier") else "this report"
        blocks += [Paragraph(f"One command makes all numbers of {what}:"), Code(command)]
    blocks.append(Bullets(facts))
    if commands:
        blocks += [Paragraph("These commands make them one by one:"), Code("\n".join(commands))]
    return [*blocks, tables.time_table(results)]
