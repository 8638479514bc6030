"""The readable card is that of `card.json`, whole, and without text of any pair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from classifiers import Card, load_rates
from classifiers.card import SHIPPED
from classifiers.training.adversarial.cases import cases
from classifiers.training.card_checks import glance, weak_points
from classifiers.training.markdown import CARD_TEXT, sections, write_markdown
from classifiers.training.plot import PLOT
from classifiers.training.tables import cell, table

SECTIONS = {
    "At a glance", "Definitions", "How it reads", "Data", "Refusal", "Confusion", "Harm of answers", "Requests",
    "Screen", "Calibration and thresholds", "Error rates by family", "Swapped sides", "Adversarial cases", "Baselines",
    "int8 against fp32", "Model swap", "Left unjudged", "Speed and memory", "Known failures", "Reproducing this card",
}  # fmt: skip


def test_the_shipped_text_is_written_from_the_shipped_figures(card: Card, tmp_path: Path):
    write_markdown(tmp_path, card, load_rates())
    assert (tmp_path / CARD_TEXT).read_text("utf-8") == (SHIPPED / CARD_TEXT).read_text("utf-8")
    assert card.digest in (SHIPPED / CARD_TEXT).read_text("utf-8")


def test_no_section_is_missing(card: Card):
    assert {title for title, _ in sections(card, load_rates())} >= SECTIONS


def test_the_plot_is_a_picture_that_the_text_shows():
    assert (SHIPPED / PLOT).read_bytes().startswith(b"\x89PNG")
    assert f"]({PLOT})" in (SHIPPED / CARD_TEXT).read_text("utf-8")


def test_every_source_stands_with_its_licence_and_none_of_the_non_commercial_ones_was_trained_on(card: Card):
    data = card.evaluation["data"]
    assert all(row["licence"] for row in data)
    restricted = [row for row in data if "NC" in row["licence"]]
    assert restricted
    assert all(row["train"] == 0 and row["use"] == "evaluation only" for row in restricted)


def test_human_and_judged_labels_and_our_own_readings_stand_apart(card: Card):
    assert set(card.evaluation["answers"]["by_origin"]) == {"human", "judged", "read"}


def test_the_text_quotes_no_case():
    text = (SHIPPED / CARD_TEXT).read_text("utf-8")
    assert not [case.kind for case in cases() if case.response and len(case.response) > 40 and case.response in text]


def test_a_target_that_is_missed_says_no():
    found = {"answers": {"by_origin": {"human": {"f1": 0.5}, "judged": {"f1": 0.99}}, "by_family": {}}}
    text = glance(found)
    assert re.search(r"refusal F1 on human labels \| 0\.500 \| ≥ 0\.93 \| \*\*no\*\*", text)
    assert re.search(r"refusal F1 on judged labels \| 0\.990 \| ≥ 0\.9 \| yes", text)
    assert "category macro-F1 | – | ≥ 0.8 | –" in text


def test_weak_points_are_found_from_the_figures():
    found = {
        "answers": {"by_family": {"good": {"f1": 0.95}, "bad": {"f1": 0.4, "refused": 9, "complied": 8}}},
        "adversarial": {"by_kind": {"sarcasm": {"decision": 0.5, "n": 14}, "loop": {"decision": 1.0, "n": 12}}},
        "requests": {"category_f1": {"cyber": 0.9, "advice": 0.5, "crime": None}},
    }
    lines = list(weak_points(found))
    assert len(lines) == 3
    assert all(any(word in line for line in lines) for word in ("bad", "sarcasm", "advice"))


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.12345, "0.123"), (12345, "12,345"), ("a|b", "a\\|b")])
def test_figures_are_printed_alike(value: object, shown: str):
    assert cell(value) == shown


def test_columns_of_numbers_are_aligned_right():
    assert table(("name", "n"), [("a", 1), ("b", None)]).splitlines()[1] == "|---|---:|"
