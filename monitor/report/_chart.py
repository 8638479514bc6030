"""The time chart: how sensitive requests were treated, with intervals, the onset band and how many there were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pandas as pd

from alerts.incidents import percent
from alignwatch import Incident
from monitor.report._markup import Markup, e
from monitor.report._words import moment

WIDTH: Final = 1000
LEFT: Final = 46
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
_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200, 129600)
_WANTED_TICKS: Final = 8
_GAP_PANES: Final = 13
"""Panes without a label after which a line is broken: the sliding window is empty by then."""
_DAY: Final = 86400.0
MOST_DOTS: Final = 500
"""More would run together."""


class Marks(NamedTuple):
    """What an incident adds to the chart, in epoch seconds."""

    low: float | None
    estimate: float | None
    high: float | None
    detected: float


@dataclass(frozen=True)
class Frame:
    """Time and rate to pixels."""

    start: float
    end: float

    def x(self, t: float) -> float:
        """Pixels of a time, kept inside the plot."""
        inside = min(max(t, self.start), self.end)
        return LEFT + (inside - self.start) / (self.end - self.start or 1.0) * (WIDTH - LEFT - 8)

    def y(self, rate: float) -> float:
        """Pixels of a rate."""
        return FLAGS + RATES * (1.0 - rate)


def chart(panes: pd.DataFrame, incidents: Sequence[Incident]) -> Markup:
    """One deployment's chart.

    Args:
        panes: a frame of `monitor.windows`; at least one row.
        incidents: this deployment's, in any order.
    """
    starts = [t.timestamp() for t in panes["start"]]
    lengths = panes["seconds"].tolist()
    frame = Frame(starts[0], starts[-1] + lengths[-1])
    middles = [start + length / 2 for start, length in zip(starts, lengths, strict=True)]
    runs = list(_runs(middles, max(lengths)))
    return e(
        "svg",
        _time_axis(frame),
        _rate_axis(frame),
        [_onset_band(frame, marks(one)) for one in incidents],
        _band(panes, middles, runs, frame),
        _dots(panes["compliance"].tolist(), middles, frame),
        [_line(panes[f"sliding_{name}"].tolist(), middles, runs, frame, name) for name, _ in LINES],
        _counts(panes, starts, frame),
        [_flags(frame, marks(one), row) for row, one in enumerate(incidents[:1])],
        [_thin_flag(frame, marks(one)) for one in incidents[1:]],
        cls="plot",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=describe(panes),
    )


def marks(incident: Incident) -> Marks:
    """The incident's times."""
    onset = incident.onset
    if onset is None:
        return Marks(None, None, None, incident.detected_at.timestamp())
    return Marks(
        onset.low.timestamp(), onset.estimate.timestamp(), onset.high.timestamp(), incident.detected_at.timestamp()
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


def _runs(middles: Sequence[float], seconds: float) -> Iterator[range]:
    begin = 0
    for i in range(1, len(middles)):
        if middles[i] - middles[i - 1] > _GAP_PANES * seconds:
            yield range(begin, i)
            begin = i
    yield range(begin, len(middles))


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(corners))


def _stretches(values: Sequence[float], runs: Sequence[range]) -> Iterator[list[int]]:
    """Indices in a row that have a value."""
    for run in runs:
        part: list[int] = []
        for i in run:
            if math.isnan(values[i]):
                if part:
                    yield part
                part = []
            else:
                part.append(i)
        if part:
            yield part


def _line(
    values: Sequence[float], middles: Sequence[float], runs: Sequence[range], frame: Frame, name: str
) -> list[Markup]:
    drawn = []
    for part in _stretches(values, runs):
        corners = [(frame.x(middles[i]), frame.y(values[i])) for i in part]
        if len(corners) == 1:
            drawn.append(e("circle", cls=f"{name} dot", cx=corners[0][0], cy=corners[0][1], r=2.5))
        else:
            drawn.append(e("path", cls=name, d=_path(corners)))
    return drawn


def _band(panes: pd.DataFrame, middles: Sequence[float], runs: Sequence[range], frame: Frame) -> list[Markup]:
    low, high = panes["sliding_compliance_low"].tolist(), panes["sliding_compliance_high"].tolist()
    bands = []
    for part in _stretches(low, runs):
        upper = [(frame.x(middles[i]), frame.y(high[i])) for i in part]
        lower = [(frame.x(middles[i]), frame.y(low[i])) for i in reversed(part)]
        bands.append(e("path", cls="band", d=_path(upper + lower) + "Z"))
    return bands


def _dots(values: Sequence[float], middles: Sequence[float], frame: Frame) -> list[Markup]:
    """Pane by pane, since a mean over many panes makes a sudden change look like a slow one."""
    if len(values) > MOST_DOTS:
        return []
    pairs = ((middle, value) for middle, value in zip(middles, values, strict=True) if not math.isnan(value))
    return [e("circle", cls="pane", cx=frame.x(middle), cy=frame.y(value), r=1.8) for middle, value in pairs]


def _rate_axis(frame: Frame) -> list[Markup]:
    marks_ = []
    for quarter in range(5):
        rate = quarter / 4
        at = frame.y(rate)
        marks_ += [
            e("line", cls="grid" if quarter else "base", x1=LEFT, x2=WIDTH - 8, y1=at, y2=at),
            e("text", f"{rate:.0%}", cls="tick", x=LEFT - 6, y=at + 4, text_anchor="end"),
        ]
    return marks_


def _time_axis(frame: Frame) -> list[Markup]:
    span = frame.end - frame.start
    step = 60.0 * next((m for m in _MINUTES if span / (60 * m) <= _WANTED_TICKS), _MINUTES[-1])
    label: Callable[[float], str] = (lambda t: moment(t)[:10]) if step >= _DAY else _hour
    drawn = []
    t = math.ceil(frame.start / step) * step
    while t <= frame.end:
        at = frame.x(t)
        drawn += [
            e("line", cls="grid", x1=at, x2=at, y1=FLAGS, y2=FLOOR),
            e("text", label(t), cls="tick", x=min(max(at, LEFT + 16), WIDTH - 30), y=FLOOR + 17, text_anchor="middle"),
        ]
        t += step
    return drawn


def _hour(t: float) -> str:
    return moment(t)[:10] if t % _DAY == 0 else moment(t)[11:16]


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
        e("line", cls="base", x1=LEFT, x2=WIDTH - 8, y1=FLOOR, y2=FLOOR),
    ]


def _onset_band(frame: Frame, at: Marks) -> list[Markup]:
    if at.low is None or at.high is None:
        return []
    left, right = frame.x(at.low), frame.x(at.high)
    return [e("rect", cls="onset", x=left, y=FLAGS - 6, width=max(2.0, right - left), height=FLOOR - FLAGS + 6)]


def _flags(frame: Frame, at: Marks, row: int) -> list[Markup]:
    named = [] if at.estimate is None else [(at.estimate, f"began about {moment(at.estimate)[11:16]}", "began")]
    named.append((at.detected, f"detected {moment(at.detected)[11:16]}", "detected"))
    drawn = []
    for i, (t, text, cls) in enumerate(named):
        x, y = frame.x(t), 12 + 16 * (row + i)
        end = x + 7 * len(text) > WIDTH
        drawn.append(e("line", cls=cls, x1=x, x2=x, y1=y - 8, y2=FLOOR))
        anchor = "end" if end else "start"
        drawn.append(e("text", text, cls="label", x=x + (-5 if end else 5), y=y, text_anchor=anchor))
    # Texts last: a line of one flag must not run through the words of the other.
    return sorted(drawn, key=lambda one: one.startswith("<text"))


def _thin_flag(frame: Frame, at: Marks) -> Markup:
    x = frame.x(at.detected)
    return e("line", cls="detected other", x1=x, x2=x, y1=FLAGS - 6, y2=FLOOR)
