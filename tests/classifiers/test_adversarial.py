"""Our own hard cases: composed as they should be, scored as they should be, trained on by nobody."""

from __future__ import annotations

from collections import Counter

import pytest

from alignwatch import Behaviour, RequestLabel
from classifiers import PairLabels
from classifiers.training.adversarial.cases import ORDINARY, Case, cases, lines, outcome, score
from classifiers.training.adversarial.check import LEAST, Trained, faults, faults_of
from classifiers.training.rows import augmentation

KINDS = {
    "refuse_then_comply", "comply_then_disclaim", "disclaim_then_comply", "fiction_wrapper", "sarcasm",
    "quoted_refusal", "other_language_refusal", "other_language_compliance", "policy_talk", "late_refusal",
    "middle_refusal", "long_partial", "roleplay", "gibberish", "loop", "drift", "moralising_compliance",
    "rebuttal", "redirect", "selective", "incapable", "terse_refusal", "refusal_vocabulary", "structured",
    "thinking", "empty", "redacted", "too_short", "wrapper_harmless", "wrapper_sensitive", "look_alike_harmless",
    "harmless_other_language", "sensitive_other_language", "language_ordinary",
    "ordinary",
}  # fmt: skip


def test_the_set_has_no_fault():
    assert faults() == []


def test_the_set_is_large_and_holds_every_kind_more_than_once():
    counts = Counter(case.kind for case in cases())
    assert counts.total() >= LEAST
    assert set(counts) == KINDS
    assert min(counts.values()) >= 3


def test_every_behaviour_is_there_and_none_prevails_among_the_hard_cases():
    counts = Counter(case.behaviour for case in cases() if case.behaviour and case.kind != ORDINARY)
    assert set(counts) == {"refusal", "partial", "compliance", "degenerate"}
    assert max(counts.values()) < 0.5 * counts.total()


def test_long_cases_are_longer_than_the_answer_window(classifier):
    window = classifier.card.runtime.answer_window
    for case in cases():
        if case.kind in {"late_refusal", "middle_refusal", "long_partial"}:
            assert len(classifier.answer_sequences([case.response or ""])[0]) > window.head + window.tail


def test_training_reads_none_of_the_cases():
    trained = {text for row in augmentation() for text in (row.get("prompt"), row.get("response")) if text}
    judged = {case.response or case.prompt for case in cases() if case.unlabelable is None}
    assert not judged & trained


def test_a_case_that_is_trained_on_is_found():
    trained = Trained([{"prompt": None, "response": "The lamp in the hall was green when we came home that evening."}])
    assert trained.fault("the lamp in the  hall was green when we came home that evening.") is not None
    assert trained.fault("Yes: the lamp in the hall was green when we came home that day.") is not None
    assert trained.fault("A green lamp stood in the hall.") is None


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"behaviour": "agreement"}, "behaviour 'agreement'"),
        ({"behaviour": None}, "exactly one"),
        ({"behaviour": "refusal", "response": " "}, "needs a response"),
        ({"request": "nasty", "behaviour": None}, "request 'nasty'"),
        ({"unlabelable": "boring", "behaviour": None}, "unlabelable 'boring'"),
        ({"extra": 1}, "fields are"),
    ],
)
def test_a_faulty_line_is_named_with_what_is_allowed(changes: dict, part: str):
    row = next(raw for _, raw in lines() if raw["behaviour"] == "compliance") | changes
    assert part in " ".join(faults_of(row))


def _labels(behaviour: str | None, harm: float = 0.0, unlabelable=None) -> PairLabels:
    shares = {"refusal": 0.0, "partial": 0.0, "compliance": 0.0, "degenerate": 0.0}
    read = None if behaviour is None else Behaviour(**(shares | {behaviour: 1.0}))
    return PairLabels(RequestLabel(harm=harm, category="none"), read, 0.0, unlabelable)


def _case(**expected: str) -> Case:
    empty = dict.fromkeys(("prompt", "response", "behaviour", "request", "unlabelable"))
    return Case(**({"kind": "k", "language": "en"} | empty | expected))


@pytest.mark.parametrize(
    ("case", "labels", "decided", "exact"),
    [
        (_case(behaviour="partial"), _labels("refusal"), True, False),
        (_case(behaviour="partial"), _labels("compliance"), False, False),
        (_case(behaviour="compliance"), _labels("compliance"), True, True),
        (_case(behaviour="refusal"), _labels(None, unlabelable="unsupported-language"), None, None),
        (_case(unlabelable="empty"), _labels(None, unlabelable="empty"), True, None),
        (_case(unlabelable="empty"), _labels("refusal"), False, None),
        (_case(request="harmful"), _labels(None, harm=0.9), True, None),
        (_case(request="benign"), _labels(None, harm=0.9), False, None),
    ],
)
def test_a_case_is_scored_by_decision_and_by_behaviour(case: Case, labels: PairLabels, decided, exact):
    found = outcome(case, labels, noncompliance=0.5, harm=0.5)
    assert (found.decided, found.exact) == (decided, exact)


def test_the_shipped_classifier_beats_guessing_on_every_group(classifier):
    thresholds = classifier.card.thresholds
    found = score(classifier, noncompliance=thresholds.noncompliance, harm=thresholds.harm)
    assert sum(found[group]["n"] for group in ("answers", "requests", ORDINARY)) == len(cases())
    assert found["by_kind"][ORDINARY] == found[ORDINARY]
    assert found["answers"]["decision"] > 0.7
    assert found[ORDINARY]["decision"] > 0.9
    assert found["requests"]["decision"] > 0.7
    for kind in ("empty", "redacted", "too_short"):
        assert found["by_kind"][kind]["decision"] == 1.0
    stated = classifier.card.evaluation.get("adversarial")
    if stated:
        assert found["answers"]["decision"] == pytest.approx(stated["answers"]["decision"], abs=0.02)
