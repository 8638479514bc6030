"""One false-alarm budget for the fleet, split over deployments and streams into run lengths in labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from monitor.baseline import Baseline
from monitor.detection_config import DetectionConfig
from monitor.streams import STREAMS, StreamSpec

PERIOD_HOURS: Final = 90.0 * 24.0
SHORTEST_ARL: Final = 1e3
LONGEST_ARL: Final = 1e12
"""Bounds of a run length: a trickle of labels must not make a detector jumpy, nor a flood make it deaf."""
SMALLEST_PART: Final = 0.02
"""A category is taken to have at least this part of the sensitive labels, since a rare one may become common."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a stream may spend."""

    arl: float
    """Guaranteed average run length between false alarms, in labels of the stream."""
    per_90_days: float
    """False alarms expected in 90 days at the baseline's label rate, at most."""


def allowances(
    baseline: Baseline, config: DetectionConfig, deployments: int, arl: float | None = None
) -> tuple[Allowance, ...]:
    """One for each of `STREAMS`.

    The fleet's rate of false pages is divided equally over deployments, within one over the streams that page in
    proportion to their weights (the pooled rise of compliance weighs as much as all the others together), and turned
    into labels with the baseline's label rate: the sum of 1/ARL, in time, over all streams is at most the
    fleet's. Streams that only warn divide a budget of their own. Rates are those of the baseline until another one is
    approved; if traffic grows tenfold, false pages may come ten times as often, and the status says so.

    Args:
        baseline: gives label rates.
        config: gives the budgets.
        deployments: that share them.
        arl: overrides all of it with one run length in labels.
    """
    return tuple(_allowance(spec, baseline, config, deployments, arl) for spec in STREAMS)


def _allowance(
    spec: StreamSpec, baseline: Baseline, config: DetectionConfig, deployments: int, arl: float | None
) -> Allowance:
    total = sum(other.weight for other in STREAMS if other.pages == spec.pages)
    budget = config.false_pages_per_90_days if spec.pages else config.false_warnings_per_90_days
    part = budget / deployments * spec.weight / total
    rate = label_rate(spec, baseline)
    if arl is not None:
        return Allowance(arl, rate * PERIOD_HOURS / arl)
    allowed = min(max(rate * PERIOD_HOURS / part, SHORTEST_ARL), LONGEST_ARL)
    return Allowance(allowed, rate * PERIOD_HOURS / allowed)


def label_rate(spec: StreamSpec, baseline: Baseline) -> float:
    """Labels an hour that the stream is taken to get."""
    pooled = baseline.labels_per_hour(spec.kind)
    if spec.stratum is None:
        return max(pooled, 1.0 / baseline.hours)
    return max(baseline.labels_per_hour(spec.kind, spec.stratum), SMALLEST_PART * pooled, 1.0 / baseline.hours)
