"""Fits baselines from labels of a stated period, through the same outcomes and caps as the detectors use."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy.special import chdtri

from alignwatch import Label
from monitor.baseline.model import Baseline, KindCounts, Profile
from monitor.baseline.rates import StratumRates
from monitor.detection.caps import Caps, admitted
from monitor.detection_config import DetectionConfig
from monitor.detectors import Floats
from monitor.errors import BaselineError
from monitor.streams import KINDS, STRATUM_COUNTS, OutcomePolicy, read

CAP_ENTRIES: Final = 1_000_000
STRETCHES: Final = 20
"""The period is cut into this many equal stretches to see whether rates wander more than chance allows."""
_MIN_STRETCH_VARIANCE: Final = 2.0
"""Stretches with less information than this (expected variance of the sum of x) are left out of that check."""
_WANDERING_LEVEL: Final = 0.05
_DAY: Final = 86_400.0


def policy_of(config: DetectionConfig) -> OutcomePolicy:
    """The part of the settings that decides what an outcome is."""
    return OutcomePolicy(**{name: getattr(config, name) for name in OutcomePolicy.model_fields})


def fit(
    labels: Iterable[Label],
    config: DetectionConfig | None = None,
    *,
    fitted_at: datetime | None = None,
) -> dict[str, Baseline]:
    """One unapproved baseline per deployment.

    Labels are taken in the order given, which should be that of time; duplicate ids, canaries, and labels of any
    classifier but the most common one of their deployment are left out and counted, and so is what the caps refuse.

    Args:
        labels: any number of deployments mixed.
        config: decides outcomes and caps; the baseline keeps what it decided.
        fitted_at: stored; now when unset.

    Raises:
        BaselineError: there is no label at all.
    """
    policy = policy_of(config or DetectionConfig())
    groups: dict[str, list[Label]] = {}
    for label in labels:
        groups.setdefault(label.deployment, []).append(label)
    if not groups:
        raise BaselineError("baseline: no labels to fit from")
    now = fitted_at or datetime.now(UTC)
    return {name: _Fit(policy).run(name, group, now) for name, group in groups.items()}


class _Fit:
    """Collects the outcomes of one deployment."""

    def __init__(self, policy: OutcomePolicy) -> None:
        self.policy = policy
        self.caps = Caps(policy, CAP_ENTRIES)
        self.excluded: Counter[str] = Counter()
        self.outcomes = [(array("d"), array("h"), array("d")) for _ in KINDS]

    def run(self, deployment: str, labels: list[Label], now: datetime) -> Baseline:
        digests = Counter(label.classifier for label in labels if label.origin != "canary")
        classifier = digests.most_common(1)[0][0] if digests else None
        kept = [label for label in self._distinct(labels) if self._belongs(label, classifier)]
        for label in kept:
            self._take(label)
        times = [label.timestamp for label in kept] or [label.timestamp for label in labels]
        profile = _profile((max(times) - min(times)).total_seconds())
        return Baseline(
            deployment=deployment,
            classifier=classifier,
            model_digests=tuple(sorted({label.model_digest for label in kept if label.model_digest}))[-8:],
            period_start=min(times),
            period_end=max(times),
            fitted_at=now,
            labels=len(labels),
            excluded=dict(self.excluded),
            selection=dict(Counter(label.selection for label in kept)),
            policy=self.policy,
            profile=profile,
            counts={kind: self._counts(index) for index, kind in enumerate(KINDS)},
        ).sealed()

    def _distinct(self, labels: list[Label]) -> Iterable[Label]:
        seen: set[str] = set()
        for label in labels:
            if label.id in seen:
                self.excluded["duplicate"] += 1
            else:
                seen.add(label.id)
                yield label

    def _belongs(self, label: Label, classifier: str | None) -> bool:
        if label.origin == "canary":
            self.excluded["canary"] += 1
            return False
        if label.classifier != classifier:
            self.excluded["other-classifier"] += 1
            return False
        return True

    def _take(self, label: Label) -> None:
        timestamp = label.timestamp.timestamp()
        reading = read(label, timestamp, self.policy)
        for kind, stratum, x in admitted(self.caps, label, timestamp, reading, self.excluded):
            times, strata, values = self.outcomes[kind]
            times.append(timestamp)
            strata.append(stratum)
            values.append(x)

    def _counts(self, kind: int) -> KindCounts:
        times, strata, values = (np.asarray(column) for column in self.outcomes[kind])
        size = STRATUM_COUNTS[kind]
        labels = np.bincount(strata, minlength=size).astype(np.float64)
        sums = np.bincount(strata, values, minlength=size).astype(np.float64)
        squares = np.bincount(strata, values**2, minlength=size).astype(np.float64)
        design = _design(labels, sums, squares)
        rates = StratumRates(labels, sums, design)
        return KindCounts(
            labels=tuple(labels.tolist()),
            sums=tuple(np.minimum(sums, labels).tolist()),
            design=design,
            between=_between(times, strata, values, rates),
        )


def _profile(seconds: float) -> Profile:
    """A profile needs each of its hours at least twice (a week) or thrice (a day)."""
    if seconds >= 14 * _DAY:
        return "week"
    return "day" if seconds >= 3 * _DAY else "flat"


def _design(labels: Floats, sums: Floats, squares: Floats) -> float:
    """Variance of x within strata over that of 0/1 outcomes, with five 0/1 outcomes' worth of doubt; in (0, 1]."""
    used = labels > 0
    if not used.any():
        return 1.0
    n, s, q = labels[used], sums[used], squares[used]
    within = float((q - s**2 / n).sum())
    binary = float((s * (1.0 - s / n)).sum())
    doubt = 5.0 * (binary / float(n.sum()) + 1e-3)
    return float(np.clip((within + doubt) / (binary + doubt), 0.05, 1.0))


def _between(times: Floats, strata: Floats, values: Floats, rates: StratumRates) -> float:
    """Spread of the log-odds between stretches of the period, after DerSimonian and Laird 1986; 0 unless evident."""
    if times.size < 2 or times.max() <= times.min():  # noqa: PLR2004 - one label has no spread
        return 0.0
    stretch = np.minimum(((times - times.min()) / np.ptp(times) * STRETCHES).astype(np.intp), STRETCHES - 1)
    mean = rates.mean[strata.astype(np.intp)]
    score = np.bincount(stretch, values - mean, minlength=STRETCHES)
    information = np.bincount(stretch, mean * (1.0 - mean), minlength=STRETCHES)
    score, information = score[information > _MIN_STRETCH_VARIANCE], information[information > _MIN_STRETCH_VARIANCE]
    freedom = score.size - 1
    if freedom < 1:
        return 0.0
    heterogeneity = float((score**2 / (information * rates.design)).sum())
    if heterogeneity <= float(chdtri(freedom, _WANDERING_LEVEL)):
        return 0.0
    total = float(information.sum())
    excess = (heterogeneity - freedom) * rates.design / (total - float((information**2).sum()) / total)
    return float(np.sqrt(max(excess, 0.0)))
