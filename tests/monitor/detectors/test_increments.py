"""Bets: fair at the stated rate for soft outcomes too, unfavourable on its far side, and the same in both notations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors import increment, odds_ratio_grid, shift_odds

rates = st.floats(1e-4, 1 - 1e-4)
ratios = st.floats(1 / 40, 40)
soft = st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=6)


@given(rates, ratios)
def test_the_expected_bet_is_one_at_the_stated_rate(p: float, ratio: float) -> None:
    expected = p * increment(1.0, p, [ratio]) + (1 - p) * increment(0.0, p, [ratio])
    assert expected[0] == pytest.approx(1.0, rel=1e-12)


@given(soft, ratios)
def test_soft_outcomes_with_the_stated_mean_are_a_fair_bet(outcomes: list[tuple[float, float]], ratio: float) -> None:
    x, weight = np.array(outcomes).T
    weight = weight / weight.sum()
    mean = float(weight @ x)
    if 1e-4 < mean < 1 - 1e-4:
        assert float(weight @ increment(x, mean, [ratio])[:, 0]) == pytest.approx(1.0, rel=1e-9)


@given(rates, rates, st.floats(1.01, 40))
def test_rates_on_the_far_side_of_the_stated_one_never_pay(p: float, true: float, ratio: float) -> None:
    low, high = sorted((p, true))
    up = low * increment(1.0, high, [ratio]) + (1 - low) * increment(0.0, high, [ratio])
    down = high * increment(1.0, low, [1 / ratio]) + (1 - high) * increment(0.0, low, [1 / ratio])
    assert up[0] <= 1 + 1e-12
    assert down[0] <= 1 + 1e-12


@given(rates, ratios)
def test_the_chord_joins_the_likelihood_ratios(p: float, ratio: float) -> None:
    q = float(shift_odds(p, ratio))
    assert increment(1.0, p, [ratio])[0] == pytest.approx(q / p, rel=1e-9)
    assert increment(0.0, p, [ratio])[0] == pytest.approx((1 - q) / (1 - p), rel=1e-6)
    middle = (increment(0.0, p, [ratio]) + increment(1.0, p, [ratio])) / 2
    assert increment(0.5, p, [ratio])[0] == pytest.approx(middle[0], rel=1e-12)


@given(rates, ratios, ratios)
def test_shifts_of_the_odds_compose_and_undo(p: float, first: float, second: float) -> None:
    assert shift_odds(shift_odds(p, first), second) == pytest.approx(shift_odds(p, first * second), rel=1e-9)
    assert shift_odds(shift_odds(p, first), 1 / first) == pytest.approx(p, rel=1e-9)


def test_bets_on_the_impossible_stay_finite() -> None:
    bets = increment([0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0], odds_ratio_grid("up"))
    assert np.isfinite(bets).all()
    assert (bets > 0).all()


def test_the_grid_is_even_in_the_log_and_inverted_for_falls() -> None:
    up = odds_ratio_grid("up")
    assert up.shape == (16,)
    assert (up[0], up[-1]) == pytest.approx((1.2, 40.0))
    assert np.diff(np.log(up)) == pytest.approx(np.log(40 / 1.2) / 15)
    assert odds_ratio_grid("down") == pytest.approx(1 / up)


@pytest.mark.parametrize(("low", "high", "size"), [(1.0, 2.0, 3), (0.5, 2.0, 3), (3.0, 2.0, 3), (1.2, 2.0, 0)])
def test_grids_that_bet_on_nothing_are_refused(low: float, high: float, size: int) -> None:
    with pytest.raises(ValueError, match="allowed: 1 < low <= high"):
        odds_ratio_grid("up", size, low, high)
