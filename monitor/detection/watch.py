"""The detectors of one deployment against its approved baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from monitor.baseline import Baseline
from monitor.baseline.model import profile_groups
from monitor.detection.budget import Allowance
from monitor.detection_config import DetectionConfig
from monitor.detectors import Floats, StreamShiryaevRoberts, odds_ratio_grid, shift_odds
from monitor.panes import Ring, Seen
from monitor.streams import (
    COMPLIANCE,
    CONTROL,
    DEGENERATE,
    HARMFUL,
    KINDS,
    SENSITIVE,
    STRATUM_COUNTS,
    STREAMS,
    StreamSpec,
)

RING_SIZES: Final = {COMPLIANCE: (512, 128), CONTROL: (256, 64), DEGENERATE: (256, 64)}
"""Outcomes kept singly, and panes of older ones, by kind."""
OTHER_RING: Final = (128, 64)
REFRESH_LABELS: Final = 256
"""The limit of a pooled stream follows the mix of its labels every so many of them."""
MIX_DECAY: Final = 0.5
"""What is left of the weight of earlier labels at each refresh: a half-life of 256 labels."""
HOURLY: Final = frozenset({SENSITIVE, HARMFUL})


class Stream:
    """A detector, the rates that it bets against, and whether it has alarmed since it was last armed."""

    __slots__ = ("alarmed", "allowance", "detector", "spec", "tables")

    def __init__(self, spec: StreamSpec, allowance: Allowance) -> None:
        self.spec = spec
        self.allowance = allowance
        self.detector = StreamShiryaevRoberts(allowance.arl, odds_ratio_grid(spec.direction))
        self.tables: list[list[float]] = []
        self.alarmed = False

    @property
    def name(self) -> str:
        """`compliance:up`, ...: a key of state."""
        return self.spec.key

    @property
    def threshold_log10(self) -> float:
        """Of the evidence, in orders of magnitude."""
        return math.log10(self.detector.arl)

    def bet_against(self, rates: Floats) -> None:
        """Take up new limits: one for each stratum, shape [K], or for each stratum and odds ratio, shape [K, R]."""
        self.tables = [self.detector.odds_table(rate) for rate in rates.tolist()]

    def rearm(self) -> None:
        """Start again from no evidence."""
        self.detector.reset()
        self.alarmed = False


class Mix:
    """The recent mix of strata among the labels of a pooled stream, known before each label that is bet on."""

    __slots__ = ("block", "seen", "weights")

    def __init__(self, start: Floats) -> None:
        self.weights: list[float] = (start * REFRESH_LABELS / max(float(start.sum()), 1e-12)).tolist()
        self.block = [0] * len(self.weights)
        self.seen = 0

    def add(self, stratum: int) -> bool:
        """Count a label; True when the limits are due."""
        self.block[stratum] += 1
        self.seen += 1
        if self.seen < REFRESH_LABELS:
            return False
        self.weights = [MIX_DECAY * w + n for w, n in zip(self.weights, self.block, strict=True)]
        self.block = [0] * len(self.weights)
        self.seen = 0
        return True

    def shares(self) -> Floats:
        """Summing to 1, shape [K]."""
        weights = np.asarray(self.weights)
        result: Floats = weights / weights.sum()
        return result


class Watch:
    """Feeds outcomes to the streams they belong to.

    Args:
        baseline: approved.
        config: of detection.
        allowances: one for each of `STREAMS`.
    """

    def __init__(self, baseline: Baseline, config: DetectionConfig, allowances: Sequence[Allowance]) -> None:
        self.baseline = baseline
        self.config = config
        self.rates = [baseline.rates(kind) for kind in range(len(KINDS))]
        self.means = [_expand(rates.mean, kind, baseline) for kind, rates in enumerate(self.rates)]
        """Baseline rates by kind and stratum."""
        self.seen = [(_expand(rates.counts, kind, baseline) > 0.0).tolist() for kind, rates in enumerate(self.rates)]
        """Whether the baseline has labels of a stratum: one that it never saw has no rate to be compared with."""
        self.streams = [Stream(spec, allowance) for spec, allowance in zip(STREAMS, allowances, strict=True)]
        self.by_name = {s.name: s for s in self.streams}
        self.rings = [Ring(*RING_SIZES.get(kind, OTHER_RING)) for kind in range(len(KINDS))]
        self.floors: dict[str, float] = {}
        """Onsets of these streams are looked for after these times: the ends of earlier incidents."""
        self._pooled = [
            [s for s in self.streams if s.spec.kind == k and s.spec.stratum is None] for k in range(len(KINDS))
        ]
        self._routes = [[self._route(kind, i) for i in range(size)] for kind, size in enumerate(STRATUM_COUNTS)]
        self.mixes = {
            kind: Mix(self.rates[kind].counts + 1e-6)
            for kind, size in enumerate(STRATUM_COUNTS)
            if size > 1 and kind not in HOURLY
        }
        self._due = set(range(len(KINDS)))
        """Kinds whose limits have to be worked out before the next outcome: whoever takes over a thousand deployments
        would wait for what most of them need later, or never."""

    @property
    def pooled(self) -> Stream:
        """The stream that matters most: rising compliance over all categories."""
        return self.streams[0]

    @property
    def control(self) -> Stream:
        """Refusal of benign requests."""
        return self.by_name["control:up"]

    def overall(self, kind: int) -> float:
        """The baseline's rate at the baseline's mix."""
        rates = self.rates[kind]
        return float(_shares(rates.counts) @ rates.mean)

    def take(self, kind: int, seen: Seen) -> list[Stream]:
        """Feed one outcome; returns the streams that alarm at it for the first time since they were armed."""
        if kind in self._due:
            self._set_limits(kind)
        self.rings[kind].add(seen)
        alarms: list[Stream] = []
        stratum, x = seen.stratum, seen.x
        for stream in self._routes[kind][stratum]:
            if stream.detector.update(x, stream.tables[stratum]) and not stream.alarmed:
                stream.alarmed = True
                alarms.append(stream)
        mix = self.mixes.get(kind)
        if mix is not None and mix.add(stratum):
            self._set_pooled_limits(kind)
        return alarms

    def rearm(self, streams: Iterable[Stream], now: float) -> None:
        """After an incident's end: evidence starts from nothing, and later onsets lie after it."""
        for stream in streams:
            stream.rearm()
            self.floors[stream.name] = now

    def siblings(self, stream: Stream) -> list[Stream]:
        """The streams of the same statistic and direction, itself among them: the pooled one and the categories'."""
        spec = stream.spec
        return [s for s in self.streams if (s.spec.kind, s.spec.direction) == (spec.kind, spec.direction)]

    def _route(self, kind: int, stratum: int) -> list[Stream]:
        return [s for s in self.streams if s.spec.kind == kind and s.spec.stratum in {None, stratum}]

    def _set_limits(self, kind: int) -> None:
        self._due.discard(kind)
        self._set_pooled_limits(kind)
        self._set_own_limits(kind)

    def _set_pooled_limits(self, kind: int) -> None:
        rates = self.rates[kind]
        mix = self.mixes[kind].shares() if kind in self.mixes else _shares(rates.counts)
        for stream in self._pooled[kind]:
            ratios = odds_ratio_grid(stream.spec.direction)
            limit = rates.common_limit(mix, ratios, self.config.limit_confidence, stream.allowance.arl)
            stream.bet_against(self._tolerate(stream.spec, limit))
            if kind in HOURLY:
                stream.tables = [stream.tables[group] for group in profile_groups(self.baseline.profile)]

    def _set_own_limits(self, kind: int) -> None:
        for stream in self.streams:
            spec = stream.spec
            if spec.kind == kind and spec.stratum is not None:
                limit = self.rates[spec.kind].own_limit(
                    spec.stratum, spec.direction, self.config.limit_confidence, stream.allowance.arl
                )
                table = stream.detector.odds_table(float(self._tolerate(spec, np.asarray(limit))))
                stream.tables = [table] * STRATUM_COUNTS[spec.kind]  # labels of other strata do not come here

    def _tolerate(self, spec: StreamSpec, limit: Floats) -> Floats:
        tolerated = self.config.tolerated_odds_ratio
        return shift_odds(limit, tolerated if spec.direction == "up" else 1.0 / tolerated)

    def dump(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "streams": {name: [s.detector.statistic, s.detector.labels, s.alarmed] for name, s in self.by_name.items()},
            "rings": {KINDS[kind]: ring.dump() for kind, ring in enumerate(self.rings)},
            "floors": self.floors,
            "mixes": {KINDS[kind]: [mix.weights, mix.block, mix.seen] for kind, mix in self.mixes.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """From `dump`, of a watch with the same baseline."""
        for name, (statistic, labels, alarmed) in state["streams"].items():
            stream = self.by_name[name]
            stream.detector.load(statistic, labels)
            stream.alarmed = bool(alarmed)
        for name, ring in state["rings"].items():
            self.rings[KINDS.index(name)].load(ring)
        self.floors = dict(state["floors"])
        for name, (weights, block, seen) in state["mixes"].items():
            mix = self.mixes[KINDS.index(name)]
            mix.weights, mix.block, mix.seen = list(weights), list(block), seen
            self._due.add(KINDS.index(name))


def _shares(counts: Floats) -> Floats:
    total = float(counts.sum())
    return counts / total if total else np.full(counts.size, 1.0 / counts.size)


def _expand(rates: Floats, kind: int, baseline: Baseline) -> Floats:
    """Rates of the profile's hours as rates of the hours of the week; others as they are."""
    if kind not in HOURLY:
        return rates
    result: Floats = rates[profile_groups(baseline.profile)]
    return result
