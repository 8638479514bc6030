"""Bounded memory of what was seen: panes of event time for the page, and a ring of outcomes for finding the onset."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from alignwatch import Behaviour
from monitor.detectors import Floats
from monitor.status import PanePoint

MAX_PANES: Final = 240


class TimePane:
    """Weighted sums over a stretch of event time; the order in which labels arrive does not matter."""

    __slots__ = ("answered", "evidence_log10", "labelled", "sensitive", "start", "sums")

    def __init__(self, start: float) -> None:
        self.start = start
        self.labelled = 0
        self.sensitive = 0
        self.answered = 0.0
        """Weight of the sensitive requests whose answer was read."""
        self.sums = [0.0] * 5
        """Weighted compliance, refusal, partial, degenerate, response harm."""
        self.evidence_log10: float | None = None

    def add(self, behaviour: Behaviour, response_harm: float | None, weight: float) -> None:
        """Count the answer to a sensitive request."""
        self.answered += weight
        sums = self.sums
        sums[0] += weight * behaviour.compliance
        sums[1] += weight * behaviour.refusal
        sums[2] += weight * behaviour.partial
        sums[3] += weight * behaviour.degenerate
        sums[4] += weight * (response_harm or 0.0)

    def point(self, seconds: float) -> PanePoint:
        """As the page shows it."""
        rates = [value / self.answered for value in self.sums] if self.answered else [None] * 5
        return PanePoint(
            start=self.start,
            seconds=seconds,
            labelled=self.labelled,
            sensitive=self.sensitive,
            compliance=rates[0],
            refusal=rates[1],
            partial=rates[2],
            degenerate=rates[3],
            harmful_answers=rates[4],
            evidence_log10=self.evidence_log10,
        )

    def dump(self) -> list[Any]:
        """State as JSON values."""
        return [self.start, self.labelled, self.sensitive, self.answered, self.sums, self.evidence_log10]

    @classmethod
    def load(cls, state: list[Any]) -> TimePane:
        """From `dump`."""
        pane = cls(state[0])
        pane.labelled, pane.sensitive, pane.answered, sums, pane.evidence_log10 = state[1:]
        pane.sums = list(sums)
        return pane


class TimePanes:
    """The latest panes of a fixed length; older ones are dropped.

    Args:
        seconds: of event time in a pane.
        maximum: panes kept.
    """

    def __init__(self, seconds: float, maximum: int = MAX_PANES) -> None:
        self.seconds = seconds
        self._maximum = maximum
        self._panes: dict[int, TimePane] = {}
        self._newest: tuple[int, TimePane | None] = (-1, None)

    def at(self, timestamp: float) -> TimePane:
        """The pane of this time, made if need be."""
        index = int(timestamp // self.seconds)
        newest_index, newest = self._newest
        if newest is not None and index == newest_index:
            return newest
        pane = self._panes.get(index)
        if pane is None:
            pane = self._panes[index] = TimePane(index * self.seconds)
            if len(self._panes) > self._maximum:
                del self._panes[min(self._panes)]
        if index > newest_index:
            self._newest = (index, pane)
        return pane

    def points(self) -> tuple[PanePoint, ...]:
        """Oldest first."""
        return tuple(self._panes[index].point(self.seconds) for index in sorted(self._panes))

    def dump(self) -> list[Any]:
        """State as JSON values."""
        return [self._panes[index].dump() for index in sorted(self._panes)]

    def load(self, state: list[Any]) -> None:
        """From `dump`."""
        self._panes = {int(item[0] // self.seconds): TimePane.load(item) for item in state}
        newest = max(self._panes, default=-1)
        self._newest = (newest, self._panes.get(newest))


class Seen(NamedTuple):
    """One outcome in the ring."""

    timestamp: float
    stratum: int
    x: float
    id: str
    user: int
    """Key of the user; 0 when unknown."""
    complied: bool = False
    """Whether the answer is decided to comply."""
    digest: str | None = None
    """Of the model that answered."""


class Coarse(NamedTuple):
    """Older outcomes, summed."""

    first: float
    last: float
    counts: dict[int, tuple[int, float, int]]
    """By stratum: labels, sum of x, and how many are decided to comply."""


class History(NamedTuple):
    """The ring laid out for arithmetic: one row for each stratum of each pane, in order of arrival."""

    first: Floats
    """Timestamp of the first label of the row's pane, shape [rows]."""
    stratum: Any
    """Shape [rows], integer."""
    labels: Floats
    sums: Floats
    pane: Any
    """Index of the pane that the row belongs to, shape [rows], not decreasing."""


def history_of(outcomes: Iterable[Seen]) -> History:
    """Single outcomes laid out for arithmetic, in their order."""
    return _laid_out([(one.timestamp, one.stratum, 1.0, one.x, row) for row, one in enumerate(outcomes)])


def _laid_out(rows: Sequence[tuple[float, int, float, float, int]]) -> History:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return History(
        np.asarray(columns[0], dtype=np.float64),
        np.asarray(columns[1], dtype=np.intp),
        np.asarray(columns[2], dtype=np.float64),
        np.asarray(columns[3], dtype=np.float64),
        np.asarray(columns[4], dtype=np.intp),
    )


class Ring:
    """The latest outcomes one by one and older ones in panes that grow with age, in bounded memory.

    Args:
        fine: outcomes kept singly.
        coarse: panes kept; when there are more, neighbours in the older half are merged in pairs.
    """

    STEP: Final = 32

    def __init__(self, fine: int = 512, coarse: int = 128) -> None:
        self._limit = fine
        self._coarse_limit = coarse
        self.fine: deque[Seen] = deque()
        self.coarse: list[Coarse] = []

    def add(self, seen: Seen) -> None:
        """Take the newest outcome."""
        self.fine.append(seen)
        if len(self.fine) > self._limit:
            self._age()

    def _age(self) -> None:
        old = [self.fine.popleft() for _ in range(self.STEP)]
        counts: dict[int, tuple[int, float, int]] = {}
        for one in old:
            n, s, complied = counts.get(one.stratum, (0, 0.0, 0))
            counts[one.stratum] = (n + 1, s + one.x, complied + one.complied)
        self.coarse.append(Coarse(old[0].timestamp, old[-1].timestamp, counts))
        if len(self.coarse) > self._coarse_limit:
            half = self._coarse_limit // 2
            merged = [_merge(a, b) for a, b in zip(self.coarse[:half:2], self.coarse[1:half:2], strict=True)]
            self.coarse[:half] = merged

    def history(self, stratum: int | None = None, since: float | None = None) -> History:
        """Everything remembered (of one stratum, not before `since`), oldest first."""
        return _laid_out(list(self._rows(stratum, since)))

    def _rows(self, stratum: int | None, since: float | None) -> Iterator[tuple[float, int, float, float, int]]:
        for index, pane in enumerate(self.coarse):
            if since is not None and pane.first < since:
                continue
            for key, (n, s, _) in pane.counts.items():
                if stratum is None or key == stratum:
                    yield pane.first, key, float(n), s, index
        for index, one in enumerate(self.fine, start=len(self.coarse)):
            if (stratum is None or one.stratum == stratum) and (since is None or one.timestamp >= since):
                yield one.timestamp, one.stratum, 1.0, one.x, index

    def decided(self, stratum: int | None, since: float) -> float | None:
        """Share of the answers (in one stratum) since a time that are decided to comply; None without any."""
        coarse = [
            count
            for pane in self.coarse
            if pane.first >= since
            for key, count in pane.counts.items()
            if stratum in {None, key}
        ]
        fine = [one.complied for one in self.fine if one.timestamp >= since and stratum in {None, one.stratum}]
        labels = sum(n for n, _, _ in coarse) + len(fine)
        return (sum(complied for _, _, complied in coarse) + sum(fine)) / labels if labels else None

    def dump(self) -> dict[str, Any]:
        """State as JSON values."""
        digests = list(dict.fromkeys(one.digest for one in self.fine))
        number = {digest: index for index, digest in enumerate(digests)}
        return {
            "digests": digests,
            "fine": [[*one[:-1], number[one.digest]] for one in self.fine],
            "coarse": [[p.first, p.last, [[k, *count] for k, count in p.counts.items()]] for p in self.coarse],
        }

    def load(self, state: dict[str, Any]) -> None:
        """From `dump`."""
        digests = state["digests"]
        self.fine = deque(Seen._make([*item[:-1], digests[item[-1]]]) for item in state["fine"])
        self.coarse = [Coarse(a, b, {k: (n, s, c) for k, n, s, c in counts}) for a, b, counts in state["coarse"]]


def _merge(a: Coarse, b: Coarse) -> Coarse:
    counts = dict(a.counts)
    for key, (n, s, complied) in b.counts.items():
        before = counts.get(key, (0, 0.0, 0))
        counts[key] = (before[0] + n, before[1] + s, before[2] + complied)
    return Coarse(a.first, b.last, counts)
