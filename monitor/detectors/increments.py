"""Bets against a stated rate: the e-values that every detector here multiplies."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Direction = Literal["up", "down"]
Floats = NDArray[np.float64]

SMALLEST_ODDS_RATIO: Final = 1.2
LARGEST_ODDS_RATIO: Final = 40.0
GRID_SIZE: Final = 16
RATE_FLOOR: Final = 1e-6
"""Rates are kept this far from 0 and 1: a bet against the impossible would stake everything on one label."""


@lru_cache(maxsize=64)  # the same few grids for each of thousands of streams
def odds_ratio_grid(
    direction: Direction,
    size: int = GRID_SIZE,
    low: float = SMALLEST_ODDS_RATIO,
    high: float = LARGEST_ODDS_RATIO,
) -> Floats:
    """Odds ratios evenly spaced in the log from `low` to `high` (their inverses for `down`), shape [size], read-only.

    Raises:
        ValueError: unless 1 < low <= high and size >= 1.
    """
    if not 1.0 < low <= high or size < 1:
        raise ValueError(f"odds ratios: low={low}, high={high}, size={size}; allowed: 1 < low <= high, size >= 1")
    up = np.geomspace(low, high, size)
    grid: Floats = up if direction == "up" else 1.0 / up
    grid.flags.writeable = False
    return grid


def increment(x: ArrayLike, p: ArrayLike, odds_ratios: ArrayLike) -> Floats:
    """E-value of one outcome against the rate `p`, for each odds ratio.

    With q the rate whose odds are R times those of p, the likelihood ratio of a 0/1 outcome is q/p for 1 and
    (1-q)/(1-p) for 0. Its chord, linear in x, is a fair bet for every outcome in [0, 1] whose mean is p, so it
    holds for probabilities as well as for decisions. Written out it is (1 + x(R-1)) / (1 + p(R-1)), whose expectation
    is 1 when E[x] = p, and at most 1 when E[x] is on the far side of p from the alternative.

    Args:
        x: outcomes in [0, 1], any shape.
        p: rates in (0, 1), broadcastable to x, or with one more axis [..., K]: a rate for each odds ratio. Clipped to
            [1e-6, 1 - 1e-6].
        odds_ratios: shape [K], positive.

    Returns:
        Shape broadcast(x, p) + [K].

    References:
        Steiner et al. 2000, "Monitoring surgical performance using risk-adjusted cumulative sum charts",
        Biostatistics 1(4); Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting".
    """
    stake = np.asarray(odds_ratios, dtype=np.float64) - 1.0
    rate = np.clip(np.asarray(p, dtype=np.float64), RATE_FLOOR, 1.0 - RATE_FLOOR)
    outcome = np.asarray(x, dtype=np.float64)
    if rate.ndim <= outcome.ndim:
        rate = rate[..., None]
    result: Floats = outcome[..., None] * stake
    result += 1.0
    result *= 1.0 / (1.0 + rate * stake)  # the factor is small where rates are shared
    return result


def shift_odds(p: ArrayLike, odds_ratio: ArrayLike) -> Floats:
    """The rate whose odds are `odds_ratio` times those of `p`; shapes broadcast."""
    rate = np.asarray(p, dtype=np.float64)
    ratio = np.asarray(odds_ratio, dtype=np.float64)
    result: Floats = ratio * rate / (1.0 - rate + ratio * rate)
    return result
