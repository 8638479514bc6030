"""Section `fleet`: fifty deployments that share one false page per 90 days, over simulated years."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
from _drawn import drawn_baseline
from _parallel import spread
from _rigs import FLEET
from _tables import Estimate, Table, count_error, number

from monitor.baseline import limits
from monitor.detection.budget import PERIOD_HOURS, allowances
from monitor.detection.watch import Stream, Watch
from monitor.detection_config import DetectionConfig
from monitor.detectors import shift_odds
from monitor.simulation import SimulationConfig, compile_rules
from monitor.streams import COMPLIANCE, CONTROL, DEGENERATE, STRATA

Array = np.ndarray
HOURLY = 100
SENSITIVE_SHARE = 0.2
TRAFFIC = SimulationConfig(rate=HOURLY / 3600, harmful_share=SENSITIVE_SHARE)
CONFIG = DetectionConfig(fleet_deployments=FLEET)
YEAR = 365 * 24
FIXED = "4,000, a fixed 90 % limit"
KNOWN = 10**8
"""Labels of a baseline that leaves nothing to doubt."""
SIZES = {"known rates": KNOWN, "1,000": 5_000, "4,000": 20_000, FIXED: 20_000}
"""Labels of a baseline, by its sensitive labels."""


@dataclass
class Bank:
    """One kind of stream in every deployment of every fleet, stepped label by label."""

    tables: Array
    """1 / (1 + p (R - 1)) by deployment, stratum and odds ratio."""
    stakes: Array
    threshold: Array
    """By deployment (and stratum, where each has a stream of its own)."""
    own: bool
    """A stream for each stratum; else one for all."""

    def __post_init__(self) -> None:
        deployments, strata, grid = self.tables.shape
        self._rows = np.arange(deployments)
        self._state = np.zeros((deployments * (strata if self.own else 1), grid), dtype=np.float32)
        self._strata = strata
        self._flat = self.tables.reshape(-1, grid).astype(np.float32)
        self._gain = (1.0 + self.stakes).astype(np.float32)
        self._ones = np.ones(grid, dtype=np.float32)
        self._limits = (self.threshold.reshape(-1) * grid).astype(np.float32)

    def step(self, stratum: Array, x: Array) -> Array:
        """Take a label in each deployment; where a stream alarmed (and started again)."""
        cell = self._rows * self._strata + stratum
        row = cell if self.own else self._rows
        state = self._state[row] if self.own else self._state
        state += 1.0
        state *= self._flat[cell]
        state[np.flatnonzero(x)] *= self._gain
        over = state @ self._ones >= self._limits[row]
        state[over] = 0.0
        if self.own:
            self._state[row] = state
        return over


def bank(streams: list[list[Stream]], *, strata: int) -> Bank:
    """From the production streams of each deployment: one pooled, or one for each stratum."""
    own = len(streams[0]) > 1
    first = streams[0][0].detector
    if own:
        tables = np.array([[stream.tables[0] for stream in row] for row in streams])
        thresholds = np.array([[stream.detector.arl for stream in row] for row in streams])
    else:
        tables = np.array([row[0].tables[:strata] for row in streams])
        thresholds = np.array([row[0].detector.arl for row in streams])
    return Bank(tables, np.array(first.stakes), thresholds, own)


@dataclass(frozen=True)
class Fleets:
    """The paging streams of several fleets with a baseline for every deployment."""

    banks: dict[str, tuple[Bank, Array, Array, float]]
    """By name: streams, share of each stratum, its rate, labels an hour."""

    @classmethod
    def draw(cls, fleets: int, labels: int, rng: np.random.Generator, *, fixed: bool = False) -> Fleets:
        """With baselines of so many labels."""
        watches = [_watch(labels, rng, fixed=fixed) for _ in range(fleets * FLEET)]
        rules = compile_rules(TRAFFIC)
        by_category = [[s for s in w.streams if _is_category(s)] for w in watches]
        mix, rates = rules.mix_before, rules.before.compliance
        share = np.array([SENSITIVE_SHARE, 1.0 - SENSITIVE_SHARE])
        broken = np.full(2, TRAFFIC.degenerate)
        benign = np.array([TRAFFIC.benign_refusal])
        sensitive = HOURLY * SENSITIVE_SHARE
        return cls(
            {
                "compliance, pooled": (bank([[w.pooled] for w in watches], strata=len(STRATA) - 1), mix, rates, sensitive),
                "compliance, fourteen categories": (bank(by_category, strata=len(STRATA) - 1), mix, rates, sensitive),
                "refusal of benign requests": (
                    bank([[w.control] for w in watches], strata=1), np.ones(1), benign, HOURLY - sensitive,
                ),
                "degenerate answers": (
                    bank([[w.by_name["degenerate:up"]] for w in watches], strata=2), share, broken, float(HOURLY),
                ),
            }
        )  # fmt: skip


def _watch(labels: int, rng: np.random.Generator, *, fixed: bool) -> Watch:
    """With the engine's limits, or with what they would be at a fixed confidence, whatever the budget asks for."""
    baseline = drawn_baseline(TRAFFIC, labels, rng)
    if not fixed:
        return Watch(baseline, CONFIG, allowances(baseline, CONFIG, FLEET))
    with patch.object(limits, "DOUBT", math.inf):
        config = CONFIG.model_copy(update={"limit_confidence": 0.9})
        return Watch(baseline, config, allowances(baseline, config, FLEET))


def _is_category(stream: Stream) -> bool:
    spec = stream.spec
    return spec.kind == COMPLIANCE and spec.direction == "up" and spec.stratum is not None


def _alarms(entry: tuple[Bank, Array, Array, float], years: float, rng: np.random.Generator) -> int:
    streams, mix, rates, hourly = entry
    deployments, steps, alarms = streams.tables.shape[0], round(years * YEAR * hourly), 0
    edges = np.cumsum(mix)[:-1]
    for _ in range(steps):
        uniform = rng.random((2, deployments), dtype=np.float32)
        stratum = np.searchsorted(edges, uniform[0], side="right")
        alarms += int(streams.step(stratum, uniform[1] < rates[stratum]).sum())
    return alarms


def _count(item: tuple[str, int, float, int]) -> dict[str, tuple[int, float]]:
    """Alarms of each group of streams, and in how many times 90 days; sparser groups are watched for a tenth of it."""
    size, fleets, years, seed = item
    rng = np.random.default_rng(seed)
    found = {}
    for name, entry in Fleets.draw(fleets, SIZES[size], rng, fixed=size == FIXED).banks.items():
        span = years if name.startswith("compliance") else years / 10
        found[name] = (_alarms(entry, span, rng), fleets * span * YEAR / PERIOD_HOURS)
    return found


def fleet(*, quick: bool, jobs: int, rng: np.random.Generator) -> Iterator[Table]:
    """False pages of whole fleets, counted."""
    fleets, years = (1, 0.002) if quick else (10, 0.5)
    table = Table(
        f"False pages of {FLEET} deployments in 90 days (budget: {CONFIG.false_pages_per_90_days:g})",
        ("stream", "budget", *(f"baselines of {size}: alarms" for size in SIZES), *(f"{size}: realised / budget" for size in SIZES)),
        [
            f"{fleets} fleets × {years:g} years (a tenth of that for the last two kinds of stream); each deployment has {HOURLY} labels an "
            f"hour, {SENSITIVE_SHARE:.0%} of them sensitive, and a baseline of its own, of that many sensitive labels. Limits, budget "
            "split and thresholds are the engine's; limits keep the baseline's mix. Every alarm of a stream that may page counts. Provider "
            "blocks and unreadable answers do not occur here, so their part stays unspent. Last: limits that hold for nine baselines of ten, and no "
            "thought for the tenth.",
        ],
    )  # fmt: skip
    seeds = rng.integers(2**32, size=len(SIZES)).tolist()
    items = [(size, fleets, years, seed) for size, seed in zip(SIZES, seeds, strict=True)]
    found = spread(_count, items, jobs)
    parts = _parts()
    for name, budget in parts.items():
        counts = [one[name] for one in found]
        realised = [Estimate(n / periods, count_error(n) / periods) for n, periods in counts]
        over = [str(one.over(Estimate(budget))) for one in realised]
        table.rows.append([name, number(budget), *(str(n) for n, _ in counts), *over])
    totals = [[Estimate(n / periods, math.sqrt(n) / periods) for n, periods in one.values()] for one in found]
    sums = [Estimate(sum(e.mean for e in one), math.hypot(*(e.error for e in one))) for one in totals]
    table.rows.append(["**all that page**", "1", *("" for _ in found), *(f"**{one}**" for one in sums)])
    yield table
    yield price(quick=quick, rng=rng)


def _parts() -> dict[str, float]:
    """What each group of streams may spend in 90 days, over the fleet."""
    baseline = drawn_baseline(TRAFFIC, 20_000, np.random.default_rng(0))
    watch = Watch(baseline, CONFIG, allowances(baseline, CONFIG, FLEET))
    groups = {
        "compliance, pooled": [watch.pooled],
        "compliance, fourteen categories": [s for s in watch.streams if _is_category(s)],
        "refusal of benign requests": [s for s in watch.streams if s.spec.kind == CONTROL],
        "degenerate answers": [s for s in watch.streams if s.spec.kind == DEGENERATE],
    }
    return {name: FLEET * sum(s.allowance.per_90_days for s in streams) for name, streams in groups.items()}


def price(*, quick: bool, rng: np.random.Generator) -> Table:
    """What that budget costs in delay."""
    runs = 10 if quick else 200
    table = Table(
        "What the budget costs: sensitive labels from the change to the pooled alarm in such a fleet",
        ("false pages of the fleet in 90 days", "run length of a pooled stream", "odds ×1.6", "odds ×4", "odds ×21"),
        [f"Baselines of 4,000 sensitive labels, one for each of {runs} runs; no evidence at the change."],
    )
    rules = compile_rules(TRAFFIC)
    for budget in (0.1, 1.0, 10.0):
        config = CONFIG.model_copy(update={"false_pages_per_90_days": budget})
        row = [number(budget)]
        streams = []
        for _ in range(runs):
            baseline = drawn_baseline(TRAFFIC, 20_000, rng)
            streams.append([Watch(baseline, config, allowances(baseline, config, FLEET)).pooled])
        row.append(number(float(np.mean([one[0].detector.arl for one in streams]))))
        for ratio in (1.6, 4.0, 21.0):
            moved = shift_odds(rules.before.compliance, ratio)
            row.append(str(_delay(bank(streams, strata=len(STRATA) - 1), rules.mix_before, moved, rng)))
        table.rows.append(row)
    return table


def _delay(streams: Bank, mix: Array, rates: Array, rng: np.random.Generator) -> Estimate:
    """Mean labels to each deployment's first alarm."""
    first, step, edges = np.zeros(len(streams.threshold)), 0, np.cumsum(mix)[:-1]
    while not first.all():
        step += 1
        uniform = rng.random((2, first.size))
        stratum = np.searchsorted(edges, uniform[0], side="right")
        over = streams.step(stratum, uniform[1] < rates[stratum])
        first[over & (first == 0)] = step
    return Estimate.of(first)
