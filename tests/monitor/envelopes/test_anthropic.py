"""Bodies built with anthropic's own types."""

from __future__ import annotations

import pytest
from anthropic.types import (
    Message,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
    Usage,
)
from anthropic.types.raw_message_delta_event import Delta
from decoding import fault, only, turns
from exchanges import EPOCH
from gateways import ASKED, SAID, SYSTEM, anthropic_message, anthropic_request, sse

USAGE = Usage(input_tokens=5, output_tokens=9)


def message(*content, reason="end_turn", **fields):
    built = Message(
        id="msg_1", type="message", role="assistant", model="claude-x-1", content=list(content), usage=USAGE,
        stop_reason=reason, **fields,
    )  # fmt: skip
    return built.model_dump(mode="json")


def pair(response, request=None):
    return {"request": request or anthropic_request(), "response": response, "deployment": "d", "timestamp": EPOCH}


def stream(*deltas, reason="end_turn"):
    start = Message(
        id="msg_1", type="message", role="assistant", model="claude-x-1", content=[], usage=USAGE,
        stop_reason=None, stop_sequence=None,
    )  # fmt: skip
    events = [
        RawMessageStartEvent(type="message_start", message=start),
        RawContentBlockStartEvent(
            type="content_block_start", index=0, content_block=ThinkingBlock(type="thinking", thinking="", signature="")
        ),
        RawContentBlockDeltaEvent(
            type="content_block_delta", index=0, delta=ThinkingDelta(type="thinking_delta", thinking="secret plan")
        ),
        RawContentBlockStartEvent(
            type="content_block_start", index=1, content_block=TextBlock(type="text", text="", citations=None)
        ),
        *(
            RawContentBlockDeltaEvent(
                type="content_block_delta", index=1, delta=TextDelta(type="text_delta", text=said)
            )
            for said in deltas
        ),
        RawMessageDeltaEvent(
            type="message_delta", delta=Delta.model_construct(stop_reason=reason, stop_sequence=None),
            usage={"output_tokens": 9},
        ),
        RawMessageStopEvent(type="message_stop"),
    ]  # fmt: skip
    return [event.model_dump(mode="json", warnings=False) for event in events]


def test_a_message_is_one_exchange_with_the_system_prompt_apart():
    one = only(pair(message(TextBlock(type="text", text=SAID, citations=None))))
    assert (one.id, one.model, one.response, one.finish_reason, one.finish) == (
        "msg_1", "claude-x-1", SAID, "end_turn", "natural",
    )  # fmt: skip
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]


def test_thinking_is_left_out_and_tool_use_is_no_text():
    thinking = ThinkingBlock(type="thinking", thinking="secret plan", signature="s")
    tool = ToolUseBlock.model_construct(type="tool_use", id="t", name="search", input={"q": "eggs"})
    one = only(pair(message(thinking, tool, reason="tool_use")))
    assert (one.response, one.finish) == ("", "tool")
    assert "secret plan" not in one.to_json()


@pytest.mark.parametrize("as_text", [True, False], ids=["event-stream", "list-of-events"])
def test_a_stream_is_put_together(as_text):
    events = stream("Put it in ", "boiling water.", reason="max_tokens")
    one = only(pair(sse(events, named=True) if as_text else events))
    assert (one.id, one.model, one.response, one.finish) == (
        "msg_1",
        "claude-x-1",
        "Put it in boiling water.",
        "length",
    )


@pytest.mark.parametrize(("category", "ours"), [("cyber", "cyber"), ("bio", "weapons"), ("general_harms", "none")])
def test_a_refusal_stop_is_the_classifiers_and_its_category_travels_beside_our_label(category, ours):
    details = {"type": "refusal", "category": category, "explanation": "policy"}
    one = only(pair(anthropic_message("I can", "refusal", stop_details=details)))
    assert one.finish == "provider_block"
    upstream = one.labels.upstream
    assert (upstream.source, upstream.request, upstream.blocked) == ("anthropic", (ours,), True)
    assert one.labels.request is None, "ours is not replaced"


def test_a_natural_end_carries_no_verdict():
    assert only(pair(anthropic_message())).labels is None


def test_a_stream_that_broke_off_is_an_answer_without_an_end():
    events = [*stream("Put it")[:5], {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}]
    one = only(pair(events))
    assert (one.response, one.finish) == ("Put it", "error")


def test_a_failed_call_has_no_answer():
    failed = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    assert fault(pair(failed)).reason == "no-answer"
    start = stream("x")[0]
    assert fault(pair([start, failed])).reason == "no-answer"


def test_metadata_user_is_the_user():
    assert only(pair(anthropic_message(), anthropic_request(metadata={"user_id": "u-7"}))).user == "u-7"
