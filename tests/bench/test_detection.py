"""The detection benchmarks: their yardsticks are right, their parts agree with what they stand for, every section runs."""

from __future__ import annotations

import math

import _delays
import detection
import numpy as np
import pytest
from _drawn import drawn_baseline
from _fleet import Bank
from _peers import Window, calibrated_window, psi, rule_delay, window_run_lengths
from _rigs import baseline_of, live
from _run_length import OptimalCusum, Strata, counted_arl, false_alarm_rate
from _tables import Estimate, Table, number

from monitor.detection_config import DetectionConfig
from monitor.detectors import StreamShiryaevRoberts, odds_ratio_grid


@pytest.fixture
def rng():
    return np.random.default_rng(9)


@pytest.mark.parametrize(
    ("before", "after", "arl", "delay"),
    [(0.10, 0.70, 1e6, 12.3), (0.10, 0.30, 1e4, 40.0), (0.10, 0.15, 1e4, 309.0), (0.03, 0.01, 1e4, 422.0)],
)
def test_the_optimum_is_that_of_simulated_cusums(before, after, arl, delay):
    assert OptimalCusum(before, after).delay(arl)[0] == pytest.approx(delay, rel=0.02)


def test_importance_sampling_gives_the_run_length_that_counting_gives(rng):
    rate, error = false_alarm_rate(
        Strata.single(0.1), np.array([[0.1]]), 1_000.0, rng, paths=600, burn_in=1_500, enough=10**9
    )
    counted = counted_arl(0.1, 1_000.0, rng, direction="up", runs=300)
    sampled = Estimate(float(rate[0]), float(error[0])).inverse()
    assert abs(sampled.mean - counted.mean) < 4 * math.hypot(sampled.error, counted.error)
    assert counted.mean > 1_000


def test_a_rate_stated_too_low_shortens_the_run_length_and_one_too_high_lengthens_it(rng):
    stated = np.array([[0.08], [0.10], [0.13]])
    low, right, high = false_alarm_rate(Strata.single(0.1), stated, 1e4, rng, paths=200, burn_in=2_000)[0]
    assert low > 3 * right > 9 * high


def test_windows_get_the_lowest_threshold_that_keeps_the_run_length(rng):
    lengths = window_run_lengths(0.1, (50,), rng, upward=True, labels=4_000_000)[50]
    assert list(lengths) == sorted(lengths)
    assert list(lengths.values()) == sorted(lengths.values())
    rule = calibrated_window(50, lengths, 1e4, upward=True)
    assert rule is not None
    threshold = int(rule.groups[0][0].high)
    assert lengths[threshold] >= 1e4 > lengths[threshold - 1]
    delay, missed = rule_delay(rule, (0.1, 0.7), rng, 100)
    assert missed == 0
    assert 10 < delay.mean < 30


def test_windows_fire_at_their_threshold():
    totals = np.concatenate([[0], np.cumsum([0, 1, 1, 1, 0, 0])])
    assert Window(3, high=3).fires(totals).tolist() == [False, True, False, False]
    assert Window(3, low=1).fires(totals).tolist() == [False, False, False, True]


def test_psi_is_the_population_stability_index():
    (window,) = psi(0.1).groups[0]
    share = (window.high + 0.5) / 501
    index = (share - 0.1) * math.log(share / 0.1) + (0.1 - share) * math.log((1 - share) / 0.9)
    assert 0.2 < index < 0.21


def test_drawn_baselines_look_like_fitted_ones(rng):
    config = live(count=20_000, seed=3)
    fitted = baseline_of(config, DetectionConfig(), 6_000)[config.deployment]
    drawn = drawn_baseline(config, 6_000, rng)
    assert drawn.approved
    assert drawn.intact()
    for kind, counts in fitted.counts.items():
        ours = drawn.counts[kind]
        expected = sum(counts.labels)
        assert sum(ours.labels) == pytest.approx(expected, rel=0.15), kind
        rate = sum(counts.sums) / expected
        assert abs(sum(ours.sums) / sum(ours.labels) - rate) < 6 * math.sqrt(rate / expected) + 1e-9, kind


def test_the_fleets_bank_is_the_streams_detector(rng):
    grid = odds_ratio_grid("up")
    one = StreamShiryaevRoberts(500.0, grid)
    table = one.odds_table(0.1)
    bank = Bank(np.array([[table]]), grid - 1.0, np.array([500.0]), own=False)
    for x in (rng.random(3_000) < 0.12).astype(float):
        over = one.update(float(x), table)
        assert bank.step(np.zeros(1, dtype=np.intp), np.array([x])).tolist() == [over]
        if over:
            one.reset()


def test_estimates_carry_their_errors_and_numbers_three_digits():
    half = Estimate(1.0, 0.1).over(Estimate(2.0, 0.2))
    assert half.mean == 0.5
    assert half.error == pytest.approx(0.5 * math.sqrt(0.02))
    assert [number(x) for x in (0.12345, 1234.5, 2e6, 0.0, math.inf, math.nan)] == [
        "0.123",
        "1,234",
        "2.0e6",
        "0",
        "∞",
        "–",
    ]


# The others take minutes even in their quick form: `python tests/bench/detection.py --quick` runs them.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["delay", "speed"])
def test_a_section_runs_in_its_quick_form(name, tmp_path, capsys):
    report = tmp_path / "report.md"
    report.write_text("# Head\n\n<!-- section: backtest -->\nold\n<!-- section: speed -->\nold\n", encoding="utf-8")
    assert detection.main(["--quick", "--jobs", "1", "--section", name, "--write", str(report)]) == 0
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# Head\n")
    assert f"## {detection.SECTIONS[name].title}" in text
    assert text.count("old\n") == (1 if name in {"backtest", "speed"} else 2)
    order = [line for line in text.splitlines() if line.startswith("<!-- section")]
    assert order == [f"<!-- section: {key} -->" for key in detection.SECTIONS if key in {name, "backtest", "speed"}]
    shown = capsys.readouterr().out
    assert shown.count("### ") >= 1
    assert all(line.count("|") >= 3 for line in shown.splitlines() if line.startswith("|"))


def test_a_section_gives_the_same_numbers_for_the_same_seed(capsys, monkeypatch):
    def delay(effort, rng):
        one, _ = _delays.detector_delay((0.10, 0.30), 1e3, rng, runs=50, burn_in=100)
        yield Table("A delay", ("mean",), rows=[[str(one)]])

    monkeypatch.setattr(detection, "SECTIONS", {"one": detection.Section("One", (delay,))})

    def shown(seed: int) -> list[str]:
        detection.main(["--quick", "--jobs", "1", "--seed", str(seed)])
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]

    first = shown(1)
    assert shown(1) == first
    assert shown(2) != first
