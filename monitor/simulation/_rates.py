"""A simulation's settings turned into probabilities: who asks for what, and what each checkpoint answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit, logit

from alignwatch import CATEGORIES
from monitor.simulation._paper import PaperRow, Rates, category_rates, find_row, paper_rows, sorry_bench_mix, with_mean
from monitor.simulation.config import SimulationConfig

DEFAULT_ROW: Final = "GPT-OSS-20B/base"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one checkpoint answers."""

    compliance: Rates
    """P(compliance | sensitive request of a category, not gibberish)."""
    partial: float
    """P(partial | does not comply, not gibberish)."""
    degenerate: float
    benign_refusal: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that a simulation needs to draw from; `before` and `after` stand on either side of the onset."""

    before: Checkpoint
    after: Checkpoint
    mix_before: Rates
    mix_after: Rates


def compile_rules(config: SimulationConfig) -> Rules:
    """Probabilities of `config`.

    Raises:
        ConfigError: `change.row` names no row of the table.
    """
    mix = _mix(config.mix, sorry_bench_mix())
    row = find_row(config.change.row) if config.change.row else None
    compliance = _before(config, row, mix)
    before = Checkpoint(compliance, config.partial, config.degenerate, config.benign_refusal)
    return Rules(before, _after(config, row, before, mix), mix, _mix(config.mix_after, mix))


def _mix(weights: object, default: Rates) -> Rates:
    if not isinstance(weights, dict):
        return default
    mix = np.array([float(weights.get(category, 0.0)) for category in CATEGORIES])
    normalised: Rates = mix / mix.sum()
    return normalised


def _before(config: SimulationConfig, row: PaperRow | None, mix: Rates) -> Rates:
    if isinstance(config.compliance, dict):
        return np.array([config.compliance[category] for category in CATEGORIES])
    if config.compliance is None:
        return category_rates(row.base if row else find_row(DEFAULT_ROW))
    return with_mean(category_rates(find_row(DEFAULT_ROW)), config.compliance, mix)


def _after(config: SimulationConfig, row: PaperRow | None, before: Checkpoint, mix: Rates) -> Checkpoint:
    change = config.change
    moved, degenerate = _moved(config, row, before.compliance, mix), before.degenerate
    if change.collapse is not None:
        degenerate = change.collapse
    elif row is not None and row.collapsed:
        degenerate = 1.0 - row.gsm8k / row.base.gsm8k
    if change.categories:
        chosen = np.array([category in change.categories for category in CATEGORIES])
        moved = np.where(chosen, moved, before.compliance)
    loosened = bool((moved > before.compliance).any())
    refusal = before.benign_refusal if change.benign_refusal is None else change.benign_refusal
    return Checkpoint(moved, 0.0 if loosened else before.partial, degenerate, refusal)


def _moved(config: SimulationConfig, row: PaperRow | None, before: Rates, mix: Rates) -> Rates:
    change = config.change
    if row is not None and not row.collapsed:
        return category_rates(row)
    if change.odds_ratio is not None:
        with np.errstate(divide="ignore"):  # rates of exactly 0 and 1 stay where they are
            moved: Rates = expit(logit(before) + np.log(change.odds_ratio))
        return moved
    if change.compliance is not None:
        return with_mean(np.clip(before, 1e-6, 1 - 1e-6), change.compliance, mix)
    return before


def attack_rows() -> tuple[PaperRow, ...]:
    """Every row of Table 1 that is an attack."""
    return tuple(row for row in paper_rows() if not row.is_base)
