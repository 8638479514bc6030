"""The e-detector: its recursion, its numerics over a billion labels, its run length, and the scalar twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detectors import (
    SATURATION,
    MixtureShiryaevRoberts,
    StreamShiryaevRoberts,
    first_alarms,
    increment,
    odds_ratio_grid,
)

GRID = odds_ratio_grid("up")
outcomes = st.lists(st.sampled_from([0.0, 1.0, 0.3]), min_size=1, max_size=60)


@given(outcomes, st.floats(0.01, 0.99), st.sampled_from(["up", "down"]))
def test_the_recursion_is_the_sum_of_all_bets_begun_at_every_label(x: list[float], p: float, direction: str) -> None:
    grid = odds_ratio_grid(direction)  # type: ignore[arg-type]
    detector = MixtureShiryaevRoberts(1e6, direction=direction)  # type: ignore[arg-type]
    for one in x:
        detector.update([one], p)
    bets = increment(x, p, grid)
    begun = sum(np.prod(bets[start:], axis=0) for start in range(len(x)))
    assert detector.statistic[0] == pytest.approx(begun, rel=1e-9)
    assert detector.log_evidence[0] == pytest.approx(math.log(begun.mean()), rel=1e-9, abs=1e-12)


@given(outcomes, st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4), st.sampled_from(["up", "down"]))
def test_the_scalar_twin_says_the_same(x: list[float], rates: list[float], direction: str) -> None:
    grid = odds_ratio_grid(direction)  # type: ignore[arg-type]
    one, many = StreamShiryaevRoberts(50.0, grid), MixtureShiryaevRoberts(50.0, direction=direction)  # type: ignore[arg-type]
    tables = [one.odds_table(p) for p in rates]
    for i, value in enumerate(x):
        alarm = one.update(value, tables[i % len(rates)])
        (also,) = many.update([value], rates[i % len(rates)])
        assert alarm == also
    assert one.statistic == pytest.approx(many.statistic[0].tolist(), rel=1e-12)
    assert one.labels == many.labels[0] == len(x)
    assert one.evidence_log10 == pytest.approx(many.log_evidence[0] / math.log(10), rel=1e-9, abs=1e-9)


def test_rates_may_differ_for_each_odds_ratio() -> None:
    one = StreamShiryaevRoberts(1e6, GRID)
    assert one.odds_table([0.2] * 16) == one.odds_table(0.2)
    table = one.odds_table(np.linspace(0.1, 0.3, 16).tolist())
    assert table[0] == one.odds_table(0.1)[0]
    assert table[-1] == one.odds_table(0.3)[-1]


def test_the_natural_scale_agrees_with_logs_over_a_long_run() -> None:
    rng = np.random.default_rng(4)
    x = (rng.random(30_000) < 0.1).astype(float)
    x[20_000:20_300] = 1.0  # evidence far beyond any threshold, and back
    one, logs = StreamShiryaevRoberts(1e6, GRID), np.full(16, -np.inf)
    table = one.odds_table(0.1)
    bets = {value: np.log(increment(value, 0.1, GRID)) for value in (0.0, 1.0)}
    for i, value in enumerate(x):
        one.update(value, table)
        logs = np.minimum(np.logaddexp(0.0, logs) + bets[value], math.log(SATURATION / 16))
        if i % 97 == 0 and i < 20_000:
            assert np.log(one.statistic) == pytest.approx(logs, abs=1e-9)
    assert np.log(one.statistic) == pytest.approx(logs, abs=1e-6)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_billion_labels_neither_overflow_nor_vanish(direction: str, value: float) -> None:
    """A run of equal labels reaches its fixed point or the ceiling within thousands; there it stays for good."""
    one = StreamShiryaevRoberts(1e6, odds_ratio_grid(direction))  # type: ignore[arg-type]
    table = one.odds_table(0.1)
    one.load([SATURATION / 16] * 16, 10**9)
    for _ in range(30_000):
        one.update(value, table)
    there = list(one.statistic)
    one.update(value, table)
    assert one.statistic == pytest.approx(there, rel=1e-9)
    assert all(0.0 < s <= SATURATION for s in there)
    assert one.labels == 10**9 + 30_001
    assert math.isfinite(one.evidence_log10)


def test_evidence_at_the_ceiling_falls_again_when_the_rate_is_back() -> None:
    rng = np.random.default_rng(0)
    many = MixtureShiryaevRoberts(1e6, streams=3, odds_ratios=[3.0, 10.0])
    many.statistic[:] = SATURATION
    for x in rng.random((15_000, 3)) < 0.1:
        many.update(x, 0.1)
    assert (many.log_evidence < np.log(1e6)).all()
    assert not many.drift_detected.any()


@pytest.mark.parametrize(("p", "direction"), [(0.1, "up"), (0.03, "down"), (0.5, "up"), (0.01, "up")])
def test_the_run_length_is_at_least_the_threshold(p: float, direction: str) -> None:
    """400 runs; the mean of truncated runs is a lower bound of the run length."""
    arl, horizon = 300.0, 3_000
    x = np.random.default_rng(2).random((400, horizon)) < p
    alarms = first_alarms(x, p, arl, direction=direction)  # type: ignore[arg-type]
    lengths = np.where(alarms < 0, horizon, alarms + 1)
    error = lengths.std() / math.sqrt(len(lengths))
    assert lengths.mean() + 3 * error >= arl
    assert lengths.mean() < 6 * arl, "a threshold that is never reached would pass the other bound"


def test_the_run_length_survives_any_mix_and_order_of_rates() -> None:
    rng = np.random.default_rng(8)
    arl, horizon = 300.0, 3_000
    p = np.where(rng.random((400, horizon)) < 0.5, 0.02, 0.6)
    p[:, horizon // 3 :] = np.where(rng.random((400, 2 * horizon // 3)) < 0.95, 0.6, 0.02)  # the mix turns
    alarms = first_alarms(rng.random(p.shape) < p, p, arl)
    lengths = np.where(alarms < 0, horizon, alarms + 1)
    assert lengths.mean() + 3 * lengths.std() / 20 >= arl
    blind = first_alarms(rng.random(p.shape) < p, 0.31, arl)
    blind_lengths = np.where(blind < 0, horizon, blind + 1)
    assert np.median(blind_lengths) < horizon / 2, "one rate for all would take the mix for a change"


def test_streams_side_by_side_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(6)
    x = (rng.random((200, 5)) < 0.4).astype(float)
    together = MixtureShiryaevRoberts([10, 1e3, 1e6, 1e6, 1e6], streams=5)
    for row in x:
        together.update(row[:4], 0.2, np.arange(4))
    for stream in range(4):
        alone = MixtureShiryaevRoberts(1e6)
        for value in x[:, stream]:
            alone.update([value], 0.2)
        assert together.statistic[stream] == pytest.approx(alone.statistic[0], rel=1e-12)
    assert together.statistic[4].sum() == 0
    assert together.labels.tolist() == [200] * 4 + [0]
    assert together.log_evidence[4] == -np.inf
    together.reset(np.array([0, 2]))
    assert together.labels.tolist() == [0, 200, 0, 200, 0]
    assert (together.statistic[[0, 2]] == 0).all()


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 39))
def test_state_saved_and_taken_up_goes_on_exactly(n: int, cut: int) -> None:
    rng = np.random.default_rng(n)
    x = (rng.random(n) < 0.3).astype(float).tolist()
    whole, first = StreamShiryaevRoberts(1e6, GRID), StreamShiryaevRoberts(1e6, GRID)
    table = whole.odds_table(0.2)
    for value in x:
        whole.update(value, table)
    for value in x[:cut]:
        first.update(value, table)
    second = StreamShiryaevRoberts(1e6, GRID)
    second.load(first.statistic, first.labels)
    for value in x[cut:]:
        second.update(value, table)
    assert second.statistic == whole.statistic
    assert (second.labels, second.mean) == (whole.labels, whole.mean)


@pytest.mark.parametrize("state", [[0.0] * 15, [0.0] * 15 + [math.inf], [0.0] * 15 + [math.nan], [0.0] * 15 + [-1.0]])
def test_impossible_states_are_refused(state: list[float]) -> None:
    with pytest.raises(ValueError, match="16 finite values"):
        StreamShiryaevRoberts(1e6, GRID).load(state, 3)


def test_impossible_detectors_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        StreamShiryaevRoberts(0.5, GRID)
    with pytest.raises(ValueError, match="arl >= 1"):
        MixtureShiryaevRoberts(0.5)
    with pytest.raises(ValueError, match="arl >= 1"):
        MixtureShiryaevRoberts(math.nan)
