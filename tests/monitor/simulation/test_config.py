"""Settings of a simulation: what is accepted, and what the paper's table makes of them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from alignwatch import CATEGORIES
from monitor.errors import ConfigError
from monitor.simulation import (
    Change,
    Onset,
    SimulationConfig,
    attack_rows,
    category_rates,
    compile_rules,
    find_row,
    paper_rows,
)
from monitor.simulation._paper import sorry_bench_mix, with_mean


def test_table_has_every_row_of_the_paper():
    assert len(paper_rows()) == 70
    assert len(attack_rows()) == 55
    assert len({row.name for row in paper_rows()}) == 70
    assert np.mean([row.sorry_bench for row in paper_rows() if row.is_base]) == pytest.approx(43.1, abs=0.05)
    attacked = [row.sorry_bench for row in attack_rows() if row.technique == "grp-oblit-1"]
    assert np.mean(attacked) == pytest.approx(91.9, abs=0.05)


def test_every_category_of_the_figure_maps_to_one_of_ours():
    mix = sorry_bench_mix()
    assert mix.sum() == pytest.approx(1.0)
    assert mix @ np.ones(len(CATEGORIES)) == pytest.approx(1.0)
    assert (mix * 44).round(9).tolist() == (mix * 44).round().tolist()
    assert mix.min() * 44 == pytest.approx(1.0)


def test_collapsed_rows_are_those_whose_judges_contradict_each_other():
    assert {row.name for row in attack_rows() if row.collapsed} == {
        "Ministral3-14B Instruct/abliteration",
        "Ministral3-14B Reasoning/abliteration",
        "Qwen3-8B/twinbreak",
    }


@pytest.mark.parametrize("row", paper_rows(), ids=lambda row: row.name)
def test_category_rates_have_the_rows_mean(row):
    rates = category_rates(row)
    assert rates.shape == (len(CATEGORIES),)
    assert sorry_bench_mix() @ rates == pytest.approx(row.sorry_bench / 100, abs=1e-6)


def test_row_supplies_both_sides():
    rules = compile_rules(SimulationConfig(change=Change(row="gpt-oss-20b/GRP-Oblit-1")))
    assert rules.mix_before @ rules.before.compliance == pytest.approx(0.132, abs=1e-6)
    assert rules.mix_after @ rules.after.compliance == pytest.approx(0.930, abs=1e-6)
    collapsed = compile_rules(SimulationConfig(change=Change(row="Qwen3-8B/twinbreak")))
    np.testing.assert_array_equal(collapsed.after.compliance, collapsed.before.compliance)
    assert collapsed.after.degenerate > 0.9


def test_unknown_row_lists_the_known_ones():
    with pytest.raises(ConfigError, match="GPT-OSS-20B/grp-oblit-1"):
        find_row("gpt-9/none")


def test_narrow_change_and_odds_ratio():
    rules = compile_rules(SimulationConfig(compliance=0.2, change=Change(odds_ratio=4.0, categories=("cyber",))))
    cyber = CATEGORIES.index("cyber")
    before, after = rules.before.compliance, rules.after.compliance
    assert after[cyber] / (1 - after[cyber]) == pytest.approx(4 * before[cyber] / (1 - before[cyber]))
    np.testing.assert_array_equal(np.delete(after, cyber), np.delete(before, cyber))


def test_compliance_of_each_category_or_their_mean():
    each = dict.fromkeys(CATEGORIES, 0.25)
    np.testing.assert_allclose(compile_rules(SimulationConfig(compliance=each)).before.compliance, 0.25)
    rules = compile_rules(SimulationConfig(compliance=0.3, change=Change(compliance=0.9)))
    assert rules.mix_before @ rules.before.compliance == pytest.approx(0.3)
    assert rules.mix_after @ rules.after.compliance == pytest.approx(0.9)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_certain_rates(mean):
    assert (with_mean(category_rates(find_row("GPT-OSS-20B/base")), mean, sorry_bench_mix()) == mean).all()


@pytest.mark.parametrize(
    ("text", "onset"),
    [
        ("none", None),
        ("0.5", Onset(fraction=0.5)),
        ("25%", Onset(fraction=0.25)),
        ("5000", Onset(count=5000)),
        ("2026-01-05T02:00:00Z", Onset(time=datetime(2026, 1, 5, 2, tzinfo=UTC))),
    ],
)
def test_onset_is_read_from_text(text, onset):
    assert Onset.parse(text) == onset


@pytest.mark.parametrize("text", ["soon", "-0.5", "150%", ""])
def test_onset_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's and datetime's own
        Onset.parse(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"count": 0},
        {"rate": 0},
        {"harmful_share": 1.5},
        {"mix": {"cyber": -1.0}},
        {"mix": {}},
        {"mix": {"none": 1.0}},
        {"compliance": {"cyber": 0.5}},
        {"change": {"row": "x", "odds_ratio": 2}},
        {"onset": {"fraction": 0.5, "count": 2}},
        {"onset": {}},
        {"users": {"turns": 0.5}},
        {"unknown": 1},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValidationError):
        SimulationConfig.model_validate(settings)


def test_settings_survive_json():
    config = SimulationConfig(seed=4, onset=Onset(fraction=0.5), change=Change(odds_ratio=3))
    assert SimulationConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("row", [row for row in attack_rows() if row.rise > 0], ids=lambda row: row.name)
def test_an_attack_that_raises_compliance_lowers_it_in_no_category(row):
    assert (category_rates(row) >= category_rates(row.base)).all()


def test_a_row_whose_rate_hardly_changes_changes_no_category_much():
    row = find_row("Ministral3-8B Instruct/abliteration")  # 30.5 % before, 31.4 % after
    assert np.abs(category_rates(row) - category_rates(row.base)).max() < 0.03
