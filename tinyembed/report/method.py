"""The report's sections about method: how far to trust the numbers, and how they were made.

Each takes the results and returns a list of blocks, as in sections.py.
"""

from tinyembed.report import paper, tables
from tinyembed.report.access import dig, entries, models_of
from tinyembed.report.blocks import Bullets, Code, Heading, Paragraph, Table
from tinyembed.report.words import duration, setting_text


def trust_section(results):
    """What the intervals and the tests say, and what they do not say."""
    if not models_of(results):
        return []
    seeds = dig(results, "settings", "seeds") or []
    if len(seeds) > 1:
        about_seeds = (
            f"Ranks and predictions of {len(seeds)} seeds ({setting_text(seeds)}) are pooled: each "
            "seed trains every network anew and ranks the same targets. Intervals resample both, "
            "seeds and pieces; tests by piece resample pieces only."
        )
    else:
        about_seeds = (
            "One seed compares trained networks, not methods: with another seed the same method "
            "gives another network, and tests on many sequences say nothing about how far apart "
            "those would be. --seeds 3 trains and pools three."
        )
    return [
        Heading("How far to trust this"),
        Bullets(
            [
                about_seeds,
                "Sequences of one piece are not independent: they overlap and share a style. "
                "Intervals are therefore resampled by piece (2,000 times), and the paired tests "
                "are repeated on one mean a piece; where the two disagree, believe those by piece.",
                "With this many sequences nearly every difference is significant; the effect sizes "
                "say whether it matters.",
            ]
        ),
    ]


def cannot_hold_section(_):
    """Contradictions among the paper's own numbers."""
    rows = [
        [entry["claim"], entry["finding"], "cannot hold" if entry["certain"] else "unexplained"]
        for entry in paper.impossibilities()
    ]
    table = Table(["The paper", "By computation", ""], rows)
    return [Heading("What in the paper cannot hold"), table]


def making_section(results):
    """The commands, settings and times."""
    settings = dig(results, "settings") or {}
    facts = [
        f"{key}: {setting_text(results[key])}"
        for key in ("created", "version", "device", "machine")
        if results.get(key)
    ]
    if results.get("seconds") is not None:
        facts.append(f"time in all: {duration(results['seconds'])}")
    facts += [
        f"{key.replace('_', ' ')}: {setting_text(value)}"
        for key, value in settings.items()
        if key != "predictor"  # which has a paragraph in the section on prediction
    ]
    commands = {
        command: None  # a dict keeps their order and has each once
        for _, entry in entries(results)
        for command in (dig(entry, "commands") or {}).values()
    }
    blocks = [Heading("How it was made")]
    if command := results.get("command"):
        blocks += [Paragraph("All numbers of this report, by one command:"), Code(command)]
    blocks.append(Bullets(facts))
    if commands:
        blocks += [Paragraph("One by one, by the commands:"), Code("\n".join(commands))]
    return [*blocks, tables.time_table(results)]
