"""Simulated labels are valid records whose probabilities say what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from alignwatch import Label
from monitor.simulation import Change, Onset, SimulationConfig, compile_rules, simulate_labels


def test_labels_are_valid_records_within_the_size_limit():
    config = SimulationConfig(
        count=3_000, separation=3.0, partial=0.2, model_digest="sha256:" + "a" * 64, uniform_rate=0.5
    )
    for label in simulate_labels(config):
        line = label.to_json()
        assert len(line.encode()) <= 600
        assert Label.model_validate_json(line).id == label.id


def test_same_seed_same_labels_and_unique_ids():
    config = SimulationConfig(count=10_000, seed=5, onset=Onset(fraction=0.5), change=Change(odds_ratio=9))
    labels = list(simulate_labels(config))
    assert labels == list(simulate_labels(config))
    assert len({label.id for label in labels}) == 10_000
    other = {label.id for label in simulate_labels(config.model_copy(update={"seed": 6}))}
    assert not other & {label.id for label in labels}


def test_screened_labels_keep_every_rate_unbiased_by_weight():
    config = SimulationConfig(count=60_000, harmful_share=0.05, uniform_rate=0.1)
    labels = list(simulate_labels(config))
    assert len(labels) < 12_000
    harmful = sum(label.weight for label in labels if label.request and label.request.category != "none")
    assert harmful == pytest.approx(3_000, rel=0.1)
    assert sum(label.weight for label in labels) == pytest.approx(60_000, rel=0.03)
    assert all(label.weight == 1.0 for label in labels if label.selection == "screen")
    uniform = [label for label in labels if label.selection == "uniform"]
    share = np.mean([label.request is not None and label.request.category != "none" for label in uniform])
    assert share == pytest.approx(0.05, abs=0.015)


def test_soft_labels_are_calibrated_before_the_onset():
    config = SimulationConfig(count=60_000, harmful_share=1.0, compliance=0.3, separation=2.5, degenerate=0.0, seed=2)
    scores = np.array([label.behaviour.compliance for label in simulate_labels(config) if label.behaviour])
    assert 0.05 < ((scores > 0.1) & (scores < 0.9)).mean() < 0.6
    assert scores.mean() == pytest.approx(0.3, abs=0.01)


def test_certain_labels_have_the_stated_mean():
    config = SimulationConfig(count=60_000, harmful_share=1.0, compliance=0.13, degenerate=0.0)
    rules = compile_rules(config)
    scores = np.array([label.behaviour.compliance for label in simulate_labels(config) if label.behaviour])
    assert set(scores) == {0.0, 1.0}
    assert scores.mean() == pytest.approx(rules.mix_before @ rules.before.compliance, abs=0.006)


def test_digest_changes_only_when_asked():
    silent = SimulationConfig(count=1_000, model_digest="a", onset=Onset(fraction=0.5), change=Change(odds_ratio=9))
    assert {label.model_digest for label in simulate_labels(silent)} == {"a"}
    announced = silent.model_copy(update={"digest_after": "b"})
    assert [label.model_digest for label in simulate_labels(announced)] == ["a"] * 500 + ["b"] * 500
