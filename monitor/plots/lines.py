"""Lines and bands over points in time, broken where nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from monitor.plots.markup import Markup, e

Corner = tuple[float, float]


def path(corners: Sequence[Corner]) -> str:
    """The `d` of a line through the corners."""
    return "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(corners))


def band_path(upper: Sequence[Corner], lower: Sequence[Corner]) -> str:
    """The `d` of the area between two lines that run the same way."""
    return f"{path([*upper, *reversed(lower)])}Z"


def runs(middles: Sequence[float], gap: float) -> Iterator[range]:
    """Stretches of points without a gap of more than `gap` seconds."""
    begin = 0
    for i in range(1, len(middles)):
        if middles[i] - middles[i - 1] > gap:
            yield range(begin, i)
            begin = i
    yield range(begin, len(middles))


def stretches(known: Callable[[int], bool], parts: Sequence[range]) -> Iterator[list[int]]:
    """Indices in a row of which something is known: a gap in traffic is a gap in the line."""
    for part in parts:
        row: list[int] = []
        for i in part:
            if known(i):
                row.append(i)
            elif row:
                yield row
                row = []
        if row:
            yield row


def line(corners: Sequence[Corner], name: str) -> Markup:
    """A line, or a dot where it would have a single point."""
    if len(corners) == 1:
        return e("circle", cls=f"{name} dot", cx=corners[0][0], cy=corners[0][1], r=2.5)
    return e("path", cls=name, d=path(corners))
