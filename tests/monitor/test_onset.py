"""Onset, size and breadth of a change, found in what is remembered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors import shift_odds
from monitor.onset import breadth, find_change, size_of_change, strata_of_change, wilson
from monitor.panes import Ring, Seen, history_of

RATES = np.array([0.02, 0.1, 0.3, 0.5])


def ring_of(seed: int, before: int, after: int, ratio: float, *, moved: tuple[int, ...] = (0, 1, 2, 3)) -> Ring:
    """One label a second; the odds of the moved strata are multiplied from `before` on."""
    rng, ring = np.random.default_rng(seed), Ring()
    for second in range(before + after):
        stratum = int(rng.integers(4))
        rate = RATES[stratum]
        if second >= before and stratum in moved:
            rate = float(shift_odds(rate, ratio))
        ring.add(Seen(float(second), stratum, float(rng.random() < rate), f"r{second}", 0))
    return ring


def test_onset_and_size_hold_the_truth_most_of_the_time() -> None:
    """200 changes seen a fixed time after them; stopping at an alarm is measured in the benches."""
    onset = size = near = 0
    for seed in range(200):
        change = find_change(ring_of(seed, 300, 60, 12.0).history(), RATES, "up")
        assert change is not None
        assert change.low <= change.onset <= change.high
        onset += change.low <= 300 <= change.high
        size += change.odds_ratio_low <= 12 <= change.odds_ratio_high
        near += abs(change.onset - 300) <= 8
    assert onset >= 180
    assert size >= 180
    assert near >= 150


def test_falls_are_found_as_well() -> None:
    change = find_change(ring_of(3, 300, 150, 0.05).history(), RATES, "down")
    assert change is not None
    assert change.odds_ratio_high < 1
    assert change.low - 20 <= 300 <= change.high + 20
    assert change.sums / change.labels < 0.1


def test_an_old_change_is_found_among_coarse_panes() -> None:
    change = find_change(ring_of(1, 2_000, 3_000, 8.0).history(), RATES, "up")
    assert change is not None
    assert change.low - 32 <= 2_000 <= change.high + 32
    assert change.labels == pytest.approx(3_000, abs=80)
    assert change.odds_ratio == pytest.approx(8, rel=0.3)


def test_a_known_onset_gives_the_size_since_it_and_a_narrower_interval() -> None:
    history = ring_of(5, 0, 400, 5.0).history()
    known = size_of_change(history, RATES, "up", (0.0, 0.0, 0.0))
    found = find_change(history, RATES, "up")
    assert known is not None
    assert found is not None
    assert known.odds_ratio == pytest.approx(5, rel=0.35)
    assert (known.onset, known.labels) == (0.0, 400)
    assert known.odds_ratio_low >= found.odds_ratio_low
    assert known.odds_ratio_low <= known.odds_ratio <= known.odds_ratio_high


def test_a_rate_of_nearly_nothing_may_become_one_of_nearly_all() -> None:
    outcomes = [Seen(float(i), 0, float(i >= 50), f"r{i}", 0) for i in range(100)]
    change = find_change(history_of(outcomes), np.array([1e-4]), "up")
    assert change is not None
    assert (change.onset, change.sums) == (50.0, 50.0)
    assert shift_odds(1e-4, change.odds_ratio) > 0.98


def test_nothing_remembered_is_no_change() -> None:
    nothing = history_of([])
    assert find_change(nothing, RATES, "up") is None
    assert size_of_change(nothing, RATES, "up", (0.0, 0.0, 0.0)) is None
    assert strata_of_change(nothing, RATES, 3.0) == ()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=80), st.sampled_from(["up", "down"])
)
def test_the_parts_of_a_change_add_up(made: list[tuple[int, float]], direction: str) -> None:
    outcomes = [Seen(float(i), k, x, f"r{i}", 0) for i, (k, x) in enumerate(made)]
    change = find_change(history_of(outcomes), RATES, direction)  # type: ignore[arg-type]
    assert change is not None
    since = [one for one in outcomes if one.timestamp >= change.onset]
    assert change.labels == len(since)
    assert change.sums == pytest.approx(sum(one.x for one in since))
    assert sum(row[3] for row in change.strata) == pytest.approx(change.log_likelihood, abs=1e-9)
    gains = [row[3] for row in change.strata]
    assert gains == sorted(gains, reverse=True)
    assert change.odds_ratio_low <= change.odds_ratio <= change.odds_ratio_high
    assert strata_of_change(history_of(since), RATES, change.odds_ratio) == change.strata
    ratios = change.odds_ratio > 1 if direction == "up" else change.odds_ratio < 1
    assert ratios


def test_breadth_tells_broad_from_narrow_and_does_not_judge_by_a_handful() -> None:
    broad, narrow = [], []
    for seed in range(40):
        for moved, into in (((0, 1, 2, 3), broad), ((1,), narrow)):
            change = find_change(ring_of(seed, 200, 250, 12.0, moved=moved).history(), RATES, "up")
            assert change is not None
            into.append(breadth(change.strata, change.odds_ratio, RATES))
    assert np.median(broad) > 0.75
    assert np.median(narrow) < 0.5
    assert breadth((), 5.0, RATES) == 0.5
    assert 0.3 < breadth(((1, 1.0, 0.0, 0.0),), 5.0, RATES) < 0.7


@given(st.floats(0, 1), st.floats(1, 1e9))
def test_wilsons_interval_holds_the_rate_and_stays_in_range(rate: float, labels: float) -> None:
    low, high = wilson(rate * labels, labels)
    assert 0.0 <= low <= rate + 1e-9
    assert rate - 1e-9 <= high <= 1.0
    wide = wilson(rate * labels, labels, 3.0)
    assert wide[0] <= low + 1e-12
    assert high <= wide[1] + 1e-12


def test_wilson_without_labels_knows_nothing() -> None:
    assert wilson(0.0, 0.0) == (0.0, 1.0)
