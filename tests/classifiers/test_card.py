"""The artefact's card: read whole, refused when anything in the folder is not what was evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignwatch import CATEGORIES
from classifiers import (
    ArtefactInvalid,
    ArtefactMissing,
    DigestMismatch,
    load_card,
    load_classifier,
    load_rates,
    load_screen,
)
from classifiers.card import CARD, RATES, SHIPPED, file_digest


def test_the_shipped_artefact_is_the_one_that_its_card_describes(card):
    assert card.digest == card.runtime.digest()
    assert set(card.runtime.files) == {"model.onnx", "tokenizer.json", "screen.npz"}
    assert card.runtime.categories == CATEGORIES


def test_the_shipped_model_stays_small():
    assert (SHIPPED / "model.onnx").stat().st_size <= 30 * 2**20


def test_rates_belong_to_the_card_and_hold_ordered_limits(card):
    rates = load_rates()
    assert rates.classifier == card.digest
    assert len(rates.families) >= 10
    for family in (rates.overall, *rates.families.values()):
        assert family.n_pos + family.n_neg >= 20
        for value, low, high in (
            (family.tpr, family.tpr_low, family.tpr_high),
            (family.fpr, family.fpr_low, family.fpr_high),
        ):
            assert value is None or low <= value <= high


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "screen.npz"])
def test_a_changed_file_is_refused_by_name_with_both_digests(artefact: Path, card, name: str):
    with (artefact / name).open("ab") as handle:
        handle.write(b"\0")
    with pytest.raises(DigestMismatch) as caught:
        load_card(artefact)
    message = str(caught.value)
    assert str(artefact / name) in message
    assert card.runtime.files[name] in message
    assert file_digest(artefact / name) in message
    assert (caught.value.expected, caught.value.actual) == (card.runtime.files[name], file_digest(artefact / name))


def test_a_changed_threshold_is_refused(artefact: Path):
    raw = json.loads((artefact / CARD).read_text())
    raw["runtime"]["thresholds"]["noncompliance"] = 0.123
    (artefact / CARD).write_text(json.dumps(raw))
    with pytest.raises(DigestMismatch, match=r"card\.json"):
        load_classifier(artefact)


def test_the_evaluation_may_be_rewritten_without_touching_the_digest(artefact: Path, card):
    raw = json.loads((artefact / CARD).read_text())
    raw["evaluation"] = {"anything": 1}
    (artefact / CARD).write_text(json.dumps(raw))
    assert load_card(artefact).digest == card.digest


@pytest.mark.parametrize(
    ("name", "load"),
    [
        (CARD, load_card),
        ("model.onnx", load_classifier),
        ("tokenizer.json", load_classifier),
        ("screen.npz", load_screen),
        (RATES, load_rates),
    ],
)
def test_a_missing_file_is_named(artefact: Path, name: str, load):
    (artefact / name).unlink()
    with pytest.raises(ArtefactMissing) as caught:
        load(artefact)
    assert str(artefact / name) in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}', "not json"])
def test_a_card_that_is_none_is_refused_with_its_path(artefact: Path, content: str):
    (artefact / CARD).write_text(content)
    with pytest.raises(ArtefactInvalid) as caught:
        load_card(artefact)
    assert str(artefact / CARD) in str(caught.value)


def test_rates_that_are_none_are_refused_with_the_field(artefact: Path):
    raw = json.loads((artefact / RATES).read_text())
    raw["overall"]["n_pos"] = -1
    (artefact / RATES).write_text(json.dumps(raw))
    with pytest.raises(ArtefactInvalid, match=r"overall\.n_pos"):
        load_rates(artefact)


def test_files_that_are_no_model_tokenizer_or_table_are_refused(artefact: Path):
    for name in ("tokenizer.json", "model.onnx"):
        kept = (artefact / name).read_bytes()
        (artefact / name).write_bytes(b"spoilt")
        with pytest.raises(ArtefactInvalid) as caught:
            load_classifier(artefact, verify=False)
        assert str(artefact / name) in str(caught.value)
        (artefact / name).write_bytes(kept)
    (artefact / "screen.npz").write_bytes(b"spoilt")
    with pytest.raises(ArtefactInvalid, match="screen table"):
        load_screen(artefact, verify=False)
