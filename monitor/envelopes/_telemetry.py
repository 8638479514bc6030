"""Batches of OpenTelemetry signals: which of them are model calls, and in whose conventions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from monitor.envelopes import _genai, _openinference
from monitor.envelopes._answers import Reply
from monitor.envelopes._base import Context, Found, Skipped, SkipReason, each
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
    if asked is None or not answers:
        return [Skipped("unpaired-event", len(group))]
    return exchanges_of(_genai.common_of(group[-1], context), asked, Reply(answers))


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
