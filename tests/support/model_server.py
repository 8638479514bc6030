"""A server that speaks OpenAI's and Anthropic's protocols; the first word of the last user turn says how it answers.

`plain` answers, `refuse` uses the structured refusal (OpenAI) or the classifier's stop reason (Anthropic), `filter` is
cut by a content filter, `block` is an Azure prompt block, `long` hits the token limit, `tool` calls a tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from exchanges import EPOCH
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from monitor.http import HttpServer

SAID = "Put it in boiling water for eight minutes."
REFUSED = "I can't help with that."
USAGE = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}
CALL = {"id": "call_1", "type": "function", "function": {"name": "timer", "arguments": '{"minutes": 8}'}}
AZURE_BLOCK = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "code": "content_filter", "status": 400, "type": None, "param": "prompt",
}  # fmt: skip
CHAT: dict[str, tuple[dict[str, Any], str]] = {
    "plain": ({"content": SAID}, "stop"),
    "refuse": ({"content": None, "refusal": REFUSED}, "stop"),
    "filter": ({"content": "Put it"}, "content_filter"),
    "long": ({"content": "Put it in boiling"}, "length"),
    "tool": ({"content": None, "tool_calls": [CALL]}, "tool_calls"),
}
MESSAGES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "plain": ([{"type": "text", "text": SAID}], "end_turn"),
    "refuse": ([{"type": "text", "text": ""}], "refusal"),
    "long": ([{"type": "text", "text": "Put it in boiling"}], "max_tokens"),
    "tool": ([{"type": "tool_use", "id": "toolu_1", "name": "timer", "input": {"minutes": 8}}], "tool_use"),
}


@contextmanager
def model_server() -> Iterator[str]:
    """Its URL, without a path."""
    numbers = count(1)

    async def chat(request: Request) -> Response:
        body = await request.json()
        word = _word(body["messages"])
        if word == "block":
            return JSONResponse({"error": AZURE_BLOCK}, 400)
        message, reason = CHAT[word]
        head = {"id": f"chatcmpl-{next(numbers)}", "created": int(EPOCH), "model": f"{body['model']}-0901"}
        choices = range(body.get("n") or 1)
        if body.get("stream"):
            head["object"] = "chat.completion.chunk"
            return _stream([f"data: {json.dumps(one)}\n\n" for one in _chunks(head, choices, message, reason)])
        said = [
            {"index": index, "finish_reason": reason, "message": {"role": "assistant", "refusal": None, **message}}
            for index in choices
        ]
        return JSONResponse({**head, "object": "chat.completion", "choices": said, "usage": USAGE})

    async def messages(request: Request) -> Response:
        body = await request.json()
        blocks, reason = MESSAGES[_word(body["messages"])]
        message = {
            "id": f"msg_{next(numbers)}", "type": "message", "role": "assistant", "model": f"{body['model']}-1",
            "content": blocks, "stop_reason": reason, "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 8},
        }  # fmt: skip
        if body.get("stream"):
            return _stream([f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in _events(message)])
        return JSONResponse(message)

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/messages", messages, methods=["POST"])]
    server = HttpServer(Starlette(routes=routes))
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def _word(messages: list[dict[str, Any]]) -> str:
    content = next(one["content"] for one in reversed(messages) if one["role"] == "user")
    text = content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")
    return str(text).split()[0].rstrip(":,")


def _stream(events: list[str]) -> Response:
    return StreamingResponse(iter([*events, "data: [DONE]\n\n"]), media_type="text/event-stream")


def _chunks(head: dict[str, Any], choices: range, message: dict[str, Any], reason: str) -> Iterator[dict[str, Any]]:
    for index in choices:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None}]
        for name in ("content", "refusal"):
            deltas += [{name: word} for word in (message.get(name) or "").partition(" ") if word]
        if message.get("tool_calls"):
            deltas.append({"tool_calls": [{"index": 0, **CALL}]})
        for delta in deltas:
            yield {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
        yield {**head, "choices": [{"index": index, "delta": {}, "finish_reason": reason}]}
    yield {**head, "choices": [], "usage": USAGE}


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            begun, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            begun = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 8}}
    yield {"type": "message_stop"}
