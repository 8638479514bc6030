"""Section `delay`: labels to detection at equal run length, and what peers do at their defaults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from _peers import (
    CAP,
    Rule,
    burn_rate,
    calibrated_window,
    naive_window,
    psi,
    river_arl,
    river_delay,
    rule_arl,
    rule_delay,
    window_run_lengths,
)
from _run_length import OptimalCusum, Strata, counted_arl, false_alarm_rate
from _tables import Estimate, Table, number
from river import drift

from monitor.detectors import Direction, MixtureShiryaevRoberts

CASES = ((0.10, 0.70), (0.10, 0.30), (0.10, 0.15), (0.03, 0.01), (0.01, 0.03))
ARLS = (1e4, 1e6)
WINDOW_SIZES = (50, 200, 1000, 4000)


@dataclass(frozen=True)
class Effort:
    """How long to simulate; the quick one is for a smoke test."""

    runs: int
    paths: int
    burn_in: int
    window_labels: int
    river_runs: int
    river_labels: int

    @classmethod
    def of(cls, *, quick: bool) -> Effort:
        return (
            cls(100, 80, 1_000, 4_000_000, 1, 10_000) if quick else cls(4_000, 640, 10_000, 60_000_000, 40, 1_000_000)
        )


def name(case: tuple[float, float]) -> str:
    """`.10 → .70`, with its odds ratio."""
    before, after = case
    ratio = after / (1 - after) * (1 - before) / before
    return f"{before:.2f} → {after:.2f} (odds ×{ratio:.2g})"


def way(case: tuple[float, float]) -> Direction:
    return "up" if case[1] > case[0] else "down"


def detector_delay(
    case: tuple[float, float], arl: float, rng: np.random.Generator, *, runs: int, burn_in: int
) -> tuple[Estimate, Estimate]:
    """Ours: mean delay from no evidence (the worst case for Shiryaev-Roberts), and from a stationary state."""
    before, after = case
    fresh = MixtureShiryaevRoberts(arl, direction=way(case), streams=runs)
    few = min(runs, 1_000)
    settled = MixtureShiryaevRoberts(arl, direction=way(case), streams=few)
    for _ in range(burn_in):
        over = settled.update(rng.random(few) < before, before)
        if over.any():
            settled.reset(over)
    return _until_alarm(fresh, before, after, rng), _until_alarm(settled, before, after, rng)


def _until_alarm(detector: MixtureShiryaevRoberts, stated: float, actual: float, rng: np.random.Generator) -> Estimate:
    alive, delays, step = np.arange(len(detector.labels)), [], 0
    while alive.size:
        step += 1
        over = detector.update(rng.random(alive.size) < actual, stated, alive)
        delays += [step] * int(over.sum())
        alive = alive[~over]
    return Estimate.of(delays)


def equal_run_length(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """Ours and windows against the exact optimum, all at the same realised run length."""
    effort = Effort.of(quick=quick)
    table = Table(
        "Delay at equal run length (labels from the change to the alarm, mean)",
        ("compliance", "ARL", "optimal CUSUM", "ours, threshold = ARL", "ratio", "its realised ARL / nominal",
         "ours at equal realised ARL", "ratio", "stationary ratio", "best calibrated window", "ratio", "blind alarm every ARL"),
        [
            "Optimal: CUSUM that knows both rates (exactly optimal for Lorden's criterion, Moustakides 1986), solved exactly as "
            "a Markov chain. Ours: 16 odds ratios, not told the new rate. Delays count the alarming label and start from no "
            "evidence, the worst case for both; `stationary ratio` starts both from a long in-control run (Pollak). Window: "
            f"the best of {WINDOW_SIZES} labels for that very change, threshold calibrated to at least the ARL.",
        ],
    )  # fmt: skip
    overshoot, windows = {}, {}
    for case in CASES:
        kind = (case[0], way(case))
        if kind not in windows:
            windows[kind] = window_run_lengths(
                case[0], WINDOW_SIZES, rng, upward=kind[1] == "up", labels=effort.window_labels
            )
        for arl in ARLS:
            if (*kind, arl) not in overshoot:
                overshoot[*kind, arl] = _overshoot(case, arl, effort, rng)
            window = best_window(case, arl, windows[kind], min(effort.runs, 300), rng)
            table.rows.append(_equal_row(case, arl, overshoot[*kind, arl], window, effort, rng))
    yield table
    yield _check(effort, rng)


def _overshoot(case: tuple[float, float], arl: float, effort: Effort, rng: np.random.Generator) -> Estimate:
    """Realised over nominal run length."""
    burn_in = effort.burn_in if arl > 1e5 else effort.burn_in // 4
    rate, error = false_alarm_rate(
        Strata.single(case[0]),
        np.array([[case[0]]]),
        arl,
        rng,
        direction=way(case),
        paths=effort.paths,
        burn_in=burn_in,
    )
    return Estimate(float(rate[0]) * arl, float(error[0]) * arl).inverse()


def _equal_row(
    case: tuple[float, float],
    arl: float,
    overshoot: Estimate,
    best: tuple[Estimate, int],
    effort: Effort,
    rng: np.random.Generator,
) -> list[str]:
    worst, stationary = OptimalCusum(*case).delay(arl)
    burn_in = min(effort.burn_in, 4_000)
    nominal, _ = detector_delay(case, arl, rng, runs=effort.runs, burn_in=0)
    equal, settled = detector_delay(case, max(arl / overshoot.mean, 1.0), rng, runs=effort.runs, burn_in=burn_in)
    window, size = best
    return [
        name(case), f"{arl:.0e}".replace("e+0", "e"), f"{worst:.1f}", str(nominal), str(nominal.over(Estimate(worst))),
        str(overshoot), str(equal), str(equal.over(Estimate(worst))), str(settled.over(Estimate(stationary))),
        f"{window} ({size})", str(window.over(Estimate(worst))), number((arl + 1) / 2),
    ]  # fmt: skip


def best_window(
    case: tuple[float, float], arl: float, run_lengths: dict[int, dict[int, float]], runs: int, rng: np.random.Generator
) -> tuple[Estimate, int]:
    """The calibrated window that sees this change soonest; no operator knows beforehand which one that is."""
    found = []
    for size, lengths in run_lengths.items():
        rule = calibrated_window(size, lengths, arl, upward=way(case) == "up")
        if rule is not None:
            delay, missed = rule_delay(rule, case, rng, runs)
            if missed < 0.01 and not math.isnan(delay.mean):
                found.append((delay.mean, delay, size))
    if not found:
        return Estimate(math.nan, 0.0), 0
    _, delay, size = min(found, key=lambda item: item[0])
    return delay, size


def _check(effort: Effort, rng: np.random.Generator) -> Table:
    """The importance sampler against runs counted to their end, where counting is affordable."""
    table = Table(
        "Check of the importance sampler (realised ARL / nominal, at 1e4)",
        ("in-control rate", "direction", "importance sampling", "counted to the end"),
    )
    for rate, direction in ((0.10, "up"), (0.03, "down"), (0.01, "up")):
        sampled = _overshoot((rate, 0.5 if direction == "up" else 0.001), 1e4, effort, rng)
        counted = counted_arl(rate, 1e4, rng, direction=direction, runs=min(effort.runs, 400)).over(Estimate(1e4))
        table.rows.append([number(rate), direction, str(sampled), str(counted)])
    return table


def peers_at_defaults(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """What a team gets from tools as they come: the run length is whatever it is."""
    effort = Effort.of(quick=quick)
    table = Table(
        "Peers as they come (delay in labels; run length as it happens to be)",
        ("compliance", "ours, ARL 1e6", "ADWIN", "ADWIN, ARL", "PageHinkley", "PageHinkley, ARL",
         "3-sigma window of 100", "its ARL", "burn rate 14.4×/6×", "its ARL", "PSI > 0.2 over 500", "its ARL"),
        [
            f"river {_river_version()} at its defaults after 5,000 clean labels, which it has to learn from; ours and the windows are "
            f"told the baseline. A run without alarm in {CAP:,} labels is missed. Burn rate: budget = baseline rate, 100 labels "
            "an hour. ARL by counting alarms; `>` where there were none.",
        ],
    )  # fmt: skip
    for case in CASES:
        upward = way(case) == "up"
        row = [name(case), str(detector_delay(case, 1e6, rng, runs=effort.runs, burn_in=0)[0])]
        for make in (drift.ADWIN, drift.PageHinkley):
            row.append(_seen(river_delay(make, case, rng, runs=effort.river_runs, warm_up=5_000)))
            row.append(_run_length(river_arl(make, case[0], rng, effort.river_labels), effort.river_labels))
        for rule in (naive_window(case[0], upward=upward), burn_rate(case[0], upward=upward), psi(case[0])):
            row += _rule_cells(rule, case, effort, rng)
        table.rows.append(row)
    yield table


def _rule_cells(rule: Rule, case: tuple[float, float], effort: Effort, rng: np.random.Generator) -> list[str]:
    delay = _seen(rule_delay(rule, case, rng, min(effort.runs, 400)))
    labels = effort.window_labels // 4
    return [delay, _run_length(rule_arl(rule, case[0], rng, labels), labels)]


def _seen(result: tuple[Estimate, float]) -> str:
    delay, missed = result
    if missed > 0.99:
        return "never"
    return f"{delay} ({missed:.0%} missed)" if missed else str(delay)


def _run_length(result: tuple[float, int], labels: int) -> str:
    arl, alarms = result
    return f"> {number(float(labels))}" if not alarms else str(Estimate(arl, arl / math.sqrt(alarms)))


def _river_version() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return version("river")
