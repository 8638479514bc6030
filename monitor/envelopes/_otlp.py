"""OTLP batches of spans and log records, JSON or protobuf, as plain signals with Python values.

JSON follows the OTLP specification: 64-bit integers and times are strings, ids are hex, enums are numbers. Kafka
messages of the OpenTelemetry Collector carry no content type, so that protobuf is told by its framing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError

from monitor.envelopes._fields import expect
from monitor.errors import DecodeError

TAG: Final = 0x0A
"""Field 1, length-delimited: resource_spans, resource_logs, resource_metrics alike."""
TRACE_ID_BYTES: Final = 16
_MAX_ANY_DEPTH: Final = 40
_NANOSECONDS: Final = 1e9
_ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Signal:
    """A span or a log record.

    Attributes:
        log: whether it is a log record.
        name: of the span; of the event where a log record has one.
        attributes: its own.
        resource: of the resource that sent it.
        trace, span: ids in lower-case hex; empty where there is none.
        time: epoch seconds of its end.
        body: of a log record.
        events: name and attributes of a span's events.
        failed: whether a span's status is an error.
        fault: what the status or the exception event says about it.
    """

    log: bool
    name: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""
    span: str = ""
    time: float | None = None
    body: Any = None
    events: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=())
    failed: bool = False
    fault: str = ""


def from_json(obj: Mapping[str, Any]) -> Iterator[Signal | DecodeError]:
    """The signals of an export request in JSON; a fault in place of each that is malformed.

    Raises:
        DecodeError: the batch itself is malformed.
    """
    for outer, scopes, inner in (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")):
        for index, group in enumerate(_objects(obj.get(outer), outer)):
            where = f"{outer}[{index}]"
            resource = _attributes(_object(group.get("resource")), f"{where}.resource")
            for number, scope in enumerate(_objects(group.get(scopes), f"{where}.{scopes}")):
                here = f"{where}.{scopes}[{number}].{inner}"
                for position, one in enumerate(_objects(scope.get(inner), here)):
                    try:
                        yield _json_signal(one, resource, f"{here}[{position}]", log=inner == "logRecords")
                    except DecodeError as error:
                        yield error


def _json_signal(one: Mapping[str, Any], resource: Mapping[str, Any], where: str, *, log: bool) -> Signal:
    attributes = _attributes(one, where)
    times = ("timeUnixNano", "observedTimeUnixNano") if log else ("endTimeUnixNano", "startTimeUnixNano")
    name = one.get("eventName") or attributes.get("event.name") if log else one.get("name")
    events = () if log else tuple(
        (str(event.get("name", "")), _attributes(event, f"{where}.events[{number}]"))
        for number, event in enumerate(_objects(one.get("events"), f"{where}.events"))
    )  # fmt: skip
    return Signal(
        log,
        name if isinstance(name, str) else "",
        attributes,
        resource,
        _hex(one.get("traceId")),
        _hex(one.get("spanId")),
        next((seconds for key in times if (seconds := _seconds(one.get(key), where)) is not None), None),
        _any(one["body"], where) if log and one.get("body") is not None else None,
        events,
        _object(one.get("status")).get("code") in (_ERROR, "STATUS_CODE_ERROR"),
        _fault(_object(one.get("status")).get("message"), events),
    )


def _fault(message: Any, events: tuple[tuple[str, Mapping[str, Any]], ...]) -> str:
    told = [message, *(fields.get("exception.message") for name, fields in events if name == "exception")]
    return "\n".join(one for one in told if isinstance(one, str))


def _objects(value: Any, where: str) -> Iterator[Mapping[str, Any]]:
    for index, one in enumerate(expect(value if value is not None else [], list, where)):
        yield expect(one, dict, f"{where}[{index}]")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _hex(value: Any) -> str:
    return value.lower() if isinstance(value, str) else ""


def _seconds(value: Any, where: str) -> float | None:
    if value in (None, "", 0, "0") or isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004 - 64 bits
        value = int(value)
    if not isinstance(value, int | float):
        raise DecodeError("wrong-type", f"{where}: a time that is no number of nanoseconds")
    return value / _NANOSECONDS


def _attributes(owner: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = {}
    for one in _objects(owner.get("attributes"), f"{where}.attributes"):
        key = expect(one.get("key"), str, f"{where}.attributes: key")
        found[key] = _any(one.get("value"), f"{where}.attributes[{key[:64]}]")
    return found


def _any(value: Any, where: str) -> Any:
    fields = value if isinstance(value, dict) else {}
    for name in ("stringValue", "boolValue", "doubleValue"):
        if name in fields:
            return fields[name]
    if "intValue" in fields:
        number = fields["intValue"]
        return int(number) if isinstance(number, str) and number.lstrip("-").isdigit() and len(number) < 21 else number  # noqa: PLR2004 - 64 bits
    if "arrayValue" in fields:
        return [_any(one, where) for one in _objects(_object(fields["arrayValue"]).get("values"), where)]
    if "kvlistValue" in fields:
        pairs = _objects(_object(fields["kvlistValue"]).get("values"), where)
        return {str(pair.get("key", "")): _any(pair.get("value"), where) for pair in pairs}
    return None


def is_protobuf(value: bytes) -> bool:
    """Whether the bytes are framed like an export request: field 1 over and over, to the last byte.

    A JSON text never is: after a line break its next byte would have to be the length of all that follows.
    """
    position, end = 0, len(value)
    while position < end:
        if value[position] != TAG:
            return False
        position += 1
        length = shift = 0
        while True:
            if position >= end or shift > 28:  # noqa: PLR2004 - longer than any record
                return False
            byte = value[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit of a varint
                break
        position += length
    return position == end and end > 0


def from_protobuf(value: bytes) -> Iterator[Signal | DecodeError]:
    """The signals of an export request in protobuf: spans, or log records where the bytes hold no span.

    Raises:
        DecodeError: the bytes are neither.
    """
    # 20 MB and a tenth of a second that only those pay who receive protobuf.
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData  # noqa: PLC0415
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData  # noqa: PLC0415

    traces, logs = _parsed(TracesData, value), _parsed(LogsData, value)
    if traces is None and logs is None:
        raise DecodeError("wrong-type", "protobuf, but neither OTLP spans nor OTLP log records")
    groups = traces.resource_spans if traces is not None else ()
    spans = [(one, group.resource) for group in groups for scope in group.scope_spans for one in scope.spans]
    # Spans and log records share their outer framing; only a span has a trace id where it must have one.
    if any(len(one.trace_id) == TRACE_ID_BYTES for one, _ in spans):
        yield from _proto_signals(spans, log=False)
        return
    groups = logs.resource_logs if logs is not None else ()
    records = [(one, group.resource) for group in groups for scope in group.scope_logs for one in scope.log_records]
    if not records:
        raise DecodeError("unknown-envelope", "protobuf without OTLP spans or log records")
    yield from _proto_signals(records, log=True)


def _parsed(message: Any, value: bytes) -> Any:
    try:
        return message.FromString(value)
    except ProtobufError:
        return None


def _proto_signals(items: list[tuple[Any, Any]], *, log: bool) -> Iterator[Signal | DecodeError]:
    held: tuple[Any, dict[str, Any]] | None = None
    for one, resource in items:
        try:
            if held is None or held[0] is not resource:
                held = (resource, _proto_pairs(resource.attributes))
            yield _proto_signal(one, held[1], log=log)
        except DecodeError as error:
            yield error


def _proto_signal(one: Any, resource: Mapping[str, Any], *, log: bool) -> Signal:
    attributes = _proto_pairs(one.attributes)
    nanoseconds = (one.time_unix_nano or one.observed_time_unix_nano) if log else one.end_time_unix_nano
    name = (one.event_name or attributes.get("event.name")) if log else one.name
    events = () if log else tuple((event.name, _proto_pairs(event.attributes)) for event in one.events)
    return Signal(
        log,
        name if isinstance(name, str) else "",
        attributes,
        resource,
        one.trace_id.hex(),
        one.span_id.hex(),
        nanoseconds / _NANOSECONDS if nanoseconds else None,
        _proto_any(one.body) if log else None,
        events,
        not log and one.status.code == _ERROR,
        "" if log else _fault(one.status.message, events),
    )


def _proto_pairs(pairs: Any, depth: int = 0) -> dict[str, Any]:
    return {pair.key: _proto_any(pair.value, depth) for pair in pairs}


def _proto_any(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_ANY_DEPTH:
        raise DecodeError("too-deep", f"an attribute is nested deeper than {_MAX_ANY_DEPTH} levels")
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_proto_any(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _proto_pairs(value.kvlist_value.values, depth + 1)
    return getattr(value, kind)
