from __future__ import annotations

import pytest
from decoding import only
from exchanges import EPOCH
from gateways import chat_chunks, chat_request, chat_response, sse

SAFE = {"filtered": False, "severity": "safe"}


def pair(response):
    return {"request": chat_request(), "response": response, "deployment": "d", "timestamp": EPOCH, "id": "r"}


def filtered(**results):
    return {"hate": SAFE, "sexual": SAFE, "violence": SAFE, "self_harm": SAFE} | results


def test_safe_annotations_say_that_the_filter_looked_and_found_nothing():
    body = chat_response()
    body["choices"][0]["content_filter_results"] = filtered()
    body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": filtered()}]
    upstream = only(pair(body)).labels.upstream
    assert (upstream.source, upstream.request, upstream.response, upstream.blocked) == ("azure", (), (), False)


def test_prompt_and_answer_verdicts_are_kept_apart_and_mapped():
    body = chat_response(reason="content_filter")
    body["choices"][0]["content_filter_results"] = filtered(
        violence={"filtered": True, "severity": "high"}, protected_material_text={"filtered": False, "detected": True}
    )
    body["prompt_filter_results"] = [
        {"prompt_index": 0, "content_filter_results": filtered(
            self_harm={"filtered": False, "severity": "medium"}, hate={"filtered": False, "severity": "low"},
            jailbreak={"filtered": False, "detected": True},
        )}
    ]  # fmt: skip
    one = only(pair(body))
    upstream = one.labels.upstream
    assert set(upstream.request) == {"self_harm", "none"}, "low is no finding; a jailbreak is no category"
    assert set(upstream.response) == {"violence", "intellectual_property"}
    assert upstream.blocked
    assert one.finish == "provider_block"


def test_a_stream_brings_the_prompts_verdict_in_a_chunk_without_choices():
    head = {"id": "", "choices": [], "prompt_filter_results": [
        {"prompt_index": 0, "content_filter_results": filtered(sexual={"filtered": False, "severity": "high"})}
    ]}  # fmt: skip
    one = only(pair(sse([head, *chat_chunks("Put it ", "in.")])))
    assert one.response == "Put it in."
    assert one.labels.upstream.request == ("sexual",)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "content_filter", "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": filtered(violence={"filtered": True, "severity": "medium"}),
        }},
        {"code": "content_filter", "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_results": filtered(violence={"filtered": True, "severity": "medium"}),
        }},
    ],
)  # fmt: skip
def test_a_blocked_prompt_never_reached_the_model(error):
    one = only(pair({"error": error}))
    assert (one.response, one.finish) == ("", "provider_block")
    assert (one.labels.upstream.request, one.labels.upstream.blocked) == (("violence",), True)


def test_garbage_in_place_of_annotations_changes_nothing():
    body = chat_response()
    body["choices"][0]["content_filter_results"] = {"error": {"code": "x"}, "hate": 7, "sexual": {"severity": 3}}
    body["prompt_filter_results"] = [7, {"content_filter_results": "x"}]
    one = only(pair(body))
    assert (one.labels.upstream.request, one.labels.upstream.response) == ((), ())
