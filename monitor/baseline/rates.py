"""What a baseline knows of its rates, and the limits that detectors bet against to pay for what it does not know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.special import betaln

from monitor.baseline.limits import LIMIT_FLOOR, beta_limit
from monitor.detectors import Direction, Floats, shift_odds

PRIOR_MEANS: Final = np.linspace(0.005, 0.995, 100)
PRIOR_STRENGTHS: Final = np.geomspace(0.5, 20.0, 24)
"""Labels that the prior may weigh. The cap keeps thin categories that look alike from hiding one that is not."""
JEFFREYS: Final = 0.5
_NEWTON_STEPS: Final = 40
_CONVERGED: Final = 1e-7


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
        result: Floats = np.clip(a / (a + b), LIMIT_FLOOR, 1.0 - LIMIT_FLOOR)
        return result

    @cached_property
    def variance(self) -> Floats:
        """Posterior variance of each rate, shape [K]."""
        a, b = self.posterior
        result: Floats = a * b / ((a + b) ** 2 * (a + b + 1.0))
        return result

    def own_limit(self, stratum: int, direction: Direction, confidence: float, arl: float = 1.0) -> float:
        """One-sided limit of a single stratum's rate: upper for `up`, lower for `down`; see `beta_limit`."""
        mean, variance = self.mean[[stratum]], self.variance[[stratum]]
        spread = self.between * mean * (1.0 - mean)
        return float(beta_limit(mean, variance + spread**2, direction, confidence, arl)[0])

    def common_limit(self, mix: Floats, odds_ratios: Floats, confidence: float, arl: float = 1.0) -> Floats:
        """Rates for a pooled stream to bet against: all strata shifted by one common log-odds, shape [K, R].

        A pooled stream need not have every stratum's rate below its limit. Its bet with odds ratio R is fair if
        sum_k m_k w_k (p_k - b_k) <= 0, with m the mix of the labels, b the rates bet against and
        w_k = 1 / (1 + b_k (R - 1)): an average of rates, known far better than each of them. For each R the posterior
        of that average is matched by a beta distribution, and the shift takes the average of the means to its limit. A
        large R weighs the strata with low rates most, hence a shift for each R. Where the mix is one stratum this is
        that stratum's own limit, so a stream whose traffic turns to a stratum of which the baseline saw little pays for
        exactly that.

        Args:
            mix: share of each stratum among the labels to come, shape [K], summing to 1.
            odds_ratios: of the detector, shape [R], all above 1 (upper limits) or all below (lower limits).
            confidence: one-sided, of all R together where there is more than one stratum.
            arl: run length of the stream, in its labels; see `beta_limit`.
        """
        direction: Direction = "up" if odds_ratios[0] > 1.0 else "down"
        # The limits of different R fail together mostly, not always: simulated, halving the risk covers the rest.
        confidence = confidence if np.count_nonzero(mix > 0.0) == 1 else 0.5 + 0.5 * confidence
        means = self.mean[:, None]
        weights = mix[:, None] / (1.0 + means * (odds_ratios - 1.0))
        weights /= weights.sum(axis=0)
        mean = (weights * means).sum(axis=0)
        spread = self.between * (weights * means * (1.0 - means)).sum(axis=0)
        variance = (weights**2 * self.variance[:, None]).sum(axis=0) + spread**2
        return _shift_to(means, weights, beta_limit(mean, variance, direction, confidence, arl))


def _shift_to(rates: Floats, weights: Floats, target: Floats) -> Floats:
    """`rates` with their odds multiplied by the factors that make their weighted averages equal `target`.

    Args:
        rates: shape [K, 1].
        weights: columns summing to 1, shape [K, R].
        target: shape [R].

    Returns:
        Shape [K, R].
    """
    log_factor = np.zeros(target.size)
    shifted = shift_odds(rates, np.exp(log_factor))
    for _ in range(_NEWTON_STEPS):
        gap = target - (weights * shifted).sum(axis=0)
        slope = (weights * shifted * (1.0 - shifted)).sum(axis=0)
        step = np.clip(gap / np.maximum(slope, 1e-12), -1.0, 1.0)
        log_factor += step
        shifted = shift_odds(rates, np.exp(log_factor))
        if float(np.abs(step).max()) < _CONVERGED:
            break
    return shifted
