"""Anthropic's Messages API: a message, or the events that streamed it.

Field names follow anthropic-sdk-python (`types/message.py`, `stop_reason.py`, `refusal_stop_details.py`,
`raw_message_stream_event.py`). Its stop reason `refusal` is a streaming classifier's, in front of the model: a
provider's block, never the model's own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._fields import among, at, expect, text_or_none
from monitor.envelopes._finish import normalise
from monitor.envelopes._messages import text_of
from monitor.envelopes._verdicts import categories_of
from monitor.errors import DecodeError

_EVENTS: Final = frozenset({"message_start", "content_block_start", "content_block_delta", "ping"})


def replies(body: Any) -> bool:
    """Whether a body is a message, or a list of its stream's events."""
    if isinstance(body, list):
        return any(isinstance(one, dict) and among(one.get("type"), _EVENTS) for one in body[:3])
    if not isinstance(body, dict):
        return False
    return isinstance(body.get("content"), list) and (body.get("type") == "message" or "stop_reason" in body)


def reply(body: Any) -> Reply:
    """The one answer.

    Raises:
        DecodeError: a field of the wrong type, or a stream without a message.
    """
    message = _assembled(body) if isinstance(body, list) else expect(body, dict, "response")
    raw = text_or_none(message.get("stop_reason"))
    finish = normalise(raw, "anthropic")
    details = message.get("stop_details")
    blocked = finish == "provider_block"
    category = text_or_none(at(details, "category"))
    found = categories_of([category]) if category else ()
    text = text_of(message.get("content"), "response.content")
    head = {"id": message.get("id"), "model": message.get("model")}
    # The classifier reads prompt and answer together and does not say which of them it meant.
    return Reply([Answer(0, text, raw, finish)], head, "anthropic" if blocked else None, found, blocked)


def _assembled(events: list[Any]) -> Mapping[str, Any]:
    message: dict[str, Any] = {}
    blocks: dict[int, list[str]] = {}
    for number, event in enumerate(events):
        fields = expect(event, dict, f"response[{number}]")
        kind = fields.get("type")
        if kind == "message_start":
            message = dict(expect(fields.get("message"), dict, f"response[{number}].message"))
        elif kind == "error" and not blocks:
            raise DecodeError("no-answer", "response: the stream failed before any text")
        elif kind == "error":
            message["stop_reason"] = message.get("stop_reason") or "error"
        elif among(kind, ("content_block_start", "content_block_delta")):
            block = fields.get("content_block" if kind == "content_block_start" else "delta")
            if among(at(block, "type"), ("text", "text_delta")):
                blocks.setdefault(_index(fields), []).append(text_or_none(at(block, "text")) or "")
        elif kind == "message_delta":
            delta = fields.get("delta")
            message |= {name: delta[name] for name in ("stop_reason", "stop_details") if at(delta, name) is not None}
    if not message and not blocks:
        raise DecodeError("missing-field", "response: a stream without message_start")
    return {**message, "content": [{"type": "text", "text": "".join(blocks[index])} for index in sorted(blocks)]}


def _index(fields: Mapping[str, Any]) -> int:
    index = fields.get("index")
    return index if isinstance(index, int) else 0
