"""Section `baseline`: the run length that was really bought when rates come from a baseline of n labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from _run_length import Strata, false_alarm_rate
from _tables import Estimate, Table

from monitor.baseline import StratumRates
from monitor.detection_config import DetectionConfig
from monitor.detectors import MixtureShiryaevRoberts, odds_ratio_grid, shift_odds
from monitor.simulation import SimulationConfig, compile_rules

Array = np.ndarray
Designer = Callable[[Array, Array, Array], Array]
"""(labels by stratum, sums by stratum, mix to come) -> rates to bet against, by stratum (and odds ratio)."""
SIZES = (300, 1_000, 3_000, 10_000)
ARL = 1e6
ODDS_RATIO = 4.0


def pooled_truth() -> Strata:
    """Fourteen categories in SORRY-Bench's mix with GPT-OSS-20B's rates (0.01 to 0.30, mean 0.13)."""
    rules = compile_rules(SimulationConfig())
    return Strata(rules.mix_before, rules.before.compliance)


def with_limit(labels: Array, sums: Array, mix: Array) -> Array:
    """Ours: for each odds ratio one common log-odds shift to the limit of what its bet averages."""
    return StratumRates(labels, sums).common_limit(mix, odds_ratio_grid("up"), DetectionConfig().limit_confidence, ARL)


def plugged_in(labels: Array, sums: Array, mix: Array) -> Array:
    """The estimate taken for the truth: add-one rates."""
    del mix
    return (sums + 1.0) / (labels + 2.0)


def each_with_limit(labels: Array, sums: Array, mix: Array) -> Array:
    """The upper limit of every category by itself."""
    rates, confidence = StratumRates(labels, sums), DetectionConfig().limit_confidence
    return np.array([rates.own_limit(index, "up", confidence) for index in range(mix.size)])


def draw_designs(
    truth: Strata, size: int, draws: int, designer: Designer, rng: np.random.Generator, live: Array
) -> Array:
    """Rates that `draws` baselines of `size` labels lead to for traffic of mix `live`, shape [draws, categories (, grid)]."""
    labels = rng.multinomial(size, truth.mix, size=draws).astype(np.float64)
    sums = rng.binomial(labels.astype(np.int64), truth.rates).astype(np.float64)
    return np.stack([designer(n, s, live) for n, s in zip(labels, sums, strict=True)])


def delays(truth: Strata, designs: Array, odds_ratio: float, rng: np.random.Generator, runs: int) -> Estimate:
    """Mean delay from no evidence, over designs (whose scatter makes the error)."""
    rows = np.repeat(np.arange(len(designs)), runs)
    detector = MixtureShiryaevRoberts(ARL, streams=rows.size)
    found, alive, step = np.zeros(rows.size), np.arange(rows.size), 0
    while alive.size:
        step += 1
        category = truth.draw(rng, alive.size)
        x = rng.random(alive.size) < shift_odds(truth.rates[category], odds_ratio)
        over = detector.update(x, designs[rows[alive], category], alive)
        found[alive[over]] = step
        alive = alive[~over]
    return Estimate.of(found.reshape(len(designs), runs).mean(axis=1))


def realised(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """Run length against the nominal one, over many baselines."""
    draws, paths, burn_in = (4, 16, 200) if quick else (80, 32, 1_500)
    table = Table(
        f"Realised run length of the pooled compliance stream with a baseline of n labels (nominal {ARL:.0e})",
        ("traffic", "n", "how rates are set", "10th percentile / nominal", "median / nominal", "baselines below nominal",
         f"delay at odds ×{ODDS_RATIO:g}", "over known rates"),
        [
            f"{draws} baselines a row, {paths} importance-sampled runs each; the sampling error of one baseline's run length is about "
            "a sixth, so the 10th percentile is a little pessimistic. Fourteen categories in SORRY-Bench's mix with GPT-OSS-20B's "
            f"rates. Ours: the limit of confidence {DetectionConfig().limit_confidence:g} that the detectors use.",
        ],
    )  # fmt: skip
    truth = pooled_truth()
    known = delays(truth, np.tile(truth.rates, (draws, 1)), ODDS_RATIO, rng, 16)
    for size in SIZES:
        for name, designer in (
            ("add-one estimate", plugged_in),
            ("ours", with_limit),
            ("each category's limit", each_with_limit),
        ):
            designs = draw_designs(truth, size, draws, designer, rng, truth.mix)
            table.rows.append(
                _row(("as in the baseline", f"{size:,}", name), truth, designs, known, (paths, burn_in), rng)
            )
    for name, rate in (("one category, 0.10", 0.10), ("one category, 0.03", 0.03)):
        single = Strata.single(rate)
        single_known = delays(single, np.full((draws, 1), rate), ODDS_RATIO, rng, 16)
        for size in SIZES:
            designs = draw_designs(single, size, draws, with_limit, rng, single.mix)
            table.rows.append(_row((name, f"{size:,}", "ours"), single, designs, single_known, (paths, burn_in), rng))
    yield table


def _row(
    labels: tuple[str, str, str],
    truth: Strata,
    designs: Array,
    known: Estimate,
    effort: tuple[int, int],
    rng: np.random.Generator,
) -> list[str]:
    paths, burn_in = effort
    rates, _ = false_alarm_rate(truth, designs, ARL, rng, paths=paths, burn_in=burn_in, cap=60_000, enough=60)
    ratios = 1.0 / np.maximum(rates, 1e-12) / ARL
    delay = delays(truth, designs, ODDS_RATIO, rng, 16)
    low, middle = _quantile(ratios, 0.1, rng), _quantile(ratios, 0.5, rng)
    return [*labels, str(low), str(middle), f"{(ratios < 1).mean():.0%}", str(delay), str(delay.over(known))]


def _quantile(sample: Array, level: float, rng: np.random.Generator) -> Estimate:
    """With its bootstrap error."""
    again = np.quantile(rng.choice(sample, size=(400, sample.size)), level, axis=1)
    return Estimate(float(np.quantile(sample, level)), float(again.std()))


def moved_mix(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """What the common shift is worth when users turn to other categories than the baseline's."""
    draws, paths, burn_in = (4, 16, 200) if quick else (60, 32, 1_500)
    table = Table(
        "The same when the mix of requests has moved since the baseline (n = 1,000 and 4,000)",
        ("traffic now", "n", "how rates are set", "10th percentile / nominal", "median / nominal", "baselines below nominal",
         f"delay at odds ×{ODDS_RATIO:g}", "over known rates"),
        ["The limit is set for the mix that is seen, as the engine does; `limit of the old mix` keeps the baseline's."],
    )  # fmt: skip
    truth = pooled_truth()
    spike = np.full(truth.mix.size, 0.2 / (truth.mix.size - 1))
    spike[np.argsort(truth.rates)[4]] = 0.8
    for name, mix in (
        ("every category equally", np.full(truth.mix.size, 1 / truth.mix.size)),
        ("80 % in one rare category", spike),
    ):
        now = Strata(mix, truth.rates)
        known = delays(now, np.tile(truth.rates, (draws, 1)), ODDS_RATIO, rng, 16)
        for size in (1_000, 4_000):
            for label, live in (("ours", mix), ("limit of the old mix", truth.mix)):
                designs = draw_designs(truth, size, draws, with_limit, rng, live)
                table.rows.append(_row((name, f"{size:,}", label), now, designs, known, (paths, burn_in), rng))
    yield table
