from __future__ import annotations

import pytest
from decoding import exchanges, fault, found, only, skipped, turns
from exchanges import EPOCH
from gateways import ASKED, SAID, SYSTEM, anthropic_message, anthropic_request, bedrock_log

MODEL_BODIES = [
    ({"prompt": ASKED}, {"generation": SAID, "stop_reason": "length", "prompt_token_count": 5}, "length"),
    ({"inputText": ASKED}, {"results": [{"outputText": SAID, "completionReason": "FINISH"}]}, "natural"),
    (
        {"inputText": ASKED},
        {"results": [{"outputText": SAID, "completionReason": "CONTENT_FILTERED"}]},
        "provider_block",
    ),
    ({"prompt": ASKED}, {"outputs": [{"text": SAID, "stop_reason": "stop"}]}, "natural"),
    (anthropic_request(), anthropic_message(), "natural"),
    ({"message": ASKED, "temperature": 0.7}, {"text": SAID, "finish_reason": "COMPLETE"}, "natural"),
    ({"message": ASKED}, {"text": SAID, "finish_reason": "MAX_TOKENS"}, "length"),
    # InvokeModelWithResponseStream: chunks.
    (
        {"inputText": ASKED},
        [{"outputText": SAID[:9], "index": 0}, {"outputText": SAID[9:], "index": 0, "completionReason": "LENGTH"}],
        "length",
    ),
    (
        {"prompt": ASKED},
        [{"generation": SAID[:9], "stop_reason": None}, {"generation": SAID[9:], "stop_reason": "stop"}],
        "natural",
    ),
]


def test_a_converse_record_is_one_exchange():
    one = only(bedrock_log())
    assert (one.id, one.deployment, one.model, one.response, one.finish) == ("r-1", "nova-x", "nova-x", SAID, "natural")
    assert one.timestamp.timestamp() == EPOCH
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]


@pytest.mark.parametrize(("asked", "said", "finish"), MODEL_BODIES)
def test_native_bodies_of_the_model_families_are_read(asked, said, finish):
    one = only(bedrock_log(asked, said, operation="InvokeModel"))
    assert (one.response, one.finish) == (SAID, finish)
    assert ASKED in {one.prompt, (one.messages or [one])[-1].content if one.messages else None}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "natural"), ("max_tokens", "length"), ("tool_use", "tool"),
     ("guardrail_intervened", "provider_block"), ("content_filtered", "provider_block"),
     ("malformed_model_output", "error"), ("brand_new", "unknown")],
)  # fmt: skip
def test_stop_reasons(reason, finish):
    body = {"output": {"message": {"role": "assistant", "content": [{"text": SAID}]}}, "stopReason": reason}
    assert only(bedrock_log(response=body)).finish == finish


def test_a_streamed_converse_is_an_array_of_events():
    events = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Put it "}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "secret"}}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"text": "in."}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "max_tokens"}},
    ]
    one = only(bedrock_log(response=events))
    assert (one.response, one.finish) == ("Put it in.", "length")


def test_guardrail_assessments_of_the_prompt_travel_beside_our_label():
    assessment = {
        "contentPolicy": {"filters": [{"type": "INSULTS", "confidence": "HIGH", "action": "BLOCKED"},
                                      {"type": "HATE", "confidence": "LOW", "action": "NONE"}]},
        "sensitiveInformationPolicy": {"piiEntities": [{"type": "EMAIL", "match": "x", "action": "ANONYMIZED"}]},
    }  # fmt: skip
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Blocked."}]}},
        "stopReason": "guardrail_intervened", "trace": {"guardrail": {"inputAssessment": {"g1": assessment}}},
    }  # fmt: skip
    upstream = only(bedrock_log(response=body)).labels.upstream
    assert (upstream.source, upstream.request) == ("bedrock-guardrail", ("harassment", "privacy"))


def test_bodies_in_an_object_beside_the_record_are_counted():
    record = bedrock_log(input={"inputBodyS3Path": "s3://bucket/key"})
    assert skipped(found(record)) == {"no-content": 1}


def test_a_failed_call_has_no_answer():
    assert fault(bedrock_log(errorCode="ThrottlingException")).reason == "no-answer"


def test_a_tap_may_lay_converse_bodies_beside_each_other():
    one = bedrock_log()
    asked, said = one["input"]["inputBodyJson"], one["output"]["outputBodyJson"]
    pair = {"request": asked, "response": said, "id": "r", "deployment": "d", "timestamp": EPOCH}
    assert [(got.response, got.finish) for got in exchanges(pair)] == [(SAID, "natural")]
