"""What a GPU of the H100's kind is to reach, and whether it was reached."""

PASS_SECONDS = 40


def targets(result):
    """[{"what", "to_reach", "found", "verdict"}] of a result so far.

    found: None, and the verdict "not measured", where the part is missing.
    """
    rows = []
    for tf32 in (True, False):
        step = _step(result, tf32)
        kind = "TF32" if tf32 else "FP32"
        for what, least, to_reach in (
            ("torch eager", 3, "3 times as fast or more"),
            ("torch graph", 1, "as fast or faster"),
        ):
            found = step.get("times_faster_than", {}).get(what, {}).get("ratio")
            reached = found is not None and found >= least
            said = None if found is None else f"{found:.2f} times as fast"
            name = f"step, paper width, batch 100, {kind}, beside {what}"
            rows.append(_row(name, to_reach, said, reached))
    passes = [entry for entry in result.get("passes", []) if entry["width"] == "paper"]
    seconds = passes[0]["seconds"] if passes else None
    said = None if seconds is None else f"{seconds:.1f} s"
    reached = seconds is not None and seconds < PASS_SECONDS
    rows.append(_row("4 million units, paper width", f"under {PASS_SECONDS} s", said, reached))
    return rows


def _step(result, tf32):
    wanted = {"width": "paper", "batch_size": 100, "tf32": tf32}
    for entry in result.get("steps", []):
        if wanted.items() <= entry.items():
            return entry
    return {}


def _row(what, to_reach, found, reached):
    verdict = "not measured" if found is None else "met" if reached else "missed"
    return {"what": what, "to_reach": to_reach, "found": found, "verdict": verdict}


def lines_of_targets(rows):
    """The same as lines of text."""
    yield f"\n{'':58}{'to reach':26}{'found':22}"
    for row in rows:
        found = row["found"] or "-"
        yield f"{row['what']:58}{row['to_reach']:26}{found:22}{row['verdict']}"
