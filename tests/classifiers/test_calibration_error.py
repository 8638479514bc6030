"""The calibration error, and what chance alone makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.training.measure import error_if_perfect, expected_calibration_error


def test_the_error_is_the_weighted_gap_of_the_bins():
    truth = np.array([True, False, True, True])
    assert expected_calibration_error(truth, np.array([0.5, 0.5, 0.9, 0.9])) == pytest.approx(0.5 * 0.1)


def test_perfect_maps_err_by_chance_and_less_with_more_rows():
    p = np.random.default_rng(1).uniform(0.05, 0.95, 40_000)
    few, many = error_if_perfect(p[:400]), error_if_perfect(p, draws=60)
    assert many[0] < 0.01 < few[0] < few[1]


@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_a_map_that_is_wrong_errs_more_than_chance_allows_and_a_right_one_does_not(shift: float):
    rng = np.random.default_rng(2)
    p = rng.uniform(0.2, 0.8, 2_000)
    measured = expected_calibration_error(rng.random(2_000) < p - shift, p)
    assert (measured > error_if_perfect(p)[1]) == (shift > 0.0)
