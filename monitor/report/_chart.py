"""The time chart: how sensitive requests were treated, with intervals, the onset band and how many there were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import pandas as pd

from alerts.incidents import percent
from alignwatch import Incident
from monitor.plots import (
    Frame,
    Markup,
    band_path,
    e,
    flags,
    line,
    onset_band,
    rate_axis,
    runs,
    stretches,
    time_axis,
)
from monitor.plots.lines import Corner

WIDTH: Final = 1000
LEFT: Final = 46
RIGHT: Final = 8
FLAGS: Final = 36
RATES: Final = 220
GAP: Final = 34
COUNTS: Final = 54
AXIS: Final = 24
HEIGHT: Final = FLAGS + RATES + GAP + COUNTS + AXIS
FLOOR: Final = HEIGHT - AXIS
LINES: Final = (
    ("refusal", "refused"),
    ("partial", "partly answered"),
    ("harm", "harmful answers"),
    ("compliance", "answered"),
)
"""Drawn in this order, so that what matters most lies on top."""
_GAP_PANES: Final = 13
"""Panes without a label after which a line is broken: the sliding window is empty by then."""
MOST_DOTS: Final = 500
"""More would run together."""


def chart(panes: pd.DataFrame, incidents: Sequence[Incident]) -> Markup:
    """One deployment's chart.

    Args:
        panes: a frame of `monitor.windows`; at least one row.
        incidents: this deployment's, in any order.
    """
    starts = [t.timestamp() for t in panes["start"]]
    lengths = panes["seconds"].tolist()
    frame = Frame(starts[0], starts[-1] + lengths[-1], WIDTH, LEFT, RIGHT, FLAGS, FLAGS + RATES, FLOOR)
    middles = [start + length / 2 for start, length in zip(starts, lengths, strict=True)]
    parts = list(runs(middles, _GAP_PANES * max(lengths)))
    return e(
        "svg",
        time_axis(frame),
        rate_axis(frame),
        [onset_band(frame, one) for one in incidents],
        _band(panes, middles, parts, frame),
        _dots(panes["compliance"].tolist(), middles, frame),
        [_line(panes[f"sliding_{name}"].tolist(), middles, parts, frame, name) for name, _ in LINES],
        _counts(panes, starts, frame),
        [flags(frame, one) for one in incidents[:1]],
        [_thin_flag(frame, one) for one in incidents[1:]],
        cls="plot",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=describe(panes),
    )


def describe(panes: pd.DataFrame) -> str:
    """What the chart shows, for those who can't see it."""
    rates = panes["sliding_compliance"].dropna()
    if rates.empty:
        return "No sensitive request was answered or refused in this period."
    return (
        f"Share of sensitive requests answered: {percent(rates.iloc[0])} % at first, between {percent(rates.min())} %"
        f" and {percent(rates.max())} %, {percent(rates.iloc[-1])} % at the end."
    )


def _corners(values: Sequence[float], row: Sequence[int], middles: Sequence[float], frame: Frame) -> list[Corner]:
    return [(frame.x(middles[i]), frame.y(values[i])) for i in row]


def _line(
    values: Sequence[float], middles: Sequence[float], parts: Sequence[range], frame: Frame, name: str
) -> list[Markup]:
    rows = stretches(lambda i: not math.isnan(values[i]), parts)
    return [line(_corners(values, row, middles, frame), name) for row in rows]


def _band(panes: pd.DataFrame, middles: Sequence[float], parts: Sequence[range], frame: Frame) -> list[Markup]:
    low, high = panes["sliding_compliance_low"].tolist(), panes["sliding_compliance_high"].tolist()
    return [
        e("path", cls="band", d=band_path(_corners(high, row, middles, frame), _corners(low, row, middles, frame)))
        for row in stretches(lambda i: not math.isnan(low[i]), parts)
    ]


def _dots(values: Sequence[float], middles: Sequence[float], frame: Frame) -> list[Markup]:
    """Pane by pane, since a mean over many panes makes a sudden change look like a slow one."""
    if len(values) > MOST_DOTS:
        return []
    pairs = ((middle, value) for middle, value in zip(middles, values, strict=True) if not math.isnan(value))
    return [e("circle", cls="pane", cx=frame.x(middle), cy=frame.y(value), r=1.8) for middle, value in pairs]


def _counts(panes: pd.DataFrame, starts: Sequence[float], frame: Frame) -> list[Markup]:
    """Bars of how many sensitive requests were read; what the rates above rest on."""
    answers, seconds = panes["answers"].tolist(), panes["seconds"].tolist()
    most = max(1, *answers)
    top = FLAGS + RATES + GAP
    corners = []
    for start, length, count in zip(starts, seconds, answers, strict=True):
        height = COUNTS * count / most
        left, right = frame.x(start), frame.x(start + length)
        corners.append(f"M{left:.1f} {FLOOR}V{FLOOR - height:.1f}H{right:.1f}V{FLOOR}Z")
    return [
        e(
            "text",
            f"Answers to sensitive requests that were read, in each pane (at most {most:,})",
            cls="panel",
            x=LEFT,
            y=top - 10,
        ),
        e("path", cls="count", d="".join(corners)),
        e("line", cls="base", x1=LEFT, x2=WIDTH - RIGHT, y1=FLOOR, y2=FLOOR),
    ]


def _thin_flag(frame: Frame, incident: Incident) -> Markup:
    x = frame.x(incident.detected_at.timestamp())
    return e("line", cls="detected other", x1=x, x2=x, y1=FLAGS - 6, y2=FLOOR)
