"""Export requests of OTLP/HTTP as records: as they come, or span by span where a batch exceeds a record's limit."""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError

from monitor.http._bodies import BadBodyError

PROTOBUF: Final = frozenset({"application/x-protobuf", "application/protobuf"})
JSON: Final = "application/json"


def split_export(body: bytes, content_type: str, signal: str, limit: int) -> list[bytes]:
    """The records of one export request.

    Args:
        body: decompressed.
        content_type: protobuf or JSON.
        signal: `traces` or `logs`.
        limit: bytes of a record.

    Raises:
        BadBodyError: 415 for another content type, 400 where the body is not what its content type says.
    """
    if content_type in PROTOBUF:
        return _protobuf(body, signal, limit)
    if content_type == JSON:
        return _json(body, signal, limit)
    raise BadBodyError(415, "content-type", "application/x-protobuf and application/json are allowed")


def _protobuf(body: bytes, signal: str, limit: int) -> list[bytes]:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData  # noqa: PLC0415 - as in the decoder
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData  # noqa: PLC0415

    batch: Any = TracesData() if signal == "traces" else LogsData()
    try:
        batch.ParseFromString(body)
    except ProtobufError:
        raise BadBodyError(400, "not-protobuf", f"the body is no OTLP export request of {signal}") from None
    if len(body) <= limit:
        return [body] if body else []
    names = (
        ("resource_spans", "scope_spans", "spans")
        if signal == "traces"
        else ("resource_logs", "scope_logs", "log_records")
    )
    found = []
    for group in getattr(batch, names[0]):
        for scope in getattr(group, names[1]):
            for items in _together(getattr(scope, names[2]), alone=signal == "traces"):
                one = type(batch)()
                outer = getattr(one, names[0]).add()
                outer.resource.CopyFrom(group.resource)
                getattr(getattr(outer, names[1]).add(), names[2]).extend(items)
                found.append(one.SerializeToString())
    return found


def _together(items: Any, *, alone: bool) -> list[list[Any]]:
    """Spans one by one; log records by their span, since one may hold a prompt and the next its answer."""
    if alone:
        return [[one] for one in items]
    groups: dict[Any, list[Any]] = {}
    for index, one in enumerate(items):
        trace = one.trace_id if not isinstance(one, dict) else one.get("traceId")
        span = one.span_id if not isinstance(one, dict) else one.get("spanId")
        groups.setdefault((str(trace), str(span)) if trace else index, []).append(one)
    return list(groups.values())


def _json(body: bytes, signal: str, limit: int) -> list[bytes]:
    names = (
        ("resourceSpans", "scopeSpans", "spans") if signal == "traces" else ("resourceLogs", "scopeLogs", "logRecords")
    )
    try:
        batch = json.loads(body)
    except (ValueError, RecursionError):
        raise BadBodyError(400, "not-json", f"the body is no OTLP export request of {signal} in JSON") from None
    if not isinstance(batch, dict) or not isinstance(batch.get(names[0], []), list):
        raise BadBodyError(400, "not-otlp", f"{names[0]}: an array is required")
    if not batch.get(names[0]):
        return []
    if len(body) <= limit:
        return [body]
    try:
        return [
            json.dumps({names[0]: [{"resource": group.get("resource", {}), names[1]: [{names[2]: items}]}]}).encode()
            for group in batch[names[0]]
            for scope in group.get(names[1], [])
            for items in _together(scope.get(names[2], []), alone=signal == "traces")
        ]
    except (AttributeError, TypeError):
        raise BadBodyError(
            400, "not-otlp", f"{names[0]}: objects with {names[1]} and {names[2]} are required"
        ) from None
