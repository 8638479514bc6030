"""Small pictures within a line of a table or a legend; the figures stand beside them in words."""

from __future__ import annotations

from typing import Final

from monitor.plots.markup import Markup, e

RAIL: Final = 200
_EDGE: Final = 5


def dumbbell(baseline: float | None, observed: float | None, interval: tuple[float, float] | None) -> Markup:
    """From 0 to 100 %: the baseline as a tick, the present rate as a dot, its interval as a bar."""

    def at(rate: float) -> float:
        return round(_EDGE + (RAIL - 2 * _EDGE) * min(max(rate, 0.0), 1.0))

    parts = [e("path", cls="rail", d=f"M{_EDGE} 8H{RAIL - _EDGE}")]
    if interval is not None:
        parts.append(e("path", cls="whisker", d=f"M{at(interval[0])} 8H{at(interval[1])}"))
    if baseline is not None:
        parts.append(e("path", cls="tickmark", d=f"M{at(baseline)} 2V14"))
    if observed is not None:
        parts.append(e("circle", cls="now", cx=at(observed), cy=8, r=4))
    return e("svg", parts, cls="dumbbell", viewBox=f"0 0 {RAIL} 16", preserveAspectRatio="xMinYMid", aria_hidden="true")


def bar(share: float, *, past: bool, level: float | None = None) -> Markup:
    """How full something is, from 0 to 1; `level` marks a place on the way."""
    parts = [
        e("rect", cls="trough", x=0, y=4, width=RAIL, height=8, rx=4),
        e("rect", cls="full past" if past else "full", x=0, y=4, width=round(RAIL * min(max(share, 0.0), 1.0)),
          height=8, rx=4),
    ]  # fmt: skip
    if level is not None:
        parts.append(e("path", cls="tickmark", d=f"M{round(RAIL * level)} 1V15"))
    return e("svg", parts, cls="evidencebar", viewBox=f"0 0 {RAIL} 16", preserveAspectRatio="none", aria_hidden="true")


def key(name: str) -> Markup:
    """What a legend shows of a line, or of a band."""
    areas = {"band", "onset"}
    shape = e("rect", cls=name, width=24, height=12) if name in areas else e("path", cls=name, d="M1 6H23")
    return e("svg", shape, cls="key", viewBox="0 0 24 12", aria_hidden="true")
