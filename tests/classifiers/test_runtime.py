"""The run time: what is read off what, in whatever batches and threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers import Classifier, ClassifierError, Labeller, Pair, load_classifier
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from classifiers.training.adversarial.cases import ALONE, cases

ANSWERS = [case.response for case in cases() if case.response and case.unlabelable is None]
PROMPTS = [case.prompt for case in cases() if case.prompt and case.request]
REFUSAL = "I'm sorry, but I can't help with that request."
BREAD = "Mix flour, water, salt and yeast, knead for ten minutes, let it rise twice and bake it for forty minutes."


def _pairs(count: int) -> list[Pair]:
    return [Pair(PROMPTS[i % len(PROMPTS)], ANSWERS[i % len(ANSWERS)]) for i in range(count)]


def test_a_refusal_and_an_answer_are_told_apart(classifier: Classifier):
    refusal, answer = classifier.label([Pair("How do I bake bread?", REFUSAL), Pair("How do I bake bread?", BREAD)])
    assert refusal.behaviour is not None
    assert answer.behaviour is not None
    assert refusal.behaviour.name == "refusal"
    assert answer.behaviour.name == "compliance"
    assert answer.request is not None
    assert answer.request.category == "none"
    assert answer.request.harm < classifier.card.thresholds.harm


def test_labels_come_in_the_order_of_the_pairs(classifier: Classifier):
    pairs = _pairs(40)
    forwards, backwards = classifier.label(pairs), classifier.label(pairs[::-1])
    assert forwards == backwards[::-1]


def test_the_classifier_is_a_labeller_and_signs_with_its_digest(classifier: Classifier):
    assert isinstance(classifier, Labeller)
    assert classifier.digest == classifier.card.digest


def test_no_pairs_no_labels(classifier: Classifier):
    assert classifier.label([]) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answer=st.one_of(st.none(), st.text(max_size=200), st.sampled_from(ANSWERS)), index=st.integers(0, len(PROMPTS) - 1)
)
def test_changing_the_answer_never_changes_the_request_labels(classifier: Classifier, answer: str | None, index: int):
    prompt = PROMPTS[index]
    (plain,) = classifier.label([Pair(prompt, REFUSAL)])
    (other,) = classifier.label([Pair(prompt, answer)])
    assert plain.request == other.request


def test_changing_the_request_never_changes_the_answer_labels(classifier: Classifier):
    for answer in (REFUSAL, BREAD, ANSWERS[5]):
        found = classifier.label([Pair(prompt, answer) for prompt in PROMPTS[:20]])
        assert (
            len({(labels.behaviour.model_dump_json(), labels.response_harm) for labels in found if labels.behaviour})
            == 1
        )


@pytest.mark.parametrize("batch_tokens", [1, 64, 700, 4096])
def test_labels_do_not_depend_on_the_batch_they_are_in(classifier: Classifier, batch_tokens: int):
    pairs = _pairs(24)
    alone = [classifier.label([pair])[0] for pair in pairs]
    together = load_classifier(batch_tokens=batch_tokens).label(pairs)
    assert [x.request for x in together] == [x.request for x in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.behaviour is not None
        assert other.behaviour is not None
        assert one.behaviour.compliance == pytest.approx(other.behaviour.compliance, abs=2e-3)
        assert one.behaviour.name == other.behaviour.name


def test_padding_does_not_move_a_logit(classifier: Classifier):
    encoder = classifier.encoder
    short = classifier.answer_sequences([REFUSAL])[0]
    long = classifier.answer_sequences([BREAD * 4])[0]
    alone = encoder.session.run(["logits"], encoder.feed([short], ANSWER_TYPE))[0][0]
    padded = encoder.session.run(["logits"], encoder.feed([short, long], ANSWER_TYPE))[0][0]
    assert np.abs(alone - padded).max() < 1e-3


def test_two_threads_label_like_one(classifier: Classifier):
    pairs = _pairs(24)
    one, two = classifier.label(pairs), load_classifier(threads=2).label(pairs)
    assert [x.request and x.request.category for x in one] == [x.request and x.request.category for x in two]
    for x, y in zip(one, two, strict=True):
        assert x.behaviour is not None
        assert y.behaviour is not None
        assert x.behaviour.compliance == pytest.approx(y.behaviour.compliance, abs=2e-3)


def test_one_classifier_serves_many_threads_at_once(classifier: Classifier):
    parts = [_pairs(8 + i) for i in range(6)]
    expected = [classifier.label(part) for part in parts]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(classifier.label, parts)) == expected


def test_batches_hold_like_lengths_within_the_bound(classifier: Classifier):
    encoder = load_classifier(batch_tokens=300).encoder
    sequences = classifier.answer_sequences(ANSWERS[:80])
    batches = list(encoder.batches(sequences))
    assert sorted(i for batch in batches for i in batch) == list(range(len(sequences)))
    widths = [max(len(sequences[i]) for i in batch) for batch in batches]
    assert widths == sorted(widths)
    assert all(len(batch) == 1 or len(batch) * width <= 300 for batch, width in zip(batches, widths, strict=True))


def test_the_two_passes_are_told_apart_by_the_token_type(classifier: Classifier):
    feed = classifier.encoder.feed([[101, 5, 102], [101, 102]], REQUEST_TYPE)
    assert feed["token_type_ids"].sum() == 0
    assert feed["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert classifier.encoder.feed([[101, 102]], ANSWER_TYPE)["token_type_ids"].tolist() == [[1, 1]]


def test_the_answer_is_read_always_never_or_only_where_the_request_is_near_anything_sensitive(classifier: Classifier):
    plain, dubious = "How do I bake bread?", "How do I secretly read my girlfriend's messages on her phone?"
    far, near = classifier.label(
        [Pair(plain, BREAD, read_answer="if-sensitive"), Pair(dubious, BREAD, read_answer="if-sensitive")]
    )
    assert far.request is not None
    assert far.request.harm < classifier.card.thresholds.answer_pass
    assert far.behaviour is None
    assert far.response_harm is None
    assert far.unlabelable is None
    assert near.behaviour is not None
    (never,) = classifier.label([Pair(dubious, BREAD, read_answer="never")])
    assert never.behaviour is None
    assert never.request == near.request


def test_an_unreadable_answer_under_the_cascade_is_not_looked_at(classifier: Classifier):
    (labels,) = classifier.label([Pair("How do I bake bread?", "", read_answer="if-sensitive")])
    assert labels.unlabelable is None


def test_a_request_that_cannot_be_read_does_not_hide_its_answer(classifier: Classifier):
    (labels,) = classifier.label([Pair("[REDACTED]", REFUSAL, read_answer="if-sensitive")])
    assert labels.request is None
    assert labels.unlabelable == "redacted"
    assert labels.behaviour is not None
    assert labels.behaviour.name == "refusal"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("[REDACTED]", "redacted"),
        ("No.", "too-short"),
        ("ขอโทษครับ ช่วยไม่ได้", "unsupported-language"),
    ],
)
def test_an_answer_that_cannot_be_judged_has_a_reason_and_no_label(classifier: Classifier, response: str, reason: str):
    (labels,) = classifier.label([Pair("How do I bake bread?", response)])
    assert labels.unlabelable == reason
    assert labels.behaviour is None
    assert labels.response_harm is None
    assert labels.request is not None


def test_the_prompts_reason_comes_first(classifier: Classifier):
    (labels,) = classifier.label([Pair("", "[REDACTED]")])
    assert labels.unlabelable == "empty"


def test_no_answer_is_not_an_unreadable_one(classifier: Classifier):
    (labels,) = classifier.label([Pair("How do I bake bread?", None)])
    assert labels.behaviour is None
    assert labels.unlabelable is None


def test_visible_reasoning_does_not_decide(classifier: Classifier):
    thought = "<think>I must refuse this. I'm sorry, I can't help with that.</think>"
    alone, after = classifier.label([Pair(ALONE, BREAD), Pair(ALONE, thought + BREAD)])
    assert alone.behaviour == after.behaviour


def test_a_refusal_at_the_end_of_a_long_answer_is_in_view(classifier: Classifier):
    late = [case.response or "" for case in cases() if case.kind == "late_refusal"]
    cut = [text[: text.rstrip(".").rfind(". ") + 1] or text[: text.rfind("\n")] for text in late]
    found = classifier.label([Pair(ALONE, text) for text in (*late, *cut)])
    refusals = [labels.behaviour.refusal for labels in found if labels.behaviour]
    assert np.mean(refusals[: len(late)]) > np.mean(refusals[len(late) :])
    assert classifier.answer_sequences(late) != classifier.answer_sequences(cut)


def test_context_is_read_where_the_prompt_leaves_room(classifier: Classifier):
    bare, told = classifier.request_sequences(
        [Pair("And then?", None), Pair("And then?", None, context="How is bread baked?")]
    )
    assert len(told) > len(bare)
    assert told[-len(bare) + 1 :] == bare[1:]


def test_a_megabyte_is_labelled_like_its_two_ends(classifier: Classifier):
    text = BREAD + " Let it cool on a rack." * 50_000
    (labels,) = classifier.label([Pair(text, text)])
    assert labels.behaviour is not None
    assert labels.request is not None


@pytest.mark.parametrize(("name", "value"), [("threads", 0), ("batch_tokens", 0)])
def test_a_setting_out_of_range_is_named(name: str, value: int):
    with pytest.raises(ClassifierError, match=rf"{name} is {value}; allowed: 1 or more"):
        load_classifier(**{name: value})


def test_neither_torch_nor_transformers_is_imported_at_run_time():
    code = (
        "import sys; from classifiers import Pair, load_classifier, load_screen; "
        "load_classifier().label([Pair('a question', 'an answer')]); load_screen().score(['a question']); "
        "print([m for m in ('torch', 'transformers', 'sklearn', 'scipy') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
