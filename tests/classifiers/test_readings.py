"""Answers that were read anew carry what they were read as; the others what their source states."""

from __future__ import annotations

import pytest
from labelled_rows import row

from alignwatch import CATEGORIES
from classifiers.heads import BEHAVIOURS
from classifiers.training import readings
from classifiers.training.answers import JUDGED
from classifiers.training.readings import BENIGN, UNCLEAR, behaviour_of, stated_behaviour
from classifiers.training.requests import harm_of, train_requests
from classifiers.training.rows import read

COCONOT = "allenai/noncompliance"
HH_RLHF = "anthropics/hh-rlhf"


@pytest.mark.parametrize(
    ("stated", "behaviour"),
    [
        ("refusal", "refusal"),
        ("partial", "partial"),
        ("rebuttal", "refusal"),
        ("incapable", "refusal"),
        ("both-sides", None),
        ("caution", None),
        (None, None),
    ],
)
def test_a_sources_words_are_read_in_our_terms(stated: str | None, behaviour: str | None):
    assert stated_behaviour(row(behaviour=stated)) == behaviour


def test_what_was_read_stands_over_what_is_stated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readings, "readings", lambda: {"read": "compliance", "doubtful": UNCLEAR})
    stated = {name: row(id=name, behaviour="refusal") for name in ("read", "doubtful", "unread")}
    assert {name: behaviour_of(one) for name, one in stated.items()} == {
        "read": "compliance",
        "doubtful": None,
        "unread": "refusal",
    }


def test_the_shipped_readings_name_behaviours_alone():
    assert set(readings.readings().values()) <= {*BEHAVIOURS, UNCLEAR}
    assert len(readings.readings()) > 6000


@pytest.mark.data
def test_what_a_source_states_against_the_definitions_was_read(labelled_pairs: object):
    rows = [r for split in ("train", "dev") for r in read(split) if r.answered]
    by_source = {source: [r for r in rows if r.source == source] for source in (COCONOT, JUDGED)}
    assert set(readings.readings()) <= {r.id for r in rows}
    assert {r.id for r in by_source[COCONOT] if r.behaviour == "refusal"} <= set(readings.readings())
    assert {r.id for r in by_source[JUDGED] if r.behaviour in {"partial", "compliance"}} <= set(readings.readings())
    assert {r.id for r in rows if r.source == HH_RLHF} <= set(readings.readings())


@pytest.mark.data
def test_requests_were_read_where_the_source_says_nothing_of_them_and_in_training_alone(labelled_pairs: object):
    found = readings.request_readings()
    assert set(found.values()) <= {*CATEGORIES, BENIGN, UNCLEAR}
    assert set(found) <= {r.id for r in read("train") if r.source == HH_RLHF}
    asked = {r.id: r for r in read("train") if r.id in found}
    assert {name: harm_of(asked[one]) for one, name in found.items()} == {
        name: None if name == UNCLEAR else float(name != BENIGN) for name in set(found.values())
    }


@pytest.mark.data
def test_requests_that_were_read_teach_whether_they_are_harmful_and_no_category(labelled_pairs: object):
    asked = [request for request in train_requests() if request.source == HH_RLHF]
    assert {request.harm for request in asked} >= {0.0, 1.0}
    assert {request.category for request in asked} == {None}
