"""OpenAI's Responses API: a response object, or the events that streamed it.

Field names follow openai-python v3 (`types/responses/response.py`, `response_*_event.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from alignwatch import Finish
from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._fields import among, at, expect, text_or_none
from monitor.envelopes._finish import normalise
from monitor.envelopes._messages import text_of
from monitor.envelopes._openai_stream import blocked_by
from monitor.envelopes._verdicts import categories_of, moderation_found
from monitor.errors import DecodeError

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CALLS: Final = ("_call",)


def replies(body: Any) -> bool:
    """Whether a body is a response object, or a list of its stream's events."""
    if isinstance(body, list):
        return any(isinstance(one, dict) and str(one.get("type", "")).startswith("response.") for one in body[:3])
    return isinstance(body, dict) and (body.get("object") == "response" or isinstance(body.get("output"), list))


def reply(body: Any) -> Reply:
    """The one answer.

    Raises:
        DecodeError: no output, or it failed.
    """
    return _whole(_assembled(body)) if isinstance(body, list) else _whole(expect(body, dict, "response"))


def _assembled(events: list[Any]) -> Mapping[str, Any]:
    """The final event's response; a stream that broke off is put together from its deltas."""
    head: dict[str, Any] = {}
    texts: dict[str, list[str]] = {"output_text": [], "refusal": []}
    for number, event in enumerate(events):
        fields = expect(event, dict, f"response[{number}]")
        kind = fields.get("type")
        response = fields.get("response")
        if isinstance(response, dict):
            head = response
            if among(kind, _ENDS):
                return response
        if among(kind, ("response.output_text.delta", "response.refusal.delta")):
            texts[str(kind).split(".")[1]].append(text_or_none(fields.get("delta")) or "")
    text, refusal = "".join(texts["output_text"]), "".join(texts["refusal"])
    content = [{"type": "output_text", "text": text}] if text else []
    content += [{"type": "refusal", "refusal": refusal}] if refusal else []
    if not content:
        raise DecodeError("no-answer", "response: the stream ended before any text")
    return {**head, "output": [{"type": "message", "content": content}], "status": "incomplete"}


def _whole(body: Mapping[str, Any]) -> Reply:
    error = body.get("error")
    if isinstance(error, dict) and not body.get("output"):
        if blocked_by(error) is None:
            raise DecodeError("no-answer", "response.error: the call failed upstream, there is no answer to judge")
        return Reply([Answer(0, "", "content_filter", "provider_block", blocked=True)], _head(body))
    texts: list[str] = []
    refuses = calls = False
    for number, item in enumerate(expect(body.get("output"), list, "response.output")):
        where = f"response.output[{number}]"
        fields = expect(item, dict, where)
        kind = str(fields.get("type", "message"))
        if kind == "message":
            texts.append(text_of(fields.get("content"), f"{where}.content"))
            refuses |= _refuses(fields.get("content"))
        calls |= kind.endswith(_CALLS)
    raw = text_or_none(at(body, "incomplete_details", "reason")) or text_or_none(body.get("status"))
    text = "\n".join(part for part in texts if part)
    finish = _finish(raw, refuses=refuses, calls=calls and not text)
    moderation = body.get("moderation")
    answer = Answer(0, text, raw, finish, categories_of(moderation_found(at(moderation, "output"))))
    source = "openai-moderation" if isinstance(moderation, dict) else None
    return Reply([answer], _head(body), source, categories_of(moderation_found(at(moderation, "input"))))


def _finish(raw: str | None, *, refuses: bool, calls: bool) -> Finish | None:
    finish = "length" if raw == "incomplete" else normalise(raw)
    if refuses and finish in {None, "natural", "length"}:
        return "model_refusal"
    return "tool" if calls and finish in {None, "natural"} else finish


def _refuses(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(one, dict) and one.get("type") == "refusal" for one in content)


def _head(body: Mapping[str, Any]) -> dict[str, Any]:
    conversation = body.get("conversation")
    return {
        "id": body.get("id"),
        "created": body.get("created_at"),
        "model": body.get("model"),
        "conversation": at(conversation, "id") if isinstance(conversation, dict) else conversation,
    }
