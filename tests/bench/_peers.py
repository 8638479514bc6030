"""What others page on: windows, burn rates, PSI, river's drift detectors, and a dummy that cannot see."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _tables import Estimate
from river import drift

Array = np.ndarray
BLOCK = 4_000_000
CAP = 20_000
"""Labels after the change until a run counts as missed."""


@dataclass(frozen=True)
class Window:
    """Alarm when the ones among the last `size` labels reach `high`, or fall to `low`."""

    size: int
    high: float = math.inf
    low: float = -1.0

    def fires(self, totals: Array) -> Array:
        """Whether each window alarms, given running totals of outcomes along the last axis."""
        inside = totals[..., self.size :] - totals[..., : -self.size]
        return (inside >= self.high) | (inside <= self.low)


@dataclass(frozen=True)
class Rule:
    """Alarm when every window of one of the groups fires (a group of two: the SRE multi-window form)."""

    name: str
    groups: tuple[tuple[Window, ...], ...]

    @property
    def longest(self) -> int:
        return max(window.size for group in self.groups for window in group)

    def fires(self, x: Array) -> Array:
        """Alarm flags of outcomes along the last axis, from the first label with all windows full."""
        totals = np.concatenate(
            [np.zeros((*x.shape[:-1], 1), dtype=np.int32), np.cumsum(x, axis=-1, dtype=np.int32)], -1
        )
        length = x.shape[-1] - self.longest + 1
        alarm = np.zeros((*x.shape[:-1], length), dtype=bool)
        for group in self.groups:
            together = np.ones_like(alarm)
            for window in group:
                together &= window.fires(totals)[..., -length:]
            alarm |= together
        return alarm


def naive_window(rate: float, *, upward: bool, size: int = 100) -> Rule:
    """Mean of the last 100 labels beyond three standard deviations."""
    spread = 3 * math.sqrt(size * rate * (1 - rate))
    if upward:
        return Rule("3-sigma window, 100 labels", ((Window(size, high=size * rate + spread),),))
    return Rule("3-sigma window, 100 labels", ((Window(size, low=size * rate - spread),),))


def burn_rate(rate: float, *, upward: bool, hourly: int = 100) -> Rule:
    """14.4x over 1 h and 5 min, or 6x over 6 h and 30 min, of a budget equal to the baseline rate.

    Google's SRE Workbook, chapter 5; `hourly` labels an hour. A fall is no burn.
    """
    if not upward:
        return Rule("burn rate 14.4x / 6x", ((Window(hourly, high=math.inf),),))
    pairs = ((14.4, hourly, round(hourly / 12)), (6.0, 6 * hourly, hourly // 2))
    groups = tuple(
        (Window(long, factor * rate * long), Window(short, factor * rate * short)) for factor, long, short in pairs
    )
    return Rule("burn rate 14.4x / 6x", groups)


def psi(rate: float, size: int = 500, limit: float = 0.2) -> Rule:
    """Population stability index of the last 500 labels against the baseline above 0.2."""
    shares = (np.arange(size + 1) + 0.5) / (size + 1)
    index = (shares - rate) * np.log(shares / rate) + (rate - shares) * np.log((1 - shares) / (1 - rate))
    over = np.flatnonzero(index > limit)
    high, low = over[over > size * rate], over[over < size * rate]
    window = Window(size, float(high.min()) if high.size else math.inf, float(low.max()) if low.size else -1.0)
    return Rule("PSI > 0.2, 500 labels", ((window,),))


def rule_arl(rule: Rule, rate: float, rng: np.random.Generator, labels: int) -> tuple[float, int]:
    """Run length by counting alarms (bursts within a window count once) in `labels` labels; and how many there were."""
    alarms, last, done, block = 0, -rule.longest, 0, BLOCK
    while done < labels:
        fired = np.flatnonzero(rule.fires(_flips(rng, rate, block))) + done
        if fired.size:
            gaps = np.diff(np.concatenate([[last], fired]))
            alarms += int((gaps > rule.longest).sum())
            last = int(fired[-1])
        done += block
    return (done / alarms if alarms else math.inf), alarms


def rule_delay(rule: Rule, rates: tuple[float, float], rng: np.random.Generator, runs: int) -> tuple[Estimate, float]:
    """Mean labels to the alarm when the change finds the windows full, and the share of runs that never alarm.

    Runs that stand in alarm at the change are drawn again.
    """
    before, after = rates
    delays, todo = [], runs
    while todo > 0:
        size = min(todo, 200)
        x = np.concatenate([_flips(rng, before, rule.longest, size), _flips(rng, after, CAP, size)], axis=1)
        fired = rule.fires(x)
        usable = ~fired[:, 0]
        first = np.where(fired.any(axis=1), fired.argmax(axis=1), CAP)
        delays.append(first[usable])
        todo -= int(usable.sum())
        if not usable.any():
            return Estimate(math.nan, math.nan), 1.0
    found = np.concatenate(delays)
    return Estimate.of(found), float((found >= CAP).mean())


def window_run_lengths(
    rate: float, sizes: tuple[int, ...], rng: np.random.Generator, *, upward: bool, labels: int
) -> dict[int, dict[int, float]]:
    """Run length of the one-sided window of each size at each threshold that matters, from one long sample.

    Thresholds run from 2.5 standard deviations to the first that is never reached, whose run length is infinite.
    """
    sign, alarms = (1 if upward else -1), {size: Counter[int]() for size in sizes}
    starts = {size: round(size * rate + sign * 2.5 * math.sqrt(size * rate * (1 - rate))) for size in sizes}
    blocks = max(labels // BLOCK, 1)
    for _ in range(blocks):
        totals = np.concatenate([[0], np.cumsum(_flips(rng, rate, BLOCK), dtype=np.int32)])
        for size in sizes:
            inside, count = totals[size:] - totals[:-size], starts[size]
            while (fired := np.flatnonzero(inside >= count if upward else inside <= count)).size:
                alarms[size][count] += 1 + int((np.diff(fired) > size).sum())
                count += sign
    found = {}
    for size in sizes:
        lengths = {count: blocks * BLOCK / number for count, number in alarms[size].items()}
        found[size] = lengths | {max(lengths, default=starts[size], key=lambda c: c * sign) + sign: math.inf}
    return found


def calibrated_window(size: int, run_lengths: dict[int, float], arl: float, *, upward: bool) -> Rule | None:
    """The window of `size` whose threshold is the lowest with at least that run length; None where there is none."""
    enough = [count for count, length in run_lengths.items() if length >= arl and 0 <= count <= size]
    if not enough:
        return None
    count = min(enough) if upward else max(enough)
    window = Window(size, high=count) if upward else Window(size, low=count)
    return Rule(f"window of {size}", ((window,),))


def river_delay(
    make: Callable[[], drift.ADWIN | drift.PageHinkley],
    rates: tuple[float, float],
    rng: np.random.Generator,
    *,
    runs: int,
    warm_up: int,
) -> tuple[Estimate, float]:
    """Mean delay of a self-baselining detector after `warm_up` clean labels, and the share of runs missed."""
    delays = []
    for _ in range(runs):
        detector = make()
        for x in _flips(rng, rates[0], warm_up).tolist():
            detector.update(x)
        delay = CAP
        for index, x in enumerate(_flips(rng, rates[1], CAP).tolist(), start=1):
            detector.update(x)
            if detector.drift_detected:
                delay = index
                break
        delays.append(delay)
    return Estimate.of(delays), float((np.array(delays) >= CAP).mean())


def river_arl(
    make: Callable[[], drift.ADWIN | drift.PageHinkley], rate: float, rng: np.random.Generator, labels: int
) -> tuple[float, int]:
    """Run length by counting alarms in `labels` clean labels."""
    detector, alarms = make(), 0
    for x in _flips(rng, rate, labels).tolist():
        detector.update(x)
        alarms += detector.drift_detected
    return (labels / alarms if alarms else math.inf), alarms


def _flips(rng: np.random.Generator, rate: float, length: int, runs: int | None = None) -> Array:
    shape = length if runs is None else (runs, length)
    return (rng.random(shape, dtype=np.float32) < rate).astype(np.int8)
