"""`make card`: says where the labelled pairs are absent, agrees with the card it finds, names what differs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from classifiers import Card
from classifiers.card import SHIPPED
from classifiers.training import cardcommand, report, speed
from classifiers.training.report import without_nan

NO_GRAPH = Path("no-such-graph.onnx")


def test_without_the_labelled_pairs_it_says_so_and_checks_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALIGNWATCH_DATA", str(tmp_path))
    assert cardcommand.run(SHIPPED, NO_GRAPH, rewrite=False) == 0
    said = capsys.readouterr().out
    assert str(tmp_path) in said
    assert "nothing was checked" in said


def _measuring(monkeypatch: pytest.MonkeyPatch, found: dict) -> None:
    monkeypatch.setattr(cardcommand, "have_data", lambda: True)
    monkeypatch.setattr(report, "measure", lambda *_: found)


def test_figures_that_agree_are_counted(card: Card, monkeypatch, capsys):
    _measuring(monkeypatch, copy.deepcopy({key: card.evaluation[key] for key in ("answers", "calibration", "sample")}))
    assert cardcommand.run(SHIPPED, NO_GRAPH, rewrite=False) == 0
    assert "figures agree with" in capsys.readouterr().out


def test_a_figure_that_differs_is_named_and_fails(card: Card, monkeypatch, capsys):
    found = copy.deepcopy({"sample": card.evaluation["sample"]})
    found["sample"]["refusal_f1"] -= 0.2
    _measuring(monkeypatch, found)
    assert cardcommand.run(SHIPPED, NO_GRAPH, rewrite=False) == 1
    said = capsys.readouterr().out
    assert "sample.refusal_f1: the card says" in said
    assert "1 figures differ" in said


def test_a_section_that_the_card_lacks_fails(monkeypatch, capsys):
    _measuring(monkeypatch, {"brand new": {"x": 1}})
    assert cardcommand.run(SHIPPED, NO_GRAPH, rewrite=False) == 1
    assert "brand new" in capsys.readouterr().out


def test_rates_of_no_rows_are_none():
    nan = float("nan")
    assert without_nan({"a": [nan, 1.0], "b": {"c": nan, "d": "x"}}) == {"a": [None, 1.0], "b": {"c": None, "d": "x"}}


def test_the_bench_has_pairs_of_our_own_where_a_clone_has_no_data(monkeypatch):
    monkeypatch.setattr(speed, "have_data", lambda: False)
    pairs = speed.pairs_for_speed(50)
    assert len(pairs) == 50
    assert all(pair.prompt and pair.response for pair in pairs)


def test_the_bench_measures_ratios_and_rates(classifier, screen):
    pairs = speed.pairs_for_speed(12)
    found = speed.against_bare(classifier, pairs, rounds=1)
    assert set(found) == {"pairs_per_second", "of_bare_session"}
    assert min(found.values()) > 0
    assert speed.screen_rate(screen, [pair.prompt for pair in pairs], rounds=1) > 0
    assert speed.tokens_rate(classifier, [pair.response for pair in pairs], rounds=1) > 0
