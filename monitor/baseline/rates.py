"""What a baseline knows of its rates, and the limits that detectors bet against to pay for what it does not know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import betaincinv, betaln

from monitor.detectors import Direction, Floats, shift_odds

PRIOR_MEANS: Final = np.linspace(0.005, 0.995, 100)
PRIOR_STRENGTHS: Final = np.geomspace(0.5, 20.0, 24)
"""Labels that the prior may weigh. The cap keeps thin categories that look alike from hiding one that is not."""
JEFFREYS: Final = 0.5
_LIMIT_FLOOR: Final = 1e-5
_NEWTON_STEPS: Final = 40
_CONVERGED: Final = 1e-10


@dataclass(frozen=True)
class StratumRates:
    """Rates of one kind of outcome in each stratum: beta posteriors under a prior that the strata share.

    The prior is fitted to the strata themselves (empirical Bayes, beta-binomial likelihood on a grid), so that a
    stratum with few labels borrows from the others; one stratum alone gets Jeffreys' prior.

    Args:
        counts: labels in each stratum, shape [K].
        sums: sums of x, shape [K].
        design: variance of x within strata relative to that of 0/1 outcomes; soft labels vary less.
        between: standard deviation of the log-odds between stretches of the baseline's period, beyond chance.
    """

    counts: Floats
    sums: Floats
    design: float = 1.0
    between: float = 0.0

    @cached_property
    def prior(self) -> tuple[float, float]:
        """(a, b) of the shared beta prior, in effective labels."""
        used = self.counts > 0
        if np.count_nonzero(used) < 3 or self.counts.size == 1:  # noqa: PLR2004 - two strata say nothing about spread
            return JEFFREYS, JEFFREYS
        n, s = self.counts[used] / self.design, self.sums[used] / self.design
        a = (PRIOR_MEANS[:, None] * PRIOR_STRENGTHS)[..., None]
        b = ((1.0 - PRIOR_MEANS[:, None]) * PRIOR_STRENGTHS)[..., None]
        likelihood = (betaln(a + s, b + np.maximum(n - s, 0.0)) - betaln(a, b)).sum(axis=-1)
        best = np.unravel_index(np.argmax(likelihood), likelihood.shape)
        return float(a[best][0]), float(b[best][0])

    @cached_property
    def posterior(self) -> tuple[Floats, Floats]:
        """(a, b) of each stratum's beta posterior, in effective labels, shape [K] each."""
        a, b = self.prior
        successes = self.sums / self.design
        failures = np.maximum(self.counts - self.sums, 0.0) / self.design
        return a + successes, b + failures

    @cached_property
    def mean(self) -> Floats:
        """Posterior mean rates, shape [K]: what is reported as the baseline and what onset estimates start from."""
        a, b = self.posterior
        result: Floats = np.clip(a / (a + b), _LIMIT_FLOOR, 1.0 - _LIMIT_FLOOR)
        return result

    @cached_property
    def variance(self) -> Floats:
        """Posterior variance of each rate, shape [K]."""
        a, b = self.posterior
        result: Floats = a * b / ((a + b) ** 2 * (a + b + 1.0))
        return result

    def own_limit(self, stratum: int, direction: Direction, confidence: float) -> float:
        """One-sided limit of a single stratum's rate: upper for `up`, lower for `down`."""
        mix = np.zeros(self.counts.size)
        mix[stratum] = 1.0
        return float(self.common_limit(mix, direction, confidence)[stratum])

    def common_limit(self, mix: Floats, direction: Direction, confidence: float) -> Floats:
        """Rates shifted by one common log-odds to the limit of the overall rate of traffic with this mix, shape [K].

        A pooled stream does not need every stratum's rate to be below its limit, only the average over the labels that
        it will see. That average is known far better than each rate is. Its posterior is matched by a beta
        distribution with the mean and variance of sum(mix * rate); the shift takes the mean to its limit. Where
        the mix is one stratum, this is that stratum's own limit, so a stream whose traffic turns to a stratum of which
        the baseline saw little pays for exactly that.

        Args:
            mix: share of each stratum among the labels to come, shape [K], summing to 1.
            direction: the side on which the limit lies.
            confidence: one-sided, e.g. 0.9.
        """
        mean = float(mix @ self.mean)
        spread = self.between * float(mix @ (self.mean * (1.0 - self.mean)))
        variance = float((mix**2) @ self.variance) + spread**2
        limit = _beta_limit(mean, variance, confidence if direction == "up" else 1.0 - confidence)
        limit = max(limit, mean) if direction == "up" else min(limit, mean)
        return _shift_to(self.mean, mix, limit)


def _beta_limit(mean: float, variance: float, level: float) -> float:
    """Quantile of the beta distribution with this mean and variance."""
    strength = max(mean * (1.0 - mean) / max(variance, 1e-18) - 1.0, 1e-3)
    return float(np.clip(betaincinv(mean * strength, (1.0 - mean) * strength, level), _LIMIT_FLOOR, 1.0 - _LIMIT_FLOOR))


def _shift_to(rates: Floats, mix: Floats, target: float) -> Floats:
    """`rates` with their odds multiplied by the one factor that makes their average under `mix` equal `target`."""
    log_factor = 0.0
    shifted = rates
    for _ in range(_NEWTON_STEPS):
        gap = target - float(mix @ shifted)
        slope = float(mix @ (shifted * (1.0 - shifted)))
        step = min(max(gap / max(slope, 1e-12), -1.0), 1.0)
        log_factor += step
        shifted = shift_odds(rates, math.exp(log_factor))
        if abs(step) < _CONVERGED:
            break
    return shifted
