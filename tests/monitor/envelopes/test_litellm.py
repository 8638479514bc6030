from __future__ import annotations

import pytest
from decoding import exchanges, fault, found, only, skipped, turns
from exchanges import EPOCH
from gateways import ASKED, SAID, SYSTEM, anthropic_message, chat_response, litellm, responses_body

from classifiers import load_classifier
from monitor.labelling import LabellingStage
from monitor.sampling import Selected


def test_a_payload_is_one_exchange():
    one = only(litellm())
    assert (one.id, one.deployment, one.model, one.user, one.tenant) == (
        "chatcmpl-1", "chat-prod", "gpt-oss-20b", "u-7", "acme",
    )  # fmt: skip
    assert one.timestamp.timestamp() == EPOCH
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]
    assert (one.response, one.finish, one.conversation) == (SAID, "natural", "t-1")


def test_the_deployment_is_named_by_the_request_then_the_settings_then_the_model_group_then_the_model():
    named = litellm(metadata={"requester_metadata": {"alignwatch_deployment": "eu", "session_id": "s-1"}})
    assert (only(named, default="fallback").deployment, only(named).conversation) == ("eu", "s-1")
    assert only(litellm(), default="fallback").deployment == "fallback"
    assert only(litellm(model_group="")).deployment == "gpt-oss-20b"


def test_a_trace_that_is_only_this_call_is_no_conversation():
    assert only(litellm(trace_id="chatcmpl-1")).conversation is None


@pytest.mark.parametrize(
    "response", [chat_response("redacted-by-litellm"), {"text": "redacted-by-litellm"}, "redacted-by-litellm"]
)
def test_redacted_texts_are_unlabelable_and_no_refusal(response):
    one = only(litellm(messages=[{"role": "user", "content": "redacted-by-litellm"}], response=response))
    (label,) = LabellingStage(load_classifier()).label([Selected(one, 1.0, "uniform")])
    assert (label.unlabelable, label.behaviour, label.request) == ("redacted", None, None)


def test_messages_may_be_a_text_a_list_or_the_request_body():
    assert turns(only(litellm(messages=ASKED))) == [("user", ASKED)]
    assert turns(only(litellm(messages={"role": "user", "content": ASKED}))) == [("user", ASKED)]
    one = only(litellm(messages={"input": ASKED, "instructions": SYSTEM}, response=responses_body()))
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]


def test_other_providers_bodies_and_plain_texts_are_read_as_they_are():
    assert only(litellm(response=anthropic_message("No.", "refusal"))).finish == "provider_block"
    assert only(litellm(response=SAID)).response == SAID


def test_the_refusal_field_survives():
    one = only(litellm(response=chat_response(None, refusal="I can't.")))
    assert (one.response, one.finish) == ("I can't.", "model_refusal")


def test_a_failed_call_has_no_answer_and_a_blocked_one_is_the_providers():
    failed = litellm(status="failure", response={}, error_str="x", error_information={"error_class": "Timeout"})
    assert fault(failed).reason == "no-answer"
    blocked = litellm(status="failure", response=None, error_information={"error_class": "ContentPolicyViolationError"})
    assert only(blocked).finish == "provider_block"
    coded = {"error_class": "BadRequestError", "error_code": "content_filter"}
    assert only(litellm(status="failure", response={}, error_information=coded)).finish == "provider_block"
    guarded = litellm(status_fields={"guardrail_status": "guardrail_intervened"})
    one = only(guarded)
    assert (one.finish, one.labels.upstream.source, one.labels.upstream.blocked) == (
        "provider_block",
        "litellm-guardrail",
        True,
    )


def test_a_streamed_answer_without_text_is_counted_as_a_suspected_refusal():
    items = found(litellm(response=chat_response("")))
    assert skipped(items) == {"refusal-suspected": 1}
    assert skipped(found(litellm(response=chat_response(""), stream=False))) == {}


def test_ids_longer_than_ours_may_be_are_hashed_alike():
    one = only(litellm(id="resp_" + "x" * 2000))
    assert one.id == only(litellm(id="resp_" + "x" * 2000)).id != only(litellm(id="resp_" + "y" * 2000)).id


def test_several_choices_are_several_exchanges():
    body = chat_response()
    body["choices"].append({"index": 1, "finish_reason": "length", "message": {"content": "Two."}})
    assert [(one.id, one.finish) for one in exchanges(litellm(response=body))] == [
        ("chatcmpl-1", "natural"), ("chatcmpl-1#1", "length"),
    ]  # fmt: skip


def test_a_batch_is_an_array():
    assert [one.id for one in exchanges([litellm(), litellm(id="b")])] == ["chatcmpl-1", "b"]
