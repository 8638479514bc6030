from __future__ import annotations

import json
from typing import Any

import pytest
from exchanges import EPOCH, openai, record

from alignwatch import Exchange
from monitor.envelopes import DecodeLimits, decode
from monitor.errors import DecodeError
from monitor.text import prompt_text


def read(value: Any, **fields: Any) -> list[Exchange]:
    return decode(record(value, **fields), limits=DecodeLimits(), default_deployment=None)


def fault(value: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        read(value)
    return caught.value


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta | more, "finish_reason": finish}
    return {"id": "chatcmpl-2", "created": int(EPOCH), "model": "m", "choices": [choice]}


CHUNKS = [chunk("", role="assistant"), chunk("In boil"), chunk("ing water."), chunk(finish="stop")]


def completion(**choice: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "created": int(EPOCH), "model": "m", "choices": [{"index": 0} | choice]}


def test_request_and_completion_become_one_exchange() -> None:
    (one,) = read(openai())
    assert (one.id, one.model, one.response) == ("chatcmpl-1", "gpt-oss-20b-0901", "In boiling water.")
    assert (one.timestamp.timestamp(), one.finish_reason) == (EPOCH, "stop")
    assert prompt_text(one)[0] == "How do I boil an egg?"


def test_the_envelopes_own_id_and_time_win() -> None:
    (one,) = read(openai(id="r-9", timestamp=EPOCH + 5))
    assert (one.id, one.timestamp.timestamp()) == ("r-9", EPOCH + 5)


def test_headers_and_the_transports_time_fill_what_the_bodies_lack() -> None:
    bare = openai(response={"choices": [{"message": {"content": "hi"}}]})
    (one,) = read(bare, headers=(("X-Request-Id", b"req-5"),), timestamp=EPOCH)
    assert (one.id, one.timestamp.timestamp()) == ("req-5", EPOCH)
    assert fault(bare).reason == "missing-field"


@pytest.mark.parametrize(
    "streamed",
    [
        CHUNKS,
        [*CHUNKS, "[DONE]"],
        "".join(f"data: {json.dumps(one)}\n\n" for one in CHUNKS) + "data: [DONE]\n\n",
        ": keep-alive\r\n\r\n" + "".join(f"event: x\r\ndata:{json.dumps(one)}\r\n\r\n" for one in CHUNKS),
    ],
    ids=["chunks", "chunks-and-done", "event-stream", "event-stream-crlf"],
)
def test_a_streamed_answer_is_put_together(streamed: Any) -> None:
    (one,) = read(openai(response=streamed))
    assert (one.id, one.response, one.finish_reason) == ("chatcmpl-2", "In boiling water.", "stop")


def test_a_stream_cut_short_keeps_what_came() -> None:
    (one,) = read(openai(response=CHUNKS[:2]))
    assert (one.response, one.finish_reason) == ("In boil", None)


def test_every_choice_is_an_exchange_of_its_own() -> None:
    choices = [{"index": index, "message": {"content": f"answer {index}"}} for index in (1, 0)]
    found = read(openai(response={"id": "c", "created": 1, "choices": choices}))
    assert [(one.id, one.response) for one in found] == [("c", "answer 0"), ("c#1", "answer 1")]


def test_a_refusal_field_is_the_answer_and_leaves_its_mark() -> None:
    message = {"content": None, "refusal": "I can't help with that."}
    (one,) = read(openai(response=completion(message=message, finish_reason="stop")))
    assert (one.response, one.finish_reason) == ("I can't help with that.", "refusal")


def test_an_error_of_the_content_filter_is_an_exchange_that_the_provider_blocked() -> None:
    error = {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
    (one,) = read(openai(id="r-1", timestamp=EPOCH, response=error))
    assert (one.response, one.finish_reason) == ("", "content_filter")


def test_any_other_error_is_no_answer_and_innocent_of_the_format() -> None:
    found = fault(openai(response={"error": {"code": "rate_limit_exceeded", "message": "canary"}}))
    assert found.reason == "no-answer"
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    ("response", "reason", "place"),
    [
        (None, "missing-field", "response"),
        (7, "wrong-type", "response"),
        ("just text", "wrong-type", "response"),
        ("data: {broken\n", "not-json", "stream line 0"),
        ({"choices": []}, "missing-field", "response.choices"),
        ({"choices": {}}, "wrong-type", "response.choices"),
        ({"choices": ["x"]}, "wrong-type", "response.choices[0]"),
        ({"choices": [{"message": "x"}]}, "wrong-type", "response.choices[0].message"),
        ({"choices": [{"index": -1, "message": {}}]}, "wrong-type", "response.choices[0].index"),
        ({"choices": [{"index": True, "message": {}}]}, "wrong-type", "response.choices[0].index"),
        ({"choices": [{"index": 10**9, "message": {}}]}, "wrong-type", "response.choices[0].index"),
        ([1], "wrong-type", "response[0]"),
    ],
    ids=str,
)
def test_a_broken_response_is_told_with_its_place(response: Any, reason: str, place: str) -> None:
    found = fault(openai(response=response))
    assert found.reason == reason
    assert place in found.detail


@pytest.mark.parametrize("messages", [7, "hello", [{"content": "no role"}], [3]], ids=str)
def test_broken_messages_are_told(messages: Any) -> None:
    assert "request.messages" in fault(openai(request={"messages": messages})).detail


ODD = [
    {"index": 1}, {"index": True}, {"index": 128}, {"index": "0"}, {"delta": None}, {"delta": {"content": None}},
    {"delta": {"content": [{"type": "text", "text": "x"}]}}, {"delta": {"content": "x", "refusal": "No."}},
    {"delta": {"refusal": "No."}}, {"delta": {"tool_calls": [{}]}}, {"finish_reason": "length"}, {"text": "x"},
    {"content_filter_results": {"hate": {"filtered": True, "severity": "high"}}},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_chunk_that_is_more_than_a_word_is_read_like_the_first(odd):
    def outcome(*, hurried: bool) -> Any:
        # A key that means nothing keeps a chunk from being taken for the next word.
        chunks = [chunk("Put "), chunk("it "), chunk("in"), chunk(".", None), chunk(None, "stop")]
        chunks[2]["choices"][0] |= odd
        for one in chunks if not hurried else ():
            one["choices"][0]["x"] = None
        try:
            return read(openai(response=chunks))
        except DecodeError as error:
            return error.reason, error.detail

    assert outcome(hurried=True) == outcome(hurried=False)
