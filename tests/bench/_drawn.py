"""Baselines of any size, drawn as counts: what fitting that many simulated labels would give, without making them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from monitor.baseline import Baseline, KindCounts
from monitor.simulation import SimulationConfig, compile_rules
from monitor.streams import HOURS_OF_WEEK, STRATA, Kind

Array = np.ndarray


def drawn_baseline(config: SimulationConfig, labels: int, rng: np.random.Generator) -> Baseline:
    """An approved baseline from `labels` labels of `config`'s traffic before its onset."""
    rules = compile_rules(config)
    before, mix = rules.before, np.append(rules.mix_before, 0.0)
    sensitive = int(rng.binomial(labels, config.harmful_share))
    by_category = rng.multinomial(sensitive, mix)
    broken = rng.binomial(by_category, before.degenerate)
    complied = rng.binomial(by_category - broken, np.append(before.compliance, 0.0))
    benign = labels - sensitive
    broken_benign = int(rng.binomial(benign, before.degenerate))
    refused = int(rng.binomial(benign - broken_benign, before.benign_refusal))
    hours = np.full(HOURS_OF_WEEK, 1.0 / HOURS_OF_WEEK)
    by_hour = rng.multinomial(labels, hours)
    harmful = 0.9 * complied.sum() / labels + 0.01
    none = np.zeros(len(STRATA))
    counts: dict[Kind, KindCounts] = {
        "compliance": _counts(by_category - broken, complied),
        "control": _counts([benign - broken_benign], [refused]),
        "degenerate": _counts([sensitive, benign], [broken.sum(), broken_benign]),
        "provider-blocked": _counts(by_category, none),
        "sensitive-share": _counts(by_hour, rng.binomial(by_hour, config.harmful_share)),
        "harmful-answers": _counts(by_hour, by_hour * harmful),
        "unlabelable": _counts([labels], [0]),
    }
    end = config.start - timedelta(days=1)
    return (
        Baseline(
            deployment=config.deployment,
            classifier="simulated",
            period_start=end - timedelta(seconds=labels / config.rate),
            period_end=end,
            fitted_at=end,
            labels=labels,
            counts=counts,
        )
        .sealed()
        .approve("bench")
    )


def _counts(labels: Array | list[int], sums: Array | list[int]) -> KindCounts:
    return KindCounts(labels=tuple(float(n) for n in labels), sums=tuple(float(s) for s in sums))
