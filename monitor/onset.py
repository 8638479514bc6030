"""When it began and how large it is: the maximum-likelihood change point over a ring of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.detectors import Direction, Floats, odds_ratio_grid
from monitor.panes import History

SIZES: Final = 96
LARGEST_SIZE: Final = 1e6
"""Odds ratios tried, from 1.05: finer and wider than the detector's grid, as sizes are estimated here (a rate of one in
ten thousand may become one half)."""
ONSET_DROP: Final = 3.0
"""Change points whose log-likelihood is within this of the best one make the onset's interval."""
EFFECT_DROP: Final = 1.92
"""Half the 95 % point of chi-squared with one degree of freedom: the interval of the odds ratio at a known onset."""
FOUND_EFFECT_DROP: Final = 2.5
"""The same where the onset was found too: lucky labels make an alarm come early and a streak look like the change, and
at 1.92 the interval would hold the true size in three cases of four (simulated)."""

_EM_STEPS: Final = 50
_SURE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """The best-supported change in a history, compared with the baseline before it."""

    onset: float
    """Epoch seconds of the first label after the change."""
    low: float
    """The change came after this label ..."""
    high: float
    """... and not after this one."""
    odds_ratio: float
    odds_ratio_low: float
    odds_ratio_high: float
    log_likelihood: float
    """Natural log of the likelihood ratio against no change, at the best onset and size."""
    strata: tuple[tuple[int, float, float, float], ...]
    """(stratum, labels, sum of x, log-likelihood ratio) since the onset, the largest last number first."""

    @property
    def labels(self) -> float:
        """Since the onset."""
        return sum(row[1] for row in self.strata)

    @property
    def sums(self) -> float:
        """Of x, since the onset."""
        return sum(row[2] for row in self.strata)


def find_change(history: History, rates: Floats, direction: Direction) -> Change | None:
    """The change point and common odds ratio under which the history is most likely.

    Before the change each stratum has its baseline rate; after it the odds are multiplied by one factor. The
    log-likelihood ratio of a pane with n labels and sum s in a stratum of rate p is s log R - n log(1 + p(R - 1)).

    Args:
        history: what is remembered, oldest first.
        rates: baseline rates by stratum.
        direction: sizes tried are above 1 for `up`, below for `down`.

    Returns:
        None when nothing is remembered.

    References:
        Hinkley 1970, "Inference about the change-point in a sequence of random variables", Biometrika 57(1).
    """
    if not history.labels.size:
        return None
    ratios = _sizes(direction)
    gains = _gains(history, rates, ratios)
    # A change begins with a pane, so rows of one pane enter together: only their first row is a candidate.
    starts = np.flatnonzero(np.diff(history.pane, prepend=-1))
    surface = np.cumsum(gains[::-1], axis=0)[::-1][starts]
    profile = surface.max(axis=1)
    best = int(np.argmax(profile))
    likely = np.flatnonzero(profile >= profile[best] - ONSET_DROP)
    row = int(starts[best])
    # The model changed at some moment between two labels: after the one before the earliest likely candidate.
    earliest, latest = starts[max(int(likely[0]) - 1, 0)], starts[int(likely[-1])]
    times = float(history.first[row]), float(history.first[earliest]), float(history.first[latest])
    plausible = ratios[surface.max(axis=0) >= profile[best] - FOUND_EFFECT_DROP]
    return _change(_tail(history, row), gains[row:], ratios, times, plausible)


def size_of_change(
    history: History, rates: Floats, direction: Direction, times: tuple[float, float, float]
) -> Change | None:
    """The change's size when its onset is known: all of the history lies after it.

    Args:
        history: since the onset.
        rates: baseline rates by stratum.
        direction: of the change.
        times: the onset and its interval, epoch seconds.
    """
    if not history.labels.size:
        return None
    ratios = _sizes(direction)
    gains = _gains(history, rates, ratios)
    total = gains.sum(axis=0)
    return _change(history, gains, ratios, times, ratios[total >= total.max() - EFFECT_DROP])


def _sizes(direction: Direction) -> Floats:
    return odds_ratio_grid(direction, SIZES, 1.05, LARGEST_SIZE)


def _tail(history: History, row: int) -> History:
    return History(*(column[row:] for column in history))


def _change(
    history: History, gains: Floats, ratios: Floats, times: tuple[float, float, float], plausible: Floats
) -> Change:
    total = gains.sum(axis=0)
    size = int(np.argmax(total))
    return Change(
        onset=times[0],
        low=times[1],
        high=times[2],
        odds_ratio=float(ratios[size]),
        odds_ratio_low=float(plausible.min()),
        odds_ratio_high=float(plausible.max()),
        log_likelihood=float(total[size]),
        strata=_by_stratum(history, gains[:, size]),
    )


def _gains(history: History, rates: Floats, ratios: Floats) -> Floats:
    """Log-likelihood ratio of each row for each size, shape [rows, sizes]."""
    stakes = np.log1p(rates[:, None] * (ratios - 1.0))
    result: Floats = history.sums[:, None] * np.log(ratios) - history.labels[:, None] * stakes[history.stratum]
    return result


def strata_of_change(history: History, rates: Floats, odds_ratio: float) -> tuple[tuple[int, float, float, float], ...]:
    """(stratum, labels, sum of x, log-likelihood ratio) of a history that all lies after a change of known size."""
    if not history.labels.size:
        return ()
    return _by_stratum(history, _gains(history, rates, np.array([odds_ratio]))[:, 0])


def _by_stratum(history: History, gains: Floats) -> tuple[tuple[int, float, float, float], ...]:
    labels = np.bincount(history.stratum, history.labels)
    sums = np.bincount(history.stratum, history.sums)
    gain = np.bincount(history.stratum, gains)
    order = [index for index in np.argsort(-gain, kind="stable") if labels[index] > 0]
    return tuple((int(i), float(labels[i]), float(sums[i]), float(gain[i])) for i in order)


def breadth(
    strata: Sequence[tuple[int, float, float, float]],
    odds_ratio: float,
    rates: Floats,
    *,
    prior: float = 0.5,
    weight: float = 1.0,
) -> float:
    """Share of the strata that moved since the onset, shrunk towards `prior`.

    Each stratum either has its baseline rate or the common odds ratio; the share that moved is estimated by
    expectation-maximisation with `weight` strata's worth of prior. A stratum with few labels says little and follows
    the others, so that a handful of labels from a broad change does not look narrow.

    Args:
        strata: (stratum, labels, sum of x, ignored) since the onset.
        odds_ratio: of the change.
        rates: baseline rates by stratum.
        prior: share that moved before anything is seen.
        weight: of the prior, in strata.
    """
    if not strata:
        return prior
    rows = np.asarray([(n, s, rates[k]) for k, n, s, _ in strata])
    gain = rows[:, 1] * np.log(odds_ratio) - rows[:, 0] * np.log1p(rows[:, 2] * (odds_ratio - 1.0))
    odds = np.exp(np.clip(gain, -_SURE, _SURE))
    share = prior
    for _ in range(_EM_STEPS):
        moved = odds * share / (odds * share + 1.0 - share)
        share = float((moved.sum() + weight * prior) / (moved.size + weight))
    return share


def wilson(successes: float, labels: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a proportion; (0, 1) without labels.

    >>> low, high = wilson(7, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.397 0.892
    """
    if labels <= 0:
        return 0.0, 1.0
    p = min(max(successes / labels, 0.0), 1.0)
    centre = (p + z * z / (2 * labels)) / (1 + z * z / labels)
    half = z * np.sqrt(p * (1 - p) / labels + z * z / (4 * labels**2)) / (1 + z * z / labels)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
