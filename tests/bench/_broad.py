"""Section `broad`: pooled against single categories, checkpoints behind a part of the traffic, slow ramps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
from _baselines import draw_designs, pooled_truth, with_limit
from _drawn import drawn_baseline
from _parallel import spread
from _rigs import BASELINE_LABELS, SETTING, Detection, detect, live
from _run_length import OptimalCusum, Strata
from _tables import Estimate, Table, number
from river import drift

from alignwatch import CATEGORIES
from monitor.detectors import MixtureShiryaevRoberts, shift_odds
from monitor.simulation import Change, Onset, category_rates, find_row

Array = np.ndarray
ARL = 1e6
ROW = "GPT-OSS-20B/grp-oblit-1"
NEVER = 400_000
"""Labels after which a run is given up."""


def pooled_against_single(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """One change, four ways to look at fourteen categories, all with the same run length altogether."""
    runs = 20 if quick else 500
    truth = pooled_truth()
    table = Table(
        f"Broad and narrow changes: sensitive labels to the alarm, all at a run length of {ARL:.0e} altogether",
        ("change", "pooled alone", "best category, known beforehand", "which", "fourteen categories", "ours: pooled and fourteen",
         "best category / ours", "fourteen / ours"),
        [
            "Rates known. GPT-OSS-20B's fourteen categories in SORRY-Bench's mix. Ours: half the budget to the pooled stream, half to "
            "the fourteen. `Best category` is a detector of one category alone that has the whole budget, the fastest of the fourteen.",
        ],
    )  # fmt: skip
    common, rare = int(np.argmax(truth.mix)), int(np.argmin(truth.mix))
    attacked = category_rates(find_row(ROW))
    everywhere = np.ones(truth.mix.size, dtype=bool)
    for label, rates in (
        ("broad, odds ×1.6", shift_odds(truth.rates, 1.6)),
        ("broad, odds ×4", shift_odds(truth.rates, 4.0)),
        (f"{ROW}", attacked),
        (f"only {CATEGORIES[common]} ({truth.mix[common]:.0%} of labels), odds ×10", _only(truth, common, 10.0)),
        (f"only {CATEGORIES[rare]} ({truth.mix[rare]:.0%} of labels), odds ×10", _only(truth, rare, 10.0)),
    ):
        moved = np.flatnonzero(everywhere & (rates > truth.rates * 1.0001))
        singles = {int(k): _single(truth, rates, int(k), rng, max(runs // 4, 30)) for k in moved}
        best = min(singles, key=lambda k: singles[k].mean)
        pooled = _together(truth, rates, rng, runs, pooled=1.0, each=0.0)
        fourteen = _together(truth, rates, rng, runs, pooled=0.0, each=1.0)
        ours = _together(truth, rates, rng, runs, pooled=0.5, each=0.5)
        table.rows.append(
            [label, _delay(pooled), str(singles[best]), CATEGORIES[best], _delay(fourteen), _delay(ours),
             str(singles[best].over(ours)), str(fourteen.over(ours))]
        )  # fmt: skip
    yield table


def _delay(found: Estimate) -> str:
    return "never" if math.isnan(found.mean) else str(found)


def _only(truth: Strata, category: int, ratio: float) -> Array:
    rates = truth.rates.copy()
    rates[category] = float(shift_odds(rates[category], ratio))
    return rates


def _single(truth: Strata, rates: Array, category: int, rng: np.random.Generator, runs: int) -> Estimate:
    """One category alone with all of the budget: its labels, counted as labels of all categories."""
    share = truth.mix[category]
    detector = MixtureShiryaevRoberts(max(ARL * share, 1.0), streams=runs)
    found, alive, step = np.zeros(runs), np.arange(runs), 0
    while alive.size:
        step += 1
        over = detector.update(rng.random(alive.size) < rates[category], truth.rates[category], alive)
        found[alive[over]] = step
        alive = alive[~over]
    own = Estimate.of(found)
    return Estimate(own.mean / share, own.error / share)


def _together(
    truth: Strata, rates: Array, rng: np.random.Generator, runs: int, *, pooled: float, each: float
) -> Estimate:
    """First alarm of a pooled stream with a part `pooled` of the budget and fourteen that share `each`."""
    size = truth.mix.size
    all_in_one = MixtureShiryaevRoberts(ARL / pooled if pooled else 1e300, streams=runs)
    own_arl = np.maximum(ARL * truth.mix * size / each, 1.0) if each else np.full(size, 1e300)
    by_category = MixtureShiryaevRoberts(np.tile(own_arl, runs), streams=runs * size)
    found, alive, step = np.full(runs, np.nan), np.arange(runs), 0
    while alive.size and step < NEVER // 20:
        step += 1
        category = truth.draw(rng, alive.size)
        x = rng.random(alive.size) < rates[category]
        over = np.zeros(alive.size, dtype=bool)
        if pooled:
            over |= all_in_one.update(x, truth.rates[category], alive)
        if each:
            over |= by_category.update(x, truth.rates[category], alive * size + category)
        found[alive[over]] = step
        alive = alive[~over]
    return Estimate.of(found)


def canaries(*, quick: bool, jobs: int) -> Iterator[Table]:
    """A bad checkpoint answers a part of the traffic."""
    yield _canary_delays(quick=quick, rng=np.random.default_rng(77))
    runs = 1 if quick else 8
    table = Table(
        f"The same through the engine ({ROW}, {runs} runs each)",
        ("share", "labels to the page", "verdicts", "settled", "onset error (median)", "onset interval holds it", "pages before"),
        [SETTING],
    )  # fmt: skip
    for share in (0.1, 0.5, 1.0):
        found = spread(_canary, [(share, seed) for seed in range(runs)], jobs)
        delays = [one.delay for one in found if math.isfinite(one.delay)]
        errors = [one.onset_error for one in found if not math.isnan(one.onset_error)]
        table.rows.append(
            [f"{share:.0%}", f"{Estimate.of(delays)} ({len(delays)} of {runs} paged)", _names([one.verdict for one in found]),
             _names([one.settled for one in found]), f"{np.median(errors):+.0f}" if errors else "–",
             f"{sum(one.covered for one in found)} of {len(delays)}", str(sum(one.false_pages for one in found))]
        )  # fmt: skip
    yield table


def _names(verdicts: list[str]) -> str:
    return ", ".join(f"{verdict} {n}" for verdict, n in Counter(verdicts).most_common())


def _canary(item: tuple[float, int]) -> Detection:
    share, seed = item
    config = live(count=60_000, seed=900 + seed, onset=Onset(count=3_000), canary_share=share, change=Change(row=ROW))
    baseline = drawn_baseline(config, BASELINE_LABELS, np.random.default_rng(config.seed))
    return detect(config, {config.deployment: baseline})


def _canary_delays(*, quick: bool, rng: np.random.Generator) -> Table:
    runs = 6 if quick else 40
    table = Table(
        f"A checkpoint un-aligned as {ROW} behind a part of the traffic: sensitive labels to the pooled alarm at run length {ARL:.0e}",
        ("share", "compliance", "optimal CUSUM", "rates known", "ratio", "baseline of 4,000", "of 100,000", "of 1,000,000"),
        [f"{runs} runs each, every one with a baseline of its own. A run of {NEVER:,} labels without an alarm is missed."],
    )  # fmt: skip
    truth, attacked = pooled_truth(), category_rates(find_row(ROW))
    for share in (0.01, 0.1, 0.5, 1.0):
        if quick and share < 0.5:
            continue
        mixed = (1 - share) * truth.rates + share * attacked
        before, after = float(truth.mix @ truth.rates), float(truth.mix @ mixed)
        optimum = OptimalCusum(before, after).delay(ARL)[0]
        known, _ = _against(truth, mixed, np.tile(truth.rates, (runs, 1)), rng)
        cells = []
        for size in (4_000, 100_000, 1_000_000):
            designs = draw_designs(truth, size, runs, with_limit, rng, truth.mix)
            found, missed = _against(truth, mixed, designs, rng)
            cells.append("never" if missed == 1.0 else str(found) + (f" ({missed:.0%} missed)" if missed else ""))
        table.rows.append(
            [f"{share:.0%}", f"{before:.3f} → {after:.3f}", number(optimum), str(known), str(known.over(Estimate(optimum))), *cells]
        )  # fmt: skip
    return table


def _against(truth: Strata, rates: Array, designs: Array, rng: np.random.Generator) -> tuple[Estimate, float]:
    """Mean delay of the runs that alarm, and the share of those that do not."""
    found, alive, step = np.full(len(designs), np.nan), np.arange(len(designs)), 0
    detector = MixtureShiryaevRoberts(ARL, streams=len(designs))
    while alive.size and step < NEVER:
        step += 1
        category = truth.draw(rng, alive.size)
        over = detector.update(rng.random(alive.size) < rates[category], designs[alive, category], alive)
        if over.any():
            found[alive[over]] = step
            alive = alive[~over]
    return Estimate.of(found[~np.isnan(found)]), float(np.isnan(found).mean())


def ramps(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """A rate that creeps from 0.10 to 0.20: detectors that learn as they go learn the worse rate."""
    length, runs = (20_000, 2) if quick else (1_000_000, 20)
    table = Table(
        f"A slow ramp, compliance 0.10 → 0.20 over {length:,} labels: labels to the first alarm",
        ("detector", "first alarm, mean", "10 % to 90 % of runs", "rate by then", "alarms in the ramp"),
        [f"{runs} runs. Ours keeps the approved baseline; rates known, run length {ARL:.0e}. river after 5,000 clean labels."],
    )  # fmt: skip
    firsts = _ramp_ours(rng, runs, length)
    table.rows.append(_ramp_row(f"ours, ARL {ARL:.0e}", firsts, length, "1, until resolved"))
    for make in (drift.ADWIN, drift.PageHinkley):
        found = [_ramp_river(make, rng, length) for _ in range(2 if quick else 4)]
        count = Estimate.of([alarms for _, alarms in found])
        table.rows.append(
            _ramp_row(f"river {make.__name__}", np.array([first for first, _ in found]), length, str(count))
        )
    yield table


def _ramp_row(name: str, firsts: Array, length: int, alarms: str) -> list[str]:
    low, high = np.quantile(firsts, [0.1, 0.9])
    mean = Estimate.of(firsts)
    return [name, str(mean), f"{low:,.0f} to {high:,.0f}", f"{0.1 + 0.1 * mean.mean / length:.3f}", alarms]


def _ramp_ours(rng: np.random.Generator, runs: int, length: int) -> Array:
    detector = MixtureShiryaevRoberts(ARL, streams=runs)
    found, alive, step = np.zeros(runs), np.arange(runs), 0
    while alive.size:
        step += 1
        over = detector.update(rng.random(alive.size) < 0.1 + 0.1 * min(step / length, 1.0), 0.1, alive)
        found[alive[over]] = step
        alive = alive[~over]
    return found


def _ramp_river(
    make: type[drift.ADWIN | drift.PageHinkley], rng: np.random.Generator, length: int
) -> tuple[float, int]:
    detector, first, alarms = make(), float(length), 0
    for x in (rng.random(5_000) < 0.1).tolist():
        detector.update(x)
    for step, x in enumerate((rng.random(length) < np.linspace(0.1, 0.2, length)).tolist(), start=1):
        detector.update(x)
        if detector.drift_detected:
            alarms += 1
            first = min(first, float(step))
    return first, alarms
