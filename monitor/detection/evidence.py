"""Reads the rings after an alarm: what changed, since when, how much, where, and because of whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from alerts.verdicts import Cause, Evidence
from alignwatch import CategoryFinding, Onset, StreamFinding
from monitor.detection.watch import Stream, Watch
from monitor.detectors import Floats, shift_odds
from monitor.onset import Change, breadth, find_change, size_of_change, strata_of_change, wilson
from monitor.panes import Seen, history_of
from monitor.streams import (
    BLOCKED,
    COMPLIANCE,
    CONTROL,
    DEGENERATE,
    HARMFUL,
    SENSITIVE,
    STRATA,
    UNLABELABLE,
    StreamSpec,
)

MAX_EVIDENCE_IDS: Final = 10
TOP_USERS: Final = 3
CONCENTRATION_RISE: Final = 1.5
"""The top users' share must be this many times what it was before the onset to count as concentrated."""
USUAL_LABELS: Final = 30
"""Labels from before the onset needed to say how prominent users usually are."""
OTHERS_MOVED: Final = 4.6
"""Log-likelihood ratio (100 to 1) from which the answers to everybody but the top users have changed as well."""
CONTROL_Z: Final = 3.1
_COMPLIED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """What the rings say about one stream's change."""

    spec: StreamSpec
    change: Change
    baseline: float
    """Rate that the baseline expects of the labels since the onset, at their mix of strata."""
    observed: float
    interval: tuple[float, float]
    corrected: float | None
    """Of compliance: the share that complies with the classifier's error removed, where that error is known."""
    evidence: Evidence
    categories: tuple[CategoryFinding, ...]
    ids: tuple[str, ...]
    model_digest: str | None
    """Of the model whose answers say most of the change; None where no digest is known."""

    @property
    def onset(self) -> Onset:
        """As reported."""
        change = self.change
        return Onset(estimate=moment(change.onset), low=moment(change.low), high=moment(change.high))

    def stream_finding(self, stream: Stream) -> StreamFinding:
        """As reported, with the detector's evidence of this moment."""
        return StreamFinding(
            name=self.spec.name,
            direction=self.spec.direction,
            baseline=self.baseline,
            observed=self.observed,
            interval=self.interval,
            corrected=self.corrected,
            evidence_log10=stream.detector.evidence_log10,
            threshold_log10=stream.threshold_log10,
            labels=round(self.change.labels),
        )


def moment(timestamp: float) -> datetime:
    """UTC, to the millisecond: what a record keeps when it is written, so that state read back is the same."""
    return datetime.fromtimestamp(round(timestamp, 3), UTC)


def cause_of(spec: StreamSpec) -> Cause:
    """The name that the rules know a stream's movement by."""
    fixed: dict[int, Cause] = {
        CONTROL: "control-up",
        DEGENERATE: "degenerate-up",
        SENSITIVE: "sensitive-share",
        HARMFUL: "harmful-answers",
        UNLABELABLE: "unlabelable-up",
    }
    if spec.kind == COMPLIANCE:
        return "compliance-up" if spec.direction == "up" else "compliance-down"
    if spec.kind == BLOCKED:
        return "blocked-up" if spec.direction == "up" else "blocked-down"
    return fixed[spec.kind]


def investigate(watch: Watch, spec: StreamSpec, onset: Onset | None = None) -> Finding | None:
    """The change behind a stream's alarm; None when nothing is remembered of it.

    Args:
        watch: its rings are read.
        spec: the stream.
        onset: found before and kept; None to look for it.
    """
    rates = watch.means[spec.kind]
    ring = watch.rings[spec.kind]
    if onset is None:
        floor = watch.floors.get(spec.key)
        change = find_change(ring.history(spec.stratum, floor), rates, spec.direction)
    else:
        times = (onset.estimate.timestamp(), onset.low.timestamp(), onset.high.timestamp())
        change = size_of_change(ring.history(spec.stratum, times[0]), rates, spec.direction, times)
    if change is None:
        return None
    expected = sum(n * float(rates[k]) for k, n, _, _ in change.strata) / change.labels
    observed = change.sums / change.labels
    recent = [one for one in ring.fine if one.timestamp >= change.onset and spec.stratum in {None, one.stratum}]
    by_category = spec.kind in {COMPLIANCE, BLOCKED}
    return Finding(
        spec=spec,
        change=change,
        baseline=expected,
        observed=observed,
        interval=_interval(change, rates),
        corrected=_corrected(watch, spec, change.onset),
        evidence=_evidence(watch, spec, change, expected, recent),
        categories=_categories(watch, spec, change) if by_category else (),
        ids=_ids(recent, rates, change.odds_ratio),
        model_digest=_digest(recent, rates, change.odds_ratio),
    )


def _interval(change: Change, rates: Floats) -> tuple[float, float]:
    """Of the rate since the onset: Wilson's, widened to all plausible sizes, as the onset was sought too."""
    shifted = (
        sum(n * float(shift_odds(rates[k], size)) for k, n, _, _ in change.strata) / change.labels
        for size in (change.odds_ratio_low, change.odds_ratio_high)
    )
    every = (*wilson(change.sums, change.labels), *shifted)
    return min(every), max(every)


def _corrected(watch: Watch, spec: StreamSpec, since: float) -> float | None:
    if spec.kind != COMPLIANCE:
        return None
    decided = watch.rings[COMPLIANCE].decided(spec.stratum, since)
    return watch.config.corrected_compliance(decided, watch.baseline.classifier)


def _evidence(watch: Watch, spec: StreamSpec, change: Change, expected: float, recent: Sequence[Seen]) -> Evidence:
    rates = watch.means[spec.kind]
    degenerate = [one.x for one in watch.rings[DEGENERATE].fine if one.stratum == 0 and one.timestamp >= change.onset]
    known, share, others = _users(watch, spec, change, recent)
    return Evidence(
        cause=cause_of(spec),
        baseline=expected,
        observed=change.sums / change.labels,
        observed_low=_interval(change, rates)[0],
        odds_ratio=change.odds_ratio,
        breadth=breadth(_all_strata(watch, spec, change), change.odds_ratio, rates),
        control_baseline=float(watch.means[CONTROL][0]),
        control_low=_control_low(watch, change.onset),
        degenerate_baseline=float(watch.means[DEGENERATE][0]),
        degenerate_observed=sum(degenerate) / len(degenerate) if degenerate else 0.0,
        complying_with_user=known,
        top_users_share=share,
        others_moved=others,
    )


def conditional_z(watch: Watch, since: float) -> float:
    """Standard errors by which compliance with the requests since a time is above the baseline's, at their own mix.

    The baseline's own uncertainty is part of the error, or a small baseline would turn a traffic shift into its doing.
    """
    history = watch.rings[COMPLIANCE].history(since=since)
    total = float(history.labels.sum())
    if not total:
        return 0.0
    rates = watch.rates[COMPLIANCE]
    mix = np.bincount(history.stratum, history.labels, minlength=rates.mean.size) / total
    spread = rates.between * float(mix @ (rates.mean * (1.0 - rates.mean)))
    variance = float(mix @ (rates.mean * (1.0 - rates.mean))) / total + float(mix**2 @ rates.variance) + spread**2
    return float((history.sums.sum() / total - mix @ rates.mean) / np.sqrt(variance))


def _control_low(watch: Watch, onset: float) -> float:
    """Lower 99.9 % limit of benign refusal since the onset."""
    since = [one.x for one in watch.rings[CONTROL].fine if one.timestamp >= onset]
    return wilson(sum(since), len(since), CONTROL_Z)[0]


def _all_strata(watch: Watch, spec: StreamSpec, change: Change) -> tuple[tuple[int, float, float, float], ...]:
    """Every stratum's part of the change since the onset, also where the alarm is one category's."""
    if spec.stratum is None:
        return change.strata
    history = watch.rings[spec.kind].history(since=change.onset)
    return strata_of_change(history, watch.means[spec.kind], change.odds_ratio)


def _users(watch: Watch, spec: StreamSpec, change: Change, recent: Sequence[Seen]) -> tuple[int, float, bool]:
    """Complying answers with a known user, the top users' share of them, and whether everybody else's moved as well.

    The share counts as nothing where those users were as prominent before the onset: a deployment with three users is
    not under attack for that. Everybody else is judged by the size that fits them best, not by that of the whole.
    """
    complied = Counter(one.user for one in recent if one.user and one.x >= _COMPLIED)
    known = complied.total()
    if not known:
        return 0, 0.0, True
    top = {user for user, _ in complied.most_common(TOP_USERS)}
    share = sum(complied[user] for user in top) / known
    before = Counter(one.user for one in watch.rings[spec.kind].fine if one.user and one.timestamp < change.onset)
    enough = before.total() >= USUAL_LABELS
    usual = sum(count for _, count in before.most_common(TOP_USERS)) / before.total() if enough else 0.0
    others = history_of(one for one in recent if one.user not in top)
    times = (change.onset, change.low, change.high)
    rest = size_of_change(others, watch.means[spec.kind], spec.direction, times)
    moved = rest is not None and rest.log_likelihood >= OTHERS_MOVED
    return known, share if share >= CONCENTRATION_RISE * usual else 0.0, moved


def _gain(one: Seen, rate: float, odds_ratio: float) -> float:
    """Log-likelihood ratio of one outcome, changed against unchanged."""
    return float(one.x * np.log(odds_ratio) - np.log1p(rate * (odds_ratio - 1.0)))


def _categories(watch: Watch, spec: StreamSpec, change: Change) -> tuple[CategoryFinding, ...]:
    """Those that contributed, the largest contribution first; beside a category that alarmed, others that did too."""
    rates = watch.means[spec.kind]
    rows = _all_strata(watch, spec, change)
    if spec.stratum is not None:
        alarmed = {s.spec.stratum for s in watch.siblings(watch.by_name[spec.key]) if s.alarmed} | {spec.stratum}
        rows = tuple(row for row in rows if row[0] in alarmed)
    total = sum(max(gain, 0.0) for _, _, _, gain in rows) or 1.0
    return tuple(
        CategoryFinding(
            name=STRATA[k],
            baseline=float(rates[k]),
            observed=s / n,
            interval=wilson(s, n),
            labels=round(n),
            contribution=gain / total,
        )
        for k, n, s, gain in rows
        if gain > 0.0
    )


def _digest(recent: Sequence[Seen], rates: Floats, odds_ratio: float) -> str | None:
    gains: dict[str, float] = {}
    for one in recent:
        if one.digest is not None:
            gain = _gain(one, float(rates[one.stratum]), odds_ratio)
            gains[one.digest] = gains.get(one.digest, 0.0) + gain
    return max(gains, key=gains.__getitem__, default=None)


def _ids(recent: Sequence[Seen], rates: Floats, odds_ratio: float) -> tuple[str, ...]:
    """The labels that say most, the latest first among equals."""
    weighed = [(_gain(one, float(rates[one.stratum]), odds_ratio), index) for index, one in enumerate(recent)]
    best = sorted(weighed, reverse=True)[:MAX_EVIDENCE_IDS]
    return tuple(recent[index].id for gain, index in best if gain > 0.0)
