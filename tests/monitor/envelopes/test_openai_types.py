"""Bodies built with openai's own types: chat completions, their chunks, and the Responses API."""

from __future__ import annotations

import json

import pytest
from decoding import exchanges, fault, only, turns
from exchanges import EPOCH
from gateways import ASKED, SAID, chat_request, responses_body, sse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
)


def pair(response, request=None):
    return {"request": request or chat_request(), "response": response, "deployment": "d", "timestamp": EPOCH}


def completion(*messages, reason="stop", **fields):
    choices = [
        {"index": index, "finish_reason": reason, "logprobs": None, "message": {"role": "assistant", **one}}
        for index, one in enumerate(messages)
    ]
    built = ChatCompletion.model_validate(
        {"id": "c-1", "object": "chat.completion", "created": int(EPOCH), "model": "m", "choices": choices, **fields}
    )
    return built.model_dump(mode="json", warnings=False)


def chunk(delta, reason=None, **fields):
    built = ChatCompletionChunk.model_validate({
        "id": "c-1", "object": "chat.completion.chunk", "created": int(EPOCH), "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **fields,
    })  # fmt: skip
    return built.model_dump(mode="json")


def responses_request(**changes):
    return {"model": "m", "instructions": "Obey.", "input": [{"role": "user", "content": ASKED}]} | changes


def response(**changes):
    whole = responses_body(**changes) | {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    return Response.model_validate(whole).model_dump(mode="json", warnings=False)


def test_every_choice_is_an_exchange_of_its_own():
    found = exchanges(pair(completion({"content": "One."}, {"content": "Two."})))
    assert [(one.id, one.response) for one in found] == [("c-1", "One."), ("c-1#1", "Two.")]


@pytest.mark.parametrize("content", [None, "", "Well."])
def test_the_refusal_field_is_a_refusal_whatever_the_text(content):
    one = only(pair(completion({"content": content, "refusal": "I can't help with that."})))
    assert one.finish == "model_refusal"
    assert one.response.endswith("I can't help with that.")


def test_an_empty_refusal_field_is_a_refusal_where_there_is_no_text_and_none_where_there_is():
    assert only(pair(completion({"content": None, "refusal": ""}))).finish == "model_refusal"
    assert only(pair(completion({"content": SAID, "refusal": ""}))).finish == "natural"
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    called = completion({"content": None, "refusal": "", "tool_calls": calls}, reason="tool_calls")
    assert only(pair(called)).finish == "tool"


def test_a_refusal_that_was_cut_is_still_one_and_a_filter_wins_over_it():
    assert only(pair(completion({"content": None, "refusal": "I can"}, reason="length"))).finish == "model_refusal"
    assert only(pair(completion({"content": None, "refusal": "I"}, reason="content_filter"))).finish == "provider_block"


def test_truncated_answers_are_marked():
    one = only(pair(completion({"content": "Put it"}, reason="length")))
    assert (one.finish, one.finish_reason) == ("length", "length")


def test_chunks_of_a_refusal_make_a_refusal():
    chunks = [
        chunk({"role": "assistant", "content": None, "refusal": ""}),
        chunk({"refusal": "I can't"}),
        chunk({}, "stop"),
    ]
    one = only(pair(sse(chunks)))
    assert (one.response, one.finish) == ("I can't", "model_refusal")


def test_a_stream_holds_separators_that_are_no_line_ends():
    chunks = [chunk({"content": "first\u2028second\x0b\x85third"}), chunk({}, "stop")]
    text = "".join(f"data: {json.dumps(one, ensure_ascii=False)}\r\n\r\n" for one in chunks)
    assert only(pair(text)).response == "first\u2028second\x0b\x85third"


def test_a_broken_stream_is_an_answer_without_an_end():
    one = only(pair([chunk({"content": "Put it"}), {"error": {"message": "gone", "code": 500}}]))
    assert (one.response, one.finish) == ("Put it", "error")


def test_moderation_results_travel_as_upstream_verdicts():
    flagged = {"flagged": True, "categories": {"self-harm": True, "violence": False}, "category_scores": {}}
    side = {"type": "moderation_results", "model": "omni", "results": [flagged]}
    other = {
        "type": "moderation_results",
        "model": "omni",
        "results": [{**flagged, "categories": {"sexual/minors": True}}],
    }
    body = completion({"content": SAID}) | {"moderation": {"input": side, "output": other}}
    upstream = only(pair(body)).labels.upstream
    assert (upstream.source, upstream.request, upstream.response) == (
        "openai-moderation",
        ("self_harm",),
        ("child_safety",),
    )


def test_a_response_object_is_one_exchange_with_instructions_apart_and_reasoning_left_out():
    one = only(pair(response(), responses_request()))
    assert (one.id, one.response, one.finish_reason, one.finish) == ("resp_1", SAID, "completed", "natural")
    assert turns(one) == [("system", "Obey."), ("user", ASKED)]
    assert one.context_complete


def test_a_response_refusal_part_is_a_refusal_even_without_words():
    for text in ("I can't.", ""):
        one = only(pair(response(output=[
            {"type": "message", "id": "m", "role": "assistant", "status": "completed",
             "content": [{"type": "refusal", "refusal": text}]}
        ]), responses_request(input=ASKED)))  # fmt: skip
        assert (one.response, one.finish) == (text, "model_refusal")


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "provider_block")])
def test_an_incomplete_response_says_why(reason, finish):
    one = only(pair(response(status="incomplete", incomplete_details={"reason": reason}), responses_request()))
    assert (one.finish_reason, one.finish) == (reason, finish)


def test_state_kept_by_the_provider_is_marked_as_missing_context():
    assert not only(pair(response(), responses_request(previous_response_id="resp_0"))).context_complete
    one = only(pair(response(conversation={"id": "conv_1"}), responses_request(conversation="conv_1")))
    assert (one.context_complete, one.conversation) == (False, "conv_1")


def test_function_calls_and_their_outputs_are_turns_that_nobody_wrote():
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": ASKED}, {"type": "input_image", "image_url": "x"}]},
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "function_call", "call_id": "f", "name": "search", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "f", "output": "12 shops"},
    ]
    one = only(pair(response(), responses_request(input=items, instructions=None)))
    assert [(turn.role, turn.omitted) for turn in one.messages] == [
        ("user", ("image",)), ("assistant", ("tool_call",)), ("tool", ("tool_result",)),
    ]  # fmt: skip


def test_a_call_without_text_ends_in_a_tool():
    output = [
        {"type": "function_call", "id": "f", "call_id": "f", "name": "search", "arguments": "{}", "status": "completed"}
    ]
    one = only(pair(response(output=output), responses_request()))
    assert (one.response, one.finish) == ("", "tool")


def events():
    whole = Response.model_validate(
        responses_body() | {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "output": []}
    )
    done = Response.model_validate(
        responses_body() | {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    )
    common = {"item_id": "m_1", "output_index": 0, "content_index": 0}
    return [
        one.model_dump(mode="json", warnings=False)
        for one in (
            ResponseCreatedEvent(type="response.created", response=whole, sequence_number=0),
            ResponseTextDeltaEvent(
                type="response.output_text.delta", delta="Put it", sequence_number=1, logprobs=[], **common
            ),
            ResponseCompletedEvent(type="response.completed", response=done, sequence_number=2),
        )
    ]


def test_a_response_stream_ends_with_the_whole():
    one = only(pair(sse(events(), named=True), responses_request()))
    assert (one.id, one.response, one.finish) == ("resp_1", SAID, "natural")


def test_a_response_stream_that_broke_off_is_put_together_from_its_deltas():
    one = only(pair(events()[:2], responses_request()))
    assert (one.id, one.response, one.finish) == ("resp_1", "Put it", "length")
    refusal = ResponseRefusalDeltaEvent(
        type="response.refusal.delta", delta="I can't", item_id="m", output_index=0, content_index=0, sequence_number=1
    ).model_dump(mode="json")
    assert only(pair([events()[0], refusal], responses_request())).finish == "model_refusal"
    assert fault(pair(events()[:1], responses_request())).reason == "no-answer"


def test_a_failed_response_has_no_answer():
    failed = responses_body(status="failed", error={"code": "server_error", "message": "x"}, output=[])
    assert fault(pair(failed, responses_request())).reason == "no-answer"


def test_an_older_completion_has_a_prompt_and_texts():
    body = {
        "id": "cmpl-1",
        "created": int(EPOCH),
        "model": "m",
        "choices": [{"index": 0, "text": SAID, "finish_reason": "stop"}],
    }
    one = only(pair(body, {"model": "m", "prompt": ASKED}))
    assert (one.prompt, one.response, one.finish) == (ASKED, SAID, "natural")
    assert fault(pair(body, {"model": "m", "prompt": [[1, 2]]})).reason == "wrong-type"
