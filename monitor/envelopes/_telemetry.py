"""Batches of OpenTelemetry signals: which of them are model calls, and in whose conventions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from monitor.envelopes import _genai, _openinference
from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._base import Context, Found, Half, Skipped, SkipReason, each
from monitor.envelopes._otlp import Signal, from_json, from_protobuf
from monitor.envelopes._pair import exchanges_of
from monitor.errors import DecodeError


class OtlpDecoder:
    """An export request in JSON, of spans or of log records: what the Collector's Kafka exporter calls `otlp_json`.

    The deployment is the attribute `alignwatch.deployment` of the span or its resource, else the configured default,
    else the model that was asked for. A span and an event about the same call have the same id, so that the second is
    ignored as a duplicate.
    """

    name = "otlp-json"

    def why_not(self, obj: Any) -> str | None:
        """None when there are resource spans or resource logs."""
        if not isinstance(obj, dict):
            return "not an object"
        return None if {"resourceSpans", "resourceLogs"} & obj.keys() else "needs resourceSpans or resourceLogs"

    def decode(self, obj: Any, context: Context) -> Sequence[Found]:
        """The exchanges of all model calls in the batch; other signals are counted as skipped."""
        return _decode_signals(from_json(obj), context)


def decode_protobuf(value: bytes, context: Context) -> Sequence[Found]:
    """The same for protobuf, the Collector's `otlp_proto`.

    Raises:
        DecodeError: the bytes are no OTLP export request, or none of its model calls could be read.
    """
    return _decode_signals(from_protobuf(value), context)


def _decode_signals(signals: Iterable[Signal | DecodeError], context: Context) -> Sequence[Found]:
    events: dict[tuple[str, str], list[Signal]] = {}

    def decode_one(signal: Signal | DecodeError) -> Sequence[Found]:
        if isinstance(signal, DecodeError):
            raise signal
        if signal.log and (signal.name in _genai.MESSAGE_EVENTS or signal.name == _genai.CHOICE_EVENT):
            if not signal.trace or not signal.span:
                return (Skipped("unpaired-event"),)
            events.setdefault((signal.trace, signal.span), []).append(signal)
            return ()
        if _openinference.is_openinference(signal):
            called = _openinference.is_model_call(signal)
            return _openinference.decode(signal, context) if called else (Skipped("not-a-model-call"),)
        if not _genai.is_model_call(signal):
            return (Skipped("not-a-model-call"),)
        return _genai.decode(signal, context)

    def all_calls() -> Iterator[Any]:
        yield from signals
        # Complete only after the last signal: one event for each message, all with the ids of their span.
        yield from events.values()

    def decode_any(item: Any) -> Sequence[Found]:
        return _from_events(item, context) if isinstance(item, list) else decode_one(item)

    return _added_up(each(all_calls(), decode_any))


def _from_events(group: list[Signal], context: Context) -> Sequence[Found]:
    fields = [
        (one.name, {**one.attributes, **one.body} if isinstance(one.body, dict) else one.attributes) for one in group
    ]
    asked, answers = _genai.from_events(fields)
    last = group[-1]
    common = _genai.common_of(last, context)
    if asked is not None and answers:
        return exchanges_of(common, asked, Reply(answers))
    # Prompts are sent when the call begins and the answer when it ends: few calls fit into one export.
    known = {
        name: common[name] for name in ("deployment", "model_digest", "timestamp", "model", "conversation", "user")
    }
    key = f"otel\0{common['id']}"
    if answers:
        return [Half(key, "response", _body({"choices": [_choice(one) for one in answers]}), known)]
    messages = asked.messages if asked is not None else None
    if not any(turn["content"] or turn.get("omitted") for turn in messages or ()):
        return [Skipped("no-content", len(group))]
    return [Half(key, "request", _body({"messages": messages}), known)]


def _choice(answer: Answer) -> dict[str, Any]:
    name = "refusal" if answer.finish == "model_refusal" else "content"
    message: dict[str, Any] = {name: answer.text, "tool_calls": [{}] if answer.finish == "tool" else None}
    # What `refusal` means hangs on the provider, which the half does not know any more.
    reason = "content_filter" if answer.finish == "provider_block" else answer.finish_reason
    return {"index": answer.index, "finish_reason": reason, "message": message}


def _body(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _added_up(found: list[Found]) -> list[Found]:
    """One Skipped for each reason: a batch may hold thousands of spans of other kinds."""
    counts: Counter[SkipReason] = Counter()
    kept: list[Found] = []
    for one in found:
        if isinstance(one, Skipped):
            counts[one.reason] += one.count
        else:
            kept.append(one)
    return kept + [Skipped(reason, counts[reason]) for reason in get_args(SkipReason) if counts[reason]]
