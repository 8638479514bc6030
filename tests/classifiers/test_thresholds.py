"""Where a score becomes a yes."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.training.calibrate import best_threshold

SCORES = np.array([0.05, 0.15, 0.65, 0.75, 0.95] * 4, dtype=np.float32)
TRUTH = np.array([False, False, True, True, True] * 4)


def test_the_middle_of_the_plateau_is_taken_and_its_upper_end_where_care_is_asked_for():
    groups = np.full(len(TRUTH), "all")
    assert best_threshold(TRUTH, SCORES, groups) == pytest.approx(0.40)
    assert best_threshold(TRUTH, SCORES, groups, careful=True) == pytest.approx(0.64)


def test_a_group_of_one_kind_has_no_say():
    groups = np.array(["both"] * 10 + ["refusals"] * 10)
    scores, truth = SCORES.copy(), TRUTH.copy()
    truth[10:], scores[10:] = True, 0.2
    assert best_threshold(truth, scores, groups) == pytest.approx(0.40)
