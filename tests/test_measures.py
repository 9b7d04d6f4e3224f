"""Bars that drift apart are put back; bars that agree are left alone. No music21 is needed here."""

from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyembed.errors import MusicError
from tinyembed.music.measures import Bar, align


def part(*bars, meter=4, first=1):
    """A part as a reader adds it up. bars: (length, sounding) of each, or one number for both."""
    made, now = [], Fraction(0)
    for number, bar in enumerate(bars, first):
        length, sounding = bar if isinstance(bar, tuple) else (bar, bar)
        full = Fraction(meter) if meter else None
        made.append(Bar((number, ""), now, Fraction(length), Fraction(sounding), full))
        now += Fraction(length)
    return made


def rest(length=4):
    return (length, 0)


KINDS = {
    "short bar": ([part(4, 3, 4), part(4, 4, 4)], [0, 4, 8]),
    "long rest": ([part(4, 4, 4), part(rest(8), 4, 4)], [0, 4, 8]),
    "long rest after a note": ([part(4, 4, 4), part((8, 4), 4, 4)], [0, 4, 8]),
    "nothing but rests": ([part(4, rest(), 4), part(4, rest(6), 4)], [0, 4, 8]),
    "pickup in one part only": ([part(1, 4, 4), part(rest(), 4, 4)], [0, 1, 5]),
    "pickup and an empty bar": ([part(1, 4, 4), part(rest(0), 4, 4)], [0, 1, 5]),
    "bar split by a repeat": ([part(4, 3, 1, 4), part(4, rest(), rest(), 4)], [0, 4, 7, 8]),
    "short bar under rests": ([part(4, 3, 4, 4), part(4, rest(), 4, 4)], [0, 4, 8, 12]),
    "all short, not equally": ([part(4, 2, 4), part(4, 3, 4)], [0, 4, 7]),
    "wrong dot": ([part(4, 4.25, 4), part(4, 4, 4)], [0, 4, 8]),
    "cadenza over rests": ([part(4, 19.5, 4), part(4, rest(), 4)], [0, 4, 23.5]),
    "short cadenza": ([part(4, 4.5, 4), part(4, rest(), 4)], [0, 4, 8.5]),
    "cadenza over a chord": ([part(4, 20, 4), part(4, 4, 4)], [0, 4, 24]),
    "no time signature": ([part(3, 3, 3, meter=3), part(rest(), 3, 3, meter=None)], [0, 3, 6]),
    "old signature, short": ([part(3, 2, 3, meter=3), part(3, rest(), 3, meter=4)], [0, 3, 6]),
    "old time signature": ([part(3, 3, 3, meter=3), part(rest(), 3, 3, meter=4)], [0, 3, 6]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_drift(kind):
    parts, expected = KINDS[kind]
    for order in (parts, parts[::-1]):
        assert align(order) == [expected, expected]


def test_numbers_tell_which_bars_belong_together():
    late = part(4, 4, first=3)  # a part that has no bars 1 and 2
    assert align([part(4, 4, 4, 4), late]) == [[0, 4, 8, 12], [8, 12]]
    pickup = part(1, 4, 4, first=0)
    assert align([pickup, part(4, 4)]) == [[0, 1, 5], [1, 5]]
    assert align([part(4, 3, 4), part(4, 4, 4, first=0)]) == [[0, 4, 8]] * 2  # by their order
    assert align(
        [[replace(bar, name=(7, "")) for bar in part(4, *more)] for more in ([4, 4], [3])]
    ) == [
        [0, 4, 8],
        [0, 4],
    ]
    twice = [replace(bar, name=(7, "")) for bar in part(4, 3, 4)]  # as in two endings
    assert align([twice, [replace(bar, name=(7, "")) for bar in part(4, 4, 4)]]) == [[0, 4, 8]] * 2


def test_parts_that_cannot_be_reconciled():
    with pytest.raises(MusicError, match=r"different measures \(2 and 3\)"):
        align([part(4, 4, first=8), part(4, 4, 4)])
    with pytest.raises(MusicError, match="measure 1 has different lengths in different parts"):
        align([part(3, 3, 3, 3, meter=3), part(4, 4, 4, 4)])


def test_different_meters_with_common_points_are_left_alone():
    three, two = part(3, 3, 3, 3, meter=3), part(2, 2, 2, 2, 2, 2, meter=2)
    assert align([three, two]) == [[0, 3, 6, 9], [0, 2, 4, 6, 8, 10]]


def test_nothing_to_align():
    assert align([]) == []
    assert align([part(4)]) == [[0]]


def test_what_sticks_out_of_a_bar_in_all_parts():
    """A crescendo whose end is written late makes a reader's bar longer than all that sounds."""
    bars = part(4, 4, 4)
    bars[2] = replace(bars[2], start=Fraction(10))
    assert align([bars, bars]) == [[0, 4, 8]] * 2
    assert align([bars]) == [[0, 4, 8]]


@given(st.data())
def test_bars_that_agree_stay(data):
    n = data.draw(st.integers(1, 8), "bars")
    lengths = st.lists(st.fractions(0, 6, max_denominator=12), min_size=n, max_size=n)
    parts = [data.draw(lengths) for _ in range(data.draw(st.integers(1, 4), "parts"))]
    meter = Fraction(data.draw(st.integers(2, 4), "meter"))
    together = list(accumulate(map(max, zip(*parts, strict=True)), initial=Fraction(0)))
    bars = [
        [
            Bar((i, ""), start, length, data.draw(st.sampled_from([length, Fraction(0)])), meter)
            for i, (start, length) in enumerate(zip(together, one, strict=False))
        ]
        for one in parts
    ]
    assert align(bars) == [together[:-1]] * len(parts)


@st.composite
def drifting(draw):
    """Parts that drift, and where their bars really begin.

    In each bar one part, drawn anew, plays as long as the bar is. The others may lack notes, have
    too long rests, or something that sticks out. Bars are full, or short as a pickup or as the two
    halves of a split bar.
    """
    n_parts = draw(st.integers(2, 4))
    true, parts = [Fraction(0)], [[] for _ in range(n_parts)]
    now, number = [Fraction(0)] * n_parts, 0
    quarters = st.fractions(Fraction(1, 24), 3, max_denominator=24)
    lengths = draw(st.sampled_from([[], [Fraction(1, 2)]]))  # a pickup
    meter = Fraction(draw(st.integers(2, 4)))
    for _ in range(draw(st.integers(1, 6))):
        first = draw(st.sampled_from([meter, meter, meter / 2, meter - Fraction(1, 2)]))
        lengths += [first] if first == meter else [first, meter - first]
    for length in lengths:
        right = draw(st.integers(0, n_parts - 1))
        for p in range(n_parts):
            own = sounding = length
            extra = Fraction(0)
            if p != right:
                kinds = ["right", "rest", "sticks out"]
                kinds += ["short", "long rest"] if length == meter else []
                match draw(st.sampled_from(kinds)):
                    case "rest":
                        own, sounding = meter + draw(st.sampled_from([0, meter])), Fraction(0)
                    case "short":
                        own = sounding = length * draw(
                            st.sampled_from([Fraction(1, 3), Fraction(3, 4)])
                        )
                    case "long rest":
                        own, sounding = length + draw(quarters), length / 2
                    case "sticks out":
                        extra = meter + draw(quarters)
            parts[p].append(Bar((number, ""), now[p], own, sounding, meter))
            now[p] += own + extra
        number += 1
        true.append(true[-1] + length)
    return parts, true[:-1]


@given(drifting())
def test_any_drift_is_undone(drawn):
    parts, expected = drawn
    assert align(parts) == [expected] * len(parts)
    again = [
        [replace(bar, start=start) for bar, start in zip(part, expected, strict=True)]
        for part in parts
    ]
    assert align(again) == [expected] * len(parts)
