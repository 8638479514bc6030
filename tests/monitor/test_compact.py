from __future__ import annotations

import doctest
from datetime import UTC, datetime
from typing import Any

from exchanges import HashLabeller, native
from hypothesis import given
from hypothesis import strategies as st

import monitor.compact
from alignwatch import AttachedLabels, Behaviour, Exchange, Label, RequestLabel
from classifiers import Pair, PairLabels
from monitor.compact import LABEL_BYTES, PERSON_BYTES, short_classifier, short_weight, shortened
from monitor.labelling import LabellingStage
from monitor.sampling import Selected

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512)


def long_exchange(**fields: Any) -> Exchange:
    widest = {
        "id": "\x01" * 512,
        "deployment": "é" * 512,
        "conversation": "c" * 5000,
        "user": "someone@example.org" * 50,
        "model_digest": "sha256:" + "f" * 500,
    }
    return Exchange.model_validate(native(**(widest | fields)))


class WordyLabeller:
    """Fills every field of a label to its widest."""

    digest = "sha256:" + "cd" * 32

    def label(self, pairs: list[Pair]) -> list[PairLabels]:
        request = RequestLabel(harm=0.9712, category="intellectual_property")
        behaviour = Behaviour(refusal=0.1234, partial=0.2345, compliance=0.4321, degenerate=0.21)
        return [PairLabels(request, behaviour, 0.8834, None) for _ in pairs]


def size(label: Label) -> int:
    return len(label.to_json().encode())


def test_the_examples_hold() -> None:
    assert doctest.testmod(monitor.compact).failed == 0


def test_the_widest_label_keeps_within_its_bytes() -> None:
    one = Selected(long_exchange(finish_reason="content_filter", finish="provider_block"), 1.23456789e12, "uniform")
    (label,) = LabellingStage(WordyLabeller()).label([one])
    assert 550 < size(label) <= LABEL_BYTES
    assert Label.model_validate_json(label.to_json()) == label


def test_attached_verdicts_with_many_digits_keep_within_them_too() -> None:
    attached = AttachedLabels(
        request=RequestLabel(harm=0.123456789012345678, category="intellectual_property"),
        behaviour=Behaviour(refusal=1 / 3, partial=1 / 3, compliance=1 / 6, degenerate=1 / 6),
        response_harm=2 / 3,
        unlabelable="r" * 64,
        origin="attached",
        classifier="vendor/" + "x" * 70,
    )
    one = Selected(long_exchange(labels=attached), 1 / 0.0813, "uniform")
    (label,) = LabellingStage(HashLabeller()).label([one])
    assert size(label) <= LABEL_BYTES
    assert label.request == RequestLabel(harm=0.1235, category="intellectual_property")
    assert label.origin == "attached"


@given(id=TEXTS, deployment=TEXTS, user=TEXTS, conversation=TEXTS, weight=st.floats(1.0, 1e12))
def test_no_name_makes_a_label_too_long(id: str, deployment: str, user: str, conversation: str, weight: float) -> None:  # noqa: A002 - the field's name
    exchange = Exchange(
        id=id,
        timestamp=datetime(2026, 11, 23, 10, tzinfo=UTC),
        deployment=deployment,
        user=user,
        conversation=conversation,
        model_digest="sha256:" + "f" * 64,
        prompt="hi",
        response="hello",
    )
    (label,) = LabellingStage(WordyLabeller()).label([Selected(exchange, weight, "screen")])
    assert size(label) <= LABEL_BYTES
    assert Label.model_validate_json(label.to_json()).id == label.id


def test_usual_names_are_written_as_they_are() -> None:
    usual = {
        "id": "0193e5a4-7c1b-7d3e-9a53-3f1f8f0a4c55",
        "deployment": "chat-prod-eu-west-1/llama-3.3-70b",
        "conversation": "c-1234567890",
        "user": "u-7",
        "model_digest": "sha256:" + "0" * 64,
    }
    exchange = Exchange.model_validate(native(**usual))
    (label,) = LabellingStage(HashLabeller()).label([Selected(exchange, 10.0, "uniform")])
    assert {name: getattr(label, name) for name in usual} == usual


@given(TEXTS, TEXTS)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (shortened(one, PERSON_BYTES) == shortened(other, PERSON_BYTES)) == (one == other)


def test_a_shortened_name_is_found_by_its_beginning() -> None:
    name = "gateway-eu-1-2026-11-23T10:00:00Z-" + "7" * 40
    assert name.startswith(shortened(name, 40).split("~")[0])
    assert len(shortened(name, 40).split("~")[0]) == 27


def test_a_weight_keeps_six_digits() -> None:
    assert short_weight(1.0) == 1.0
    assert abs(short_weight(1 / 3e-4) * 3e-4 - 1) < 1e-5


def test_shipped_and_foreign_classifiers_keep_names_of_their_own() -> None:
    assert short_classifier("attached") == "attached"
    assert len(short_classifier("vendor-" * 20)) == 39
    assert short_classifier("sha256:" + "0" * 64) != short_classifier("sha256:1" + "0" * 63)
