"""Section `fleet`: fifty deployments that share one false page per 90 days, over simulated years."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from _drawn import drawn_baseline
from _rigs import FLEET
from _tables import Estimate, Table, count_error, number

from monitor.detection.budget import PERIOD_HOURS, allowances
from monitor.detection.watch import Stream, Watch
from monitor.detection_config import DetectionConfig
from monitor.detectors import SATURATION, shift_odds
from monitor.simulation import SimulationConfig, compile_rules
from monitor.streams import COMPLIANCE, CONTROL, DEGENERATE, STRATA

Array = np.ndarray
HOURLY = 100
SENSITIVE_SHARE = 0.2
TRAFFIC = SimulationConfig(rate=HOURLY / 3600, harmful_share=SENSITIVE_SHARE)
CONFIG = DetectionConfig(fleet_deployments=FLEET)
YEAR = 365 * 24
KNOWN = 10**8
"""Labels of a baseline that leaves nothing to doubt."""


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
        self._size = grid
        self._rows = np.arange(deployments)
        self._state = np.zeros((deployments * (strata if self.own else 1), grid))
        self._strata = strata
        self._flat = self.tables.reshape(-1, grid)
        self._limits = self.threshold.reshape(-1) * grid

    def step(self, stratum: Array, x: Array) -> Array:
        """Take a label in each deployment; where a stream alarmed (and started again)."""
        cell = self._rows * self._strata + stratum
        row = cell if self.own else self._rows
        state = self._state[row] if self.own else self._state
        state += 1.0
        state *= self._flat[cell]
        hits = np.flatnonzero(x)
        state[hits] *= 1.0 + self.stakes
        over = state.sum(axis=1) >= self._limits[row]
        state[over] = 0.0
        np.minimum(state, SATURATION, out=state)
        if self.own:
            self._state[row] = state
        return over


def bank(streams: list[list[Stream]], *, strata: int) -> Bank:
    """From the production streams of each deployment: one pooled, or one for each stratum."""
    own = len(streams[0]) > 1
    first = streams[0][0].detector
    if own:
        tables = np.array([[stream.tables[0] for stream in row] for row in streams])
        limits = np.array([[stream.detector.arl for stream in row] for row in streams])
    else:
        tables = np.array([row[0].tables[:strata] for row in streams])
        limits = np.array([row[0].detector.arl for row in streams])
    return Bank(tables, np.array(first.stakes), limits, own)


@dataclass(frozen=True)
class Fleets:
    """The paging streams of several fleets with a baseline for every deployment."""

    banks: dict[str, tuple[Bank, Array, Array, float]]
    """By name: streams, share of each stratum, its rate, labels an hour."""

    @classmethod
    def draw(cls, fleets: int, labels: int | None, rng: np.random.Generator) -> Fleets:
        """With baselines of so many labels; None: of so many that rates are known."""
        watches = [_watch(labels or KNOWN, rng) for _ in range(fleets * FLEET)]
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


def _watch(labels: int, rng: np.random.Generator) -> Watch:
    baseline = drawn_baseline(TRAFFIC, labels, rng)
    return Watch(baseline, CONFIG, allowances(baseline, CONFIG, FLEET))


def _is_category(stream: Stream) -> bool:
    spec = stream.spec
    return spec.kind == COMPLIANCE and spec.direction == "up" and spec.stratum is not None


def _alarms(entry: tuple[Bank, Array, Array, float], years: float, rng: np.random.Generator) -> int:
    streams, mix, rates, hourly = entry
    deployments, steps, alarms = streams.tables.shape[0], round(years * YEAR * hourly), 0
    edges = np.cumsum(mix)[:-1]
    for _ in range(steps):
        uniform = rng.random((2, deployments))
        stratum = np.searchsorted(edges, uniform[0], side="right")
        alarms += int(streams.step(stratum, uniform[1] < rates[stratum]).sum())
    return alarms


def fleet(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """False pages of whole fleets, counted."""
    fleets, years = (2, 0.02) if quick else (20, 1.0)
    table = Table(
        f"False pages of {FLEET} deployments in 90 days (budget: {CONFIG.false_pages_per_90_days:g})",
        ("baseline, sensitive labels", "stream", "budget in 90 days", "alarms counted", "realised in 90 days", "realised / budget"),
        [
            f"{fleets} fleets × {years:g} years; each deployment has {HOURLY} labels an hour, {SENSITIVE_SHARE:.0%} of them sensitive, "
            "and a baseline of its own. Limits, budget split and thresholds are the engine's; limits keep the baseline's mix. Every "
            "alarm of a stream that may page counts; blocks and unlabelable requests do not occur here, so their part stays unspent.",
        ],
    )  # fmt: skip
    periods = fleets * years * YEAR / PERIOD_HOURS
    for size, labels in (("known rates", None), ("1,000", 5_000), ("4,000", 20_000)):
        every = Fleets.draw(fleets, labels, rng)
        parts, total = _parts(), 0
        for name, entry in every.banks.items():
            alarms = _alarms(entry, years, rng)
            total += alarms
            table.rows.append(_row(size, name, parts[name], alarms, periods))
        table.rows.append(_row(size, "**all**", CONFIG.false_pages_per_90_days, total, periods))
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


def _row(size: str, name: str, budget: float, alarms: int, periods: float) -> list[str]:
    realised = Estimate(alarms / periods, count_error(alarms) / periods)
    return [size, name, number(budget), str(alarms), str(realised), str(realised.over(Estimate(budget)))]


def price(*, quick: bool, rng: np.random.Generator) -> Table:
    """What that budget costs in delay."""
    runs = 40 if quick else 1_000
    table = Table(
        "What the budget costs: sensitive labels from the change to the pooled alarm in such a fleet",
        ("false pages of the fleet in 90 days", "run length of a pooled stream", "odds ×1.6", "odds ×4", "odds ×21"),
        [f"Baselines of 4,000 sensitive labels, one for each of {runs} runs; no evidence at the change."],
    )
    rules = compile_rules(TRAFFIC)
    for budget in (0.1, 1.0, 10.0):
        config = CONFIG.model_copy(update={"false_pages_per_90_days": budget})
        row = [number(budget)]
        for ratio in (1.6, 4.0, 21.0):
            streams = []
            for _ in range(runs):
                baseline = drawn_baseline(TRAFFIC, 20_000, rng)
                streams.append([Watch(baseline, config, allowances(baseline, config, FLEET)).pooled])
            if len(row) == 1:
                row.append(number(float(np.mean([one[0].detector.arl for one in streams]))))
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
