"""One-sided limits of a rate known from counts: as certain as the false-alarm budget needs, and no more."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import betaincinv, betaln, expit, logit, polygamma

from monitor.detectors import Direction, Floats

LIMIT_FLOOR: Final = 1e-5
"""Limits keep this distance from 0 and 1."""
DOUBT: Final = 0.5
"""False alarms that may come of a baseline's uncertainty, relative to what the run length allows."""
_NODES: Final = 96
_REACH: Final = 8.0
"""The tail is integrated up to this many standard deviations of the log-odds."""


def beta_limit(mean: Floats, variance: Floats, direction: Direction, confidence: float, arl: float) -> Floats:
    """Limits of rates whose uncertainty is beta-distributed, never on the wrong side of the mean.

    The limit satisfies two demands. It holds with `confidence`, a statement about most baselines. And the false alarms
    under the baselines for which it does not hold, averaged over all, stay within the budget: a bet against b while the
    true rate is p > b gains KL(p || b) a label, so alarms come every log(A) / KL labels instead of every A. The
    expected excess, A E[KL(p || b); p > b] / log(A), may be `DOUBT`. A fleet's budget is a mean, and where labels are
    few or run lengths long, that mean is made by the few baselines that were unlucky, at any fixed confidence.

    Args:
        mean: of the rates, any one-dimensional shape.
        variance: of the same.
        direction: `up` for upper limits, `down` for lower ones.
        confidence: one-sided, at least 0.5.
        arl: run length of the detector that will use the limit; 1 waives the second demand.

    Returns:
        Shape of mean.
    """
    if direction == "down":
        result: Floats = 1.0 - beta_limit(1.0 - mean, variance, "up", confidence, arl)
        return result
    strength = np.maximum(mean * (1.0 - mean) / np.maximum(variance, 1e-18) - 1.0, 1e-3)
    a, b = mean * strength, (1.0 - mean) * strength
    limit = np.maximum(betaincinv(a, b, confidence), mean)
    if arl > 1.0:
        limit = np.maximum(limit, _within_budget(a, b, mean, arl))
    clipped: Floats = np.clip(limit, LIMIT_FLOOR, 1.0 - LIMIT_FLOOR)
    return clipped


def _within_budget(a: Floats, b: Floats, mean: Floats, arl: float) -> Floats:
    """The lowest rates from which the expected excess of false alarms is at most `DOUBT`."""
    start = logit(np.clip(mean, LIMIT_FLOOR, 1.0 - LIMIT_FLOOR))
    spread = np.sqrt(polygamma(1, a) + polygamma(1, b))
    steps = np.linspace(0.0, _REACH, _NODES)
    odds = start[:, None] + spread[:, None] * steps
    rates, log_rest = expit(odds), -np.logaddexp(0.0, odds)
    # Density in the log-odds: p^a (1-p)^b / B(a, b), with log p = odds + log(1-p).
    log_density = a[:, None] * (odds + log_rest) + b[:, None] * log_rest - betaln(a, b)[:, None]
    weight = np.exp(log_density) * spread[:, None] * (steps[1] - steps[0])
    # KL(p || b) = p (logit p - logit b) + log(1-p) - log(1-b), summed over the nodes above each candidate b.
    mass, rate_mass = _above(weight), _above(weight * rates)
    excess = _above(weight * (rates * odds + log_rest)) - odds * rate_mass - log_rest * mass
    cost = np.maximum(arl / max(np.log(arl), 1.0) * excess, 1e-300)
    return expit(_crossing(odds, np.log(cost), float(np.log(DOUBT))))


def _above(values: Floats) -> Floats:
    """Sums of what lies after each node, along the last axis."""
    result: Floats = np.cumsum(values[:, ::-1], axis=1)[:, ::-1] - values
    return result


def _crossing(x: Floats, y: Floats, level: float) -> Floats:
    """Where each falling row of y comes down to `level`, by linear interpolation; its first x if it starts there."""
    after = np.argmax(y <= level, axis=1)
    rows, before = np.arange(len(x)), np.maximum(after - 1, 0)
    high, low = y[rows, before], y[rows, after]
    part = np.where(after > 0, (high - level) / np.maximum(high - low, 1e-12), 0.0)
    result: Floats = x[rows, before] + part * (x[rows, after] - x[rows, before])
    return result
