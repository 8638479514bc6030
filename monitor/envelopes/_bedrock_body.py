"""Response bodies of models on Amazon Bedrock: Converse, and the native bodies of InvokeModel.

Field names follow the AWS documentation of Converse, of the model families' inference parameters, and of guardrails
(`GuardrailTraceAssessment`). Anthropic's native bodies are read by `_anthropic`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._fields import at, expect, first, text_or_none
from monitor.envelopes._finish import normalise
from monitor.envelopes._messages import text_of
from monitor.envelopes._verdicts import categories_of
from monitor.errors import DecodeError

_GUARDRAIL: Final = "amazon-bedrock-guardrailAction"
_CONVERSE_EVENTS: Final = frozenset({"messageStart", "contentBlockDelta", "contentBlockStart", "messageStop"})
_NATIVE: Final = ("generation", "results", "outputs", "completion", "outputText")


def replies(body: Any) -> bool:
    """Whether a body is a Converse reply or its events, or a native body with an answer's text."""
    if isinstance(body, list):
        return any(isinstance(one, dict) and (_CONVERSE_EVENTS & one.keys() or _native(one)) for one in body[:3])
    if not isinstance(body, dict):
        return False
    return isinstance(at(body, "output", "message"), dict) or any(name in body for name in _NATIVE) or _cohere(body)


def reply(body: Any) -> Reply:
    """The answers; several where a native body holds several.

    Raises:
        DecodeError: a field of the wrong type, or no text.
    """
    if isinstance(body, list):
        return _finished(_streamed(body), {})
    fields = expect(body, dict, "response")
    message = at(fields, "output", "message")
    if isinstance(message, dict):
        text = text_of(message.get("content"), "response.output.message.content")
        return _finished([(text, text_or_none(fields.get("stopReason")))], fields)
    return _finished(_native(fields), fields)


def _finished(found: list[tuple[str, str | None]], body: Mapping[str, Any]) -> Reply:
    if not found:
        raise DecodeError("missing-field", "response: no answer's text")
    intervened = body.get(_GUARDRAIL) == "INTERVENED"
    answers = []
    for index, (text, raw) in enumerate(found):
        finish = normalise(raw)
        blocked = intervened or finish == "provider_block"
        answers.append(Answer(index, text, raw, "provider_block" if blocked else finish, blocked=blocked))
    trace = first(at(body, "trace", "guardrail"), at(body, "amazon-bedrock-trace", "guardrail"))
    if trace is None and not intervened:
        return Reply(answers)
    return Reply(answers, {}, "bedrock-guardrail", categories_of(_assessed(trace)), intervened)


def _streamed(events: list[Any]) -> list[tuple[str, str | None]]:
    texts: list[str] = []
    raw = None
    for event in events:
        delta = at(event, "contentBlockDelta", "delta", "text")
        if isinstance(delta, str):
            texts.append(delta)
        raw = text_or_none(at(event, "messageStop", "stopReason")) or raw
        for text, reason in _native(event) if isinstance(event, dict) else ():
            # Chunks of InvokeModelWithResponseStream have the form of the whole body.
            texts.append(text)
            raw = reason or raw
    return [("".join(texts), raw)]


def _cohere(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("text"), str) and isinstance(body.get("finish_reason"), str)


def _native(body: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    if _cohere(body):
        return [(body["text"], body["finish_reason"])]
    for name, text, reason in (("results", "outputText", "completionReason"), ("outputs", "text", "stop_reason")):
        rows = body.get(name)
        if isinstance(rows, list):
            return [
                (str(row[text]), text_or_none(row.get(reason)))
                for row in rows
                if isinstance(row, dict) and isinstance(row.get(text), str)
            ]
    for name in ("generation", "completion", "outputText"):
        if isinstance(body.get(name), str):
            raw = first(body.get("stop_reason"), body.get("completionReason"))
            return [(body[name], text_or_none(raw))]
    return []


def _assessed(trace: Any) -> Iterator[str]:
    """Names that guardrail assessments of the prompt report."""
    assessments = first(at(trace, "inputAssessment"), at(trace, "input"))
    for one in assessments.values() if isinstance(assessments, dict) else ():
        for policy, kind in (("contentPolicy", "filters"), ("sensitiveInformationPolicy", "piiEntities")):
            rows = at(one, policy, kind)
            for row in rows if isinstance(rows, list) else ():
                name = text_or_none(at(row, "type"))
                if name and at(row, "action") not in (None, "NONE"):
                    yield "pii" if kind == "piiEntities" else name
