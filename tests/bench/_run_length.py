"""Average run lengths: the exact one of a Bernoulli CUSUM, and of any detector by importance sampling.

**Importance sampling.** Let tau be a detector's alarm time and R the Shiryaev-Roberts statistic of the *true* rates,
mixed over a grid of alternatives (weights w_j): R_n = sum_j w_j sum_{k<=n} LR_j(k..n). Changing measure,
P(tau = n) = sum_j w_j sum_{k<=n} E_{j,k}[1{tau = n} / R_n], where under (j, k) the rate is in control before k and j's
from k on. Summed over n, each k contributes the same once the start is forgotten, so the rate of false alarms per label
is E[1 / R_tau] over runs that change from a stationary state. Such runs end within a delay instead of within a run
length: 1e6 costs as little as 1e3. It holds for every stopping rule, so for detectors with wrong rates as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from _tables import Estimate
from scipy.sparse import coo_matrix, identity
from scipy.sparse.linalg import splu

from monitor.detectors import Direction, MixtureShiryaevRoberts, odds_ratio_grid, shift_odds

Array = np.ndarray


@dataclass(frozen=True)
class Strata:
    """In-control traffic: categories drawn with probability `mix`, outcomes 1 with probability `rates`."""

    mix: Array
    rates: Array

    @classmethod
    def single(cls, rate: float) -> Strata:
        return cls(np.ones(1), np.array([rate]))

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        if self.mix.size == 1:
            return np.zeros(size, dtype=np.intp)
        return np.searchsorted(np.cumsum(self.mix)[:-1], rng.random(size), side="right")


def false_alarm_rate(
    truth: Strata,
    stated: Array,
    arl: float,
    rng: np.random.Generator,
    *,
    direction: Direction = "up",
    paths: int = 1600,
    burn_in: int = 20_000,
    cap: int = 400_000,
    enough: int = 200,
) -> tuple[Array, Array]:
    """False alarms per label of the mixture detector with threshold `arl` that is told the rates `stated`.

    Args:
        truth: what the traffic really is.
        stated: rates that the detector is given, one design a row: shape [designs, categories], or with one more axis
            for a rate for each odds ratio.
        paths: runs per design.

    Returns:
        Rate and its standard error, shape [designs]. Designs with at least `enough` alarms in the second half of the
        burn-in are counted there instead.
    """
    designs = stated.shape[0]
    grid = odds_ratio_grid(direction)
    rows = np.repeat(np.arange(designs), paths)
    tilt = np.tile(np.arange(paths) % grid.size, designs)
    detector = MixtureShiryaevRoberts(arl, direction=direction, streams=rows.size)
    true_sr = MixtureShiryaevRoberts(1e300, direction=direction, streams=rows.size)
    counted = _burn_in(truth, stated[rows], detector, true_sr, rng, burn_in)
    weights = _tilted(truth, stated[rows], (detector, true_sr), grid[tilt], rng, cap).reshape(designs, paths)
    sampled, error = weights.mean(axis=1), weights.std(axis=1, ddof=1) / np.sqrt(paths)
    alarms = counted.reshape(designs, paths).sum(axis=1)
    exposure = paths * (burn_in - burn_in // 2)
    frequent = alarms >= enough
    return np.where(frequent, alarms / exposure, sampled), np.where(frequent, np.sqrt(alarms) / exposure, error)


def _burn_in(
    truth: Strata,
    stated: Array,
    detector: MixtureShiryaevRoberts,
    true_sr: MixtureShiryaevRoberts,
    rng: np.random.Generator,
    steps: int,
) -> Array:
    """Run in control to stationarity, restarting at alarms; alarms per path in the second half."""
    index, alarms = np.arange(len(stated)), np.zeros(len(stated))
    for step in range(steps):
        category = truth.draw(rng, index.size)
        rate = truth.rates[category]
        x = (rng.random(index.size) < rate).astype(np.float64)
        over = detector.update(x, stated[index, category])
        true_sr.update(x, rate)
        if over.any():
            alarms += over * (step >= steps // 2)
            detector.reset(over)
            true_sr.reset(over)
    return alarms


def _tilted(
    truth: Strata,
    stated: Array,
    pair: tuple[MixtureShiryaevRoberts, MixtureShiryaevRoberts],
    odds: Array,
    rng: np.random.Generator,
    cap: int,
) -> Array:
    """1 / R at the alarm, for paths whose odds are multiplied from now on; 0 for those that never alarm."""
    weights, alive = np.zeros(len(stated)), np.arange(len(stated))
    detector, true_sr = pair
    for _ in range(cap):
        category = truth.draw(rng, alive.size)
        rate = truth.rates[category]
        x = (rng.random(alive.size) < shift_odds(rate, odds[alive])).astype(np.float64)
        over = detector.update(x, stated[alive, category], alive)
        true_sr.update(x, rate, alive)
        if over.any():
            ended = alive[over]
            weights[ended] = 1.0 / true_sr.statistic[ended].mean(axis=1)
            alive = alive[~over]
            if not alive.size:
                break
    return weights


def counted_arl(rate: float, arl: float, rng: np.random.Generator, *, direction: Direction, runs: int) -> Estimate:
    """The run length from a fresh start, simulated to the end of every run."""
    detector = MixtureShiryaevRoberts(arl, direction=direction, streams=runs)
    lengths, alive, step = np.zeros(runs), np.arange(runs), 0
    while alive.size:
        step += 1
        over = detector.update(rng.random(alive.size) < rate, rate, alive)
        lengths[alive[over]] = step
        alive = alive[~over]
    return Estimate.of(lengths)


@dataclass(frozen=True)
class OptimalCusum:
    """Page's CUSUM with both rates known: minimises Lorden's delay (Moustakides 1986). Exact, as a Markov chain.

    The two score increments are put on a lattice (best fraction with few enough points, so that scores are off by
    less than 1e-3 of themselves). Between two lattice thresholds, delays are interpolated in log run length, which is
    what a randomised threshold gives.
    """

    before: float
    after: float

    def delay(self, arl: float) -> tuple[float, float]:
        """Mean delay at that run length: from the reset state (Lorden's worst case), and from a stationary state."""
        low, high = 1, 2
        while self._arl(high) < arl:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._arl(middle) < arl else (low, middle)
        (below, above) = (self._arl(low), self._arl(high))
        part = np.log(arl / below) / np.log(above / below)
        one, two = self._delays(low), self._delays(high)
        return (1 - part) * one[0] + part * two[0], (1 - part) * one[1] + part * two[1]

    def _lattice(self) -> tuple[int, int]:
        """Steps for outcomes 1 and 0."""
        one, zero = np.log(self.after / self.before), np.log((1 - self.after) / (1 - self.before))
        small, large = sorted((abs(one), abs(zero)))
        best = min(range(1, 41), key=lambda k: abs(round(large / small * k) / k - large / small) + 1e-5 * k)
        steps = {small: best, large: round(large / small * best)}
        return int(np.sign(one)) * steps[abs(one)], int(np.sign(zero)) * steps[abs(zero)]

    def _system(self, threshold: int, rate: float):
        states = np.arange(threshold)
        rows, columns, values = [], [], []
        for step, chance in zip(self._lattice(), (rate, 1 - rate), strict=True):
            target = np.maximum(states + step, 0)
            inside = target < threshold
            rows.append(states[inside])
            columns.append(target[inside])
            values.append(np.full(inside.sum(), chance))
        shape = (threshold, threshold)
        return coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)

    def _arl(self, threshold: int) -> float:
        matrix = (identity(threshold) - self._system(threshold, self.before)).tocsc()
        return float(splu(matrix).solve(np.ones(threshold))[0])

    def _delays(self, threshold: int) -> tuple[float, float]:
        matrix = (identity(threshold) - self._system(threshold, self.after)).tocsc()
        delays = splu(matrix).solve(np.ones(threshold))
        in_control = self._system(threshold, self.before).tocsr().T
        state = np.zeros(threshold)
        state[0] = 1.0
        for _ in range(5_000):
            state = in_control @ state
            state /= state.sum()
        return float(delays[0]), float(state @ delays)
