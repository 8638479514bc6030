from __future__ import annotations

from typing import Any

import pytest
from exchanges import HashLabeller, native, record
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import Behaviour, Exchange, RequestLabel, Selection
from classifiers import load_classifier
from monitor.compact import short_classifier
from monitor.envelopes import DecodeLimits, decode
from monitor.labelling import LabellingStage
from monitor.sampling import Selected

ATTACHED = {"request": {"harm": 0.9, "category": "sexual"}, "behaviour": {"refusal": 1, "partial": 0, "compliance": 0}}


def selected(selection: Selection = "uniform", weight: float = 1.0, **fields: Any) -> Selected:
    return Selected(Exchange.model_validate(native(**fields)), weight, selection)


def decoded(fields: dict[str, Any]) -> Exchange:
    (one,) = decode(record(fields), limits=DecodeLimits(), default_deployment=None)
    return one


def test_labels_come_in_order_whatever_the_batches_are() -> None:
    many = [selected(id=f"r-{n}", prompt=f"question {n}", response=f"answer {n}") for n in range(57)]
    whole = LabellingStage(HashLabeller(), batch=1000).label(many)
    parts = LabellingStage(HashLabeller(), batch=5).label(many)
    assert [label.id for label in whole] == [one.exchange.id for one in many]
    assert whole == parts


def test_a_label_carries_who_when_and_how_it_was_chosen_and_no_text() -> None:
    one = selected(
        "screen", 2.5, prompt="canary-in-the-prompt", response="canary-in-the-answer",
        user="u-7", conversation="c-9", model_digest="sha256:aa", tenant="acme",
    )  # fmt: skip
    (label,) = LabellingStage(HashLabeller()).label([one])
    assert (label.user, label.conversation, label.model_digest) == ("u-7", "c-9", "sha256:aa")
    assert (label.weight, label.selection, label.origin) == (2.5, "screen", "model")
    assert label.classifier == "sha256:" + "ab" * 16
    assert "canary" not in label.to_json()


@pytest.mark.parametrize(("selection", "reads"), [("uniform", "always"), ("screen", "if-sensitive")])
def test_an_answer_is_read_always_where_content_did_not_decide(selection: Selection, reads: str) -> None:
    labeller = HashLabeller()
    LabellingStage(labeller).label([selected(selection)])
    assert [pair.read_answer for pair in labeller.seen] == [reads]


def test_verdicts_attached_upstream_skip_the_classifier() -> None:
    labeller = HashLabeller()
    (label,) = LabellingStage(labeller).label([selected(labels=ATTACHED)])
    assert labeller.seen == []
    assert label.request == RequestLabel(harm=0.9, category="sexual")
    assert label.behaviour == Behaviour(refusal=1.0, partial=0.0, compliance=0.0)
    assert (label.origin, label.classifier) == ("attached", "attached")


def test_a_reason_attached_without_a_verdict_belongs_to_the_series_of_the_classifier_that_would_have_judged() -> None:
    labeller = HashLabeller()
    given = [{"unlabelable": "image"}, {"unlabelable": "image", "classifier": "filter-1"}]
    ours, theirs = LabellingStage(labeller).label([selected(labels=one) for one in given])
    assert not labeller.seen
    assert (ours.unlabelable, ours.classifier, theirs.classifier) == (
        "image",
        short_classifier(labeller.digest),
        "filter-1",
    )


def test_an_attached_origin_alone_is_kept_beside_our_own_labels() -> None:
    labeller = HashLabeller()
    (label,) = LabellingStage(labeller).label([selected(labels={"origin": "canary"})])
    assert len(labeller.seen) == 1
    assert label.origin == "canary"
    assert label.behaviour is not None


@pytest.mark.parametrize("reason", ["content_filter", "guardrail_intervened"])
def test_an_answer_that_a_filter_ended_is_the_providers(reason: str) -> None:
    stage = LabellingStage(HashLabeller())
    ended = [decoded(native(finish_reason=reason)), decoded(native(finish_reason="stop"))]
    blocked, stopped = stage.label([Selected(one, 1.0, "uniform") for one in ended])
    assert (blocked.origin, stopped.origin) == ("provider", "model")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"prompt": "redacted-by-litellm", "response": "redacted-by-litellm"}, "redacted"),
        ({"prompt": "", "response": "Here you are."}, "empty"),
        ({"response": ""}, "empty"),
    ],
    ids=["redacted", "no-prompt", "no-answer"],
)
def test_redacted_and_empty_text_is_unlabelable_with_a_reason_and_never_guessed(
    fields: dict[str, Any], reason: str
) -> None:
    (label,) = LabellingStage(load_classifier()).label([selected(**fields)])
    assert label.unlabelable == reason
    assert label.request is None or label.behaviour is None


@given(st.text(max_size=200), st.text(max_size=200))
def test_changing_the_answer_never_changes_the_request_labels(one: str, other: str) -> None:
    stage = LabellingStage(_shipped())
    first, second = stage.label([selected(response=one), selected(response=other)])
    assert first.request == second.request


def _shipped() -> Any:
    if not _held:
        _held.append(load_classifier())
    return _held[0]


_held: list[Any] = []
