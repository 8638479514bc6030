"""The page's chart: how sensitive requests were treated, and the evidence that this has changed, on one time axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alignwatch import Incident
from monitor.plots import (
    Frame,
    Markup,
    band_path,
    e,
    flags,
    key,
    line,
    onset_band,
    path,
    rate_axis,
    stretches,
    time_axis,
)  # fmt: skip
from monitor.status import PanePoint
from monitor.words import UNKNOWN, age, clock, percent, plural, times, utc

WIDTHS: Final = (("wide", 1038), ("middle", 700), ("narrow", 330))
"""Drawn once for each kind of screen, so that letters keep their size; the style sheet shows the one that fits."""
LEFT: Final = 44
RIGHT: Final = 2
FLAGS: Final = 36
RATES: Final = 190
GAP: Final = 34
EVIDENCE: Final = 84
AXIS: Final = 24
HEIGHT: Final = FLAGS + RATES + GAP + EVIDENCE + AXIS
FLOOR: Final = HEIGHT - AXIS
DECADES: Final = 4.0
"""Powers of ten below the alarm level that are shown; lower, a detector merely idles."""
WANTED_PER_POINT: Final = 20
PIXELS_PER_POINT: Final = 6
FEWEST_POINTS: Final = 12
MOST_MERGED: Final = 24
"""However few requests there are, at least so many points are left."""
TABLE_ROWS: Final = 24


@dataclass(frozen=True)
class Point:
    """Panes in a row, merged; times in epoch seconds."""

    start: float
    end: float
    sensitive: int
    compliance: float | None
    refusal: float | None
    evidence: float | None

    @property
    def middle(self) -> float:
        """Where the point is drawn."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class Chart:
    """The chart for every width, with what it says in words and in numbers."""

    says: str
    plots: list[tuple[str, Markup]]
    legend: list[tuple[Markup, str]]
    each: str
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Subject:
    """What is drawn."""

    panes: Sequence[PanePoint]
    baseline: float | None
    threshold: float
    """log10 of the alarm level of the pooled stream."""
    incident: Incident | None
    now: datetime


def draw(subject: Subject) -> Chart | None:
    """None where nothing has been labelled."""
    if not any(pane.labelled for pane in subject.panes):
        return None
    wide = points(subject.panes, WIDTHS[0][1])
    says = _describe(wide, subject)
    return Chart(
        says=says,
        plots=[(name, _plot(points(subject.panes, width), width, subject, says)) for name, width in WIDTHS],
        legend=_legend(subject),
        each=age(wide[0].end - wide[0].start),
        rows=[_numbers(one, subject) for one in points(subject.panes, LEFT + TABLE_ROWS * PIXELS_PER_POINT)],
    )


def points(panes: Sequence[PanePoint], width: float) -> list[Point]:
    """Panes merged so that a point holds enough requests to mean something and points do not crowd."""
    if not panes:
        return []
    mean = sum(pane.sensitive for pane in panes) / len(panes)
    for_noise = min(math.ceil(len(panes) / MOST_MERGED), math.ceil(WANTED_PER_POINT / max(mean, 0.1)))
    for_room = math.ceil(len(panes) / max(FEWEST_POINTS, (width - LEFT) / PIXELS_PER_POINT))
    merge = max(1, for_noise, for_room)
    groups: dict[int, list[PanePoint]] = {}
    for pane in panes:
        # Groups are aligned to the clock, not to the first pane kept: points stand still as time goes by.
        groups.setdefault(math.floor(pane.start.timestamp() / pane.seconds / merge), []).append(pane)
    return [_point(group) for group in groups.values()]


def _point(group: Sequence[PanePoint]) -> Point:
    evidence = [pane.evidence_log10 for pane in group if pane.evidence_log10 is not None]
    return Point(
        start=group[0].start.timestamp(),
        end=group[-1].start.timestamp() + group[-1].seconds,
        sensitive=sum(pane.sensitive for pane in group),
        compliance=_mean([(pane.compliance, pane.sensitive) for pane in group]),
        refusal=_mean([(pane.refusal, pane.sensitive) for pane in group]),
        evidence=max(evidence, default=None),
    )


def _mean(pairs: Sequence[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _plot(data: Sequence[Point], width: int, subject: Subject, says: str) -> Markup:
    frame = Frame(data[0].start, data[-1].end, width, LEFT, RIGHT, FLAGS, FLAGS + RATES, FLOOR)
    incident, baseline = subject.incident, subject.baseline
    unchanged = []
    if baseline is not None:
        unchanged = [*_band(data, baseline, frame), _level(frame, frame.y(baseline), "baseline")]
    return e(
        "svg",
        time_axis(frame),
        rate_axis(frame),
        onset_band(frame, incident) if incident is not None else None,
        unchanged,
        _rates(data, [one.refusal for one in data], frame, "refusal"),
        _rates(data, [one.compliance for one in data], frame, "compliance"),
        _evidence(data, subject.threshold, frame),
        flags(frame, incident) if incident is not None else None,
        e("g", [_hit(one, frame, subject.now) for one in data], cls="hits"),
        cls="plot",
        viewBox=f"0 0 {width} {HEIGHT}",
        role="img",
        aria_label=says,
    )


def _rates(data: Sequence[Point], values: Sequence[float | None], frame: Frame, name: str) -> list[Markup]:
    rows = stretches(lambda i: values[i] is not None, [range(len(data))])
    return [line([(frame.x(data[i].middle), frame.y(values[i] or 0.0)) for i in row], name) for row in rows]


def _level(frame: Frame, y: float, name: str) -> Markup:
    return e("line", cls=name, x1=LEFT, x2=frame.width - RIGHT, y1=y, y2=y)


def _band(data: Sequence[Point], rate: float, frame: Frame) -> list[Markup]:
    """Where 95 of 100 points would lie had nothing changed, given how many requests each holds."""
    drawn = []
    for row in stretches(lambda i: data[i].sensitive > 0, [range(len(data))]):
        upper, lower = [], []
        for i in row:
            spread = 1.96 * math.sqrt(rate * (1.0 - rate) / data[i].sensitive)
            for t in (data[i].start, data[i].end):
                upper.append((frame.x(t), frame.y(min(1.0, rate + spread))))
                lower.append((frame.x(t), frame.y(max(0.0, rate - spread))))
        drawn.append(e("path", cls="band", d=band_path(upper, lower)))
    return drawn


def _evidence(data: Sequence[Point], threshold: float, frame: Frame) -> list[Markup]:
    top = FLAGS + RATES + GAP
    none = threshold - DECADES
    highest = max(threshold, *(none if one.evidence is None else one.evidence for one in data))
    # Evidence soon dwarfs its alarm level; cut off well above it, or the level itself could no longer be read.
    limit = min(threshold + 2 * DECADES, max(threshold + DECADES / 4, highest + (highest - none) / 10))

    def y(value: float) -> float:
        return top + EVIDENCE * (1.0 - max(0.0, min(limit, value) - none) / (limit - none))

    drawn = [e("text", "Evidence of a change", cls="panel", x=LEFT, y=top - 10), _level(frame, y(none), "base")]
    for row in stretches(lambda i: data[i].evidence is not None, [range(len(data))]):
        corners = [(frame.x(data[i].middle), y(data[i].evidence or 0.0)) for i in row]
        area = [(corners[0][0], y(none)), *corners, (corners[-1][0], y(none))]
        drawn += [e("path", cls="area", d=path(area)), line(corners, "evidence")]
    marks = ((threshold, "alarm", "tick strong"), (none, "none", "tick"))
    labels = [e("text", text, cls=cls, x=LEFT - 6, y=y(at) + 4, text_anchor="end") for at, text, cls in marks]
    return [*drawn, _level(frame, y(threshold), "threshold"), *labels]


def _hit(point: Point, frame: Frame, now: datetime) -> Markup:
    """An area that tells of its point when it is pointed at."""
    left, right = frame.x(point.start), frame.x(point.end)
    return e("rect", e("title", _reading(point, now)), x=left, y=FLAGS, width=right - left, height=FLOOR - FLAGS)


def _reading(point: Point, now: datetime) -> str:
    if point.compliance is None:
        rates = "no sensitive request"
    else:
        of = plural(point.sensitive, "sensitive request")
        rates = f"{percent(point.compliance)} answered, {percent(point.refusal)} refused of {of}"
    return f"{clock(utc(point.start), now)} – {clock(utc(point.end), now)}: {rates}"


def _numbers(point: Point, subject: Subject) -> tuple[str, ...]:
    evidence = UNKNOWN if point.evidence is None else _against(point.evidence, subject.threshold)
    times_ = f"{clock(utc(point.start), subject.now)} – {clock(utc(point.end), subject.now)}"
    return times_, percent(point.compliance), percent(point.refusal), f"{point.sensitive:,}", evidence


def _against(evidence: float, threshold: float) -> str:
    if evidence >= threshold:
        return "past the alarm level"
    return f"{times(threshold - evidence)} below" if evidence > threshold - DECADES else "none"


def _describe(data: Sequence[Point], subject: Subject) -> str:
    last = next((one for one in reversed(data) if one.compliance is not None), None)
    if last is None:
        return "No sensitive request in the period shown."
    said = [f"Latest: {percent(last.compliance)} of sensitive requests answered, {percent(last.refusal)} refused."]
    if subject.baseline is not None:
        said.append(f"Baseline {percent(subject.baseline)}.")
    if last.evidence is not None:
        said.append(f"Evidence of a change: {_against(last.evidence, subject.threshold)}.")
    if subject.incident is not None and subject.incident.onset is not None:
        said.append(f"The change began about {clock(subject.incident.onset.estimate, subject.now)}.")
    return " ".join(said)


def _legend(subject: Subject) -> list[tuple[Markup, str]]:
    found = [(key("compliance"), "answered"), (key("refusal"), "refused")]
    if subject.baseline is not None:
        text = f"answered if nothing had changed (baseline {percent(subject.baseline)}, 95 of 100 points)"
        found.append((key("band"), text))
    if subject.incident is not None and subject.incident.onset is not None:
        found.append((key("onset"), "when it began, 95 % interval"))
    return found
