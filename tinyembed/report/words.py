"""Numbers and settings as text."""

import math

from tinyembed.evaluation.significance import p_text
from tinyembed.report.access import dig

MISSING = "—"


def number(x, digits=2):
    """A number with separated thousands and a fixed count of decimals; a dash if missing."""
    if x is None or not math.isfinite(x):
        return MISSING
    text = f"{x:,.{digits}f}"
    return text.replace("-", "", 1) if float(text.replace(",", "")) == 0 else text  # no "-0.0"


def rank_text(x):
    """A rank, median or spread without trailing zeros: 6, 6.5 or 6.25."""
    text = number(x)
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval_text(limits, show=rank_text):
    """[low, high], or an empty string if it is missing."""
    return f" [{show(limits[0])}, {show(limits[1])}]" if limits else ""


def share(x):
    """A share in percent."""
    return MISSING if x is None else f"{100 * x:.1f}%"


def duration(seconds):
    """A duration in seconds, minutes or hours, by its size."""
    if seconds is None:
        return MISSING
    for size, unit in (3600, "h"), (60, "min"):
        if seconds >= 2 * size:
            return f"{number(seconds / size, 1)} {unit}"
    return f"{number(seconds, 1)} s"


def setting_text(value):
    """The text of a setting."""
    if value is None:
        return MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def p_or_dash(test, key="p_bonferroni"):
    """The p value of a test; a dash if missing."""
    p = dig(test, key)
    return MISSING if p is None else p_text(p)
