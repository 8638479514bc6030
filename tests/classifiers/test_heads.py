"""Calibration: logits to probabilities, each head by its own map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.card import Calibration, Platt, VectorScaling
from classifiers.heads import BEHAVIOUR, BEHAVIOURS, CATEGORY, HARM, HEADS, RESPONSE_HARM, Heads, sigmoid, softmax


def _calibration(**changes: object) -> Calibration:
    plain = {
        "harm": Platt(slope=1.0, bias=0.0),
        "category": VectorScaling(scale=1.0, bias=(0.0,) * 14),
        "behaviour": VectorScaling(scale=1.0, bias=(0.0,) * 4),
        "response_harm": Platt(slope=1.0, bias=0.0),
    }
    return Calibration.model_validate(plain | changes)


def test_the_heads_share_the_outputs_without_gaps_or_overlap():
    parts = [HARM, CATEGORY, BEHAVIOUR, RESPONSE_HARM]
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(HEADS))
    assert BEHAVIOUR.stop - BEHAVIOUR.start == len(BEHAVIOURS)


def test_extreme_logits_do_not_overflow():
    with np.errstate(all="raise"):
        values = sigmoid(np.array([-500.0, 0.0, 500.0], dtype=np.float32))
    assert values.tolist() == [0.0, 0.5, 1.0]
    assert softmax(np.array([[800.0, 0.0]], dtype=np.float32)).tolist() == [[1.0, 0.0]]


def test_platt_shifts_and_stretches():
    logits = np.zeros((1, HEADS), dtype=np.float32)
    logits[0, HARM] = 2.0
    heads = Heads(_calibration(harm=Platt(slope=0.5, bias=-1.0)))
    assert heads.harm(logits)[0] == pytest.approx(0.5)


def test_scaling_sharpens_and_bias_favours():
    logits = np.zeros((2, HEADS), dtype=np.float32)
    logits[0, BEHAVIOUR.start] = 1.0
    flat, sharp = (
        Heads(_calibration(behaviour=VectorScaling(scale=s, bias=(0.0,) * 4))).behaviour(logits) for s in (1.0, 3.0)
    )
    assert sharp[0, 0] > flat[0, 0]
    favoured = Heads(_calibration(behaviour=VectorScaling(scale=1.0, bias=(0.0, 0.0, 2.0, 0.0)))).behaviour(logits)
    assert favoured[1].argmax() == 2


def test_every_row_of_a_softmax_head_sums_to_one():
    logits = np.random.default_rng(1).normal(size=(50, HEADS)).astype(np.float32) * 5
    heads = Heads(_calibration())
    assert np.allclose(heads.behaviour(logits).sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(heads.category(logits).sum(axis=1), 1.0, atol=1e-5)


@given(st.floats(-12.0, 12.0), st.floats(-12.0, 12.0))
def test_an_answer_is_no_likelier_harmful_than_to_do_what_was_asked(refusing: float, harm: float):
    logits = np.zeros((1, HEADS), dtype=np.float32)
    logits[0, BEHAVIOUR.start], logits[0, RESPONSE_HARM] = refusing, harm
    heads = Heads(_calibration())
    refusal, _, _, broken = heads.behaviour(logits)[0]
    assert heads.response_harm(logits)[0] <= 1.0 - refusal - broken + 1e-5
    assert heads.response_harm(logits)[0] <= sigmoid(np.float32(harm)) + 1e-5


def test_a_refusal_that_talks_of_harm_gives_none_and_a_plain_answer_is_left_as_it_was():
    logits = np.zeros((2, HEADS), dtype=np.float32)
    logits[:, RESPONSE_HARM] = 3.0
    logits[:, BEHAVIOUR] = [[9.0, 0.0, 0.0, 0.0], [-9.0, 0.0, 9.0, -9.0]]
    refused, complied = Heads(_calibration()).response_harm(logits)
    assert refused < 0.01
    assert complied == pytest.approx(sigmoid(np.float32(3.0)), abs=1e-3)
