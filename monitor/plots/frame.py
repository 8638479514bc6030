"""The frame of a plot over time: axes, the band and the flags of an incident."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from alignwatch import Incident
from monitor.plots.markup import Markup, e
from monitor.words import clock, moment, utc

DAY: Final = 86400.0
_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 43200, 129600)
_PIXELS_A_TICK: Final = 110.0
_PIXELS_A_LETTER: Final = 7.0
_FLAG_ROW: Final = 16


@dataclass(frozen=True)
class Frame:
    """Time and rate to pixels. The plot of rates lies between `top` and `bottom`, everything above `floor`."""

    start: float
    """Epoch seconds, as `end`."""
    end: float
    width: float
    left: float
    right: float
    top: float
    bottom: float
    floor: float

    def x(self, t: float) -> float:
        """Pixels of a time, kept inside the plot."""
        inside = min(max(t, self.start), self.end)
        share = (inside - self.start) / (self.end - self.start or 1.0)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, rate: float) -> float:
        """Pixels of a rate."""
        return self.bottom - (self.bottom - self.top) * rate


def rate_axis(frame: Frame) -> list[Markup]:
    """Grid lines and labels at every quarter."""
    drawn = []
    for quarter in range(5):
        at = frame.y(quarter / 4)
        drawn += [
            e("line", cls="grid" if quarter else "base", x1=frame.left, x2=frame.width - frame.right, y1=at, y2=at),
            e("text", f"{quarter / 4:.0%}", cls="tick", x=frame.left - 6, y=at + 4, text_anchor="end"),
        ]
    return drawn


def time_axis(frame: Frame) -> list[Markup]:
    """Grid lines and labels at round times, as many as there is room for."""
    span = frame.end - frame.start
    wanted = max(2.0, (frame.width - frame.left) / _PIXELS_A_TICK)
    step = 60.0 * next((m for m in _MINUTES if span / (60 * m) <= wanted), _MINUTES[-1])
    label: Callable[[float], str] = (lambda t: moment(t)[:10]) if step >= DAY else _hour
    drawn = []
    t = math.ceil(frame.start / step) * step
    while t <= frame.end:
        at, text = frame.x(t), label(t)
        half = len(text) * _PIXELS_A_LETTER / 2
        drawn += [
            e("line", cls="grid", x1=at, x2=at, y1=frame.top, y2=frame.floor),
            e(
                "text", text, cls="tick", x=min(max(at, frame.left + half - 6), frame.width - half), y=frame.floor + 17,
                text_anchor="middle",
            ),
        ]  # fmt: skip
        t += step
    return drawn


def _hour(t: float) -> str:
    return moment(t)[:10] if t % DAY == 0 else moment(t)[11:16]


def onset_band(frame: Frame, incident: Incident) -> Markup | None:
    """When the change began: its 95 % interval, as a band over the whole plot."""
    if incident.onset is None:
        return None
    left, right = frame.x(incident.onset.low.timestamp()), frame.x(incident.onset.high.timestamp())
    top = frame.top - 6
    return e("rect", cls="onset", x=left, y=top, width=max(2.0, right - left), height=frame.floor - top)


def flags(frame: Frame, incident: Incident) -> list[Markup]:
    """Above the plot when it began and when it was detected, each with a line down; what lies before it is left out."""
    named = [] if incident.onset is None else [(incident.onset.estimate, "began about", "began")]
    named.append((incident.detected_at, "detected", "detected"))
    drawn = []
    for row, (at, words, cls) in enumerate(named):
        if at.timestamp() < frame.start:
            continue
        x, y, text = frame.x(at.timestamp()), 12 + _FLAG_ROW * row, f"{words} {clock(at, utc(frame.end))}"
        turned = x + _PIXELS_A_LETTER * len(text) > frame.width
        drawn.append(e("line", cls=cls, x1=x, x2=x, y1=y - 8, y2=frame.floor))
        anchor = "end" if turned else "start"
        drawn.append(e("text", text, cls=f"label {cls}", x=x + (-5 if turned else 5), y=y, text_anchor=anchor))
    # Texts last: a line of one flag must not run through the words of the other.
    return sorted(drawn, key=lambda one: one.startswith("<text"))
