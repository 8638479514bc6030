"""The OpenTelemetry SDK's own exporters against the door: spans and log records, protobuf and JSON, plain and gzip."""

from __future__ import annotations

import json
import logging

import pytest
from door import OpenDoor, open_door
from gateways import ASKED, SAID, SYSTEM, genai, openinference
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter as OTLPJsonLogExporter
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter as OTLPJsonSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TOKEN = "0123456789abcdef"
HEADERS = {"authorization": f"Bearer {TOKEN}"}
"""The door takes the token only; exporters that could not send headers would fail every test here."""


@pytest.fixture
def door(tmp_path):
    with open_door(tmp_path, token=TOKEN) as one:
        yield one


def span_exporter(kind: str, url: str):
    if kind == "json":
        return OTLPJsonSpanExporter(endpoint=f"{url}/v1/traces", headers=HEADERS)
    compression = Compression.Gzip if kind == "protobuf-gzip" else Compression.NoCompression
    return OTLPSpanExporter(endpoint=f"{url}/v1/traces", headers=HEADERS, compression=compression)


def log_exporter(kind: str, url: str):
    if kind == "json":
        return OTLPJsonLogExporter(endpoint=f"{url}/v1/logs", headers=HEADERS)
    compression = Compression.Gzip if kind == "protobuf-gzip" else Compression.NoCompression
    return OTLPLogExporter(endpoint=f"{url}/v1/logs", headers=HEADERS, compression=compression)


def export(door: OpenDoor, kind: str, count: int, attributes, caplog) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": "gateway", "alignwatch.deployment": "eu"}))
    provider.add_span_processor(BatchSpanProcessor(span_exporter(kind, door.url), max_export_batch_size=50))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("POST /v1/chat"):
        for number in range(count):
            with tracer.start_as_current_span(f"chat {number}", attributes=attributes):
                pass
    with caplog.at_level(logging.ERROR):
        assert provider.force_flush(20_000)
    assert caplog.records == [], "an exporter that got anything but 2xx would log"
    provider.shutdown()
    return provider


@pytest.mark.parametrize("kind", ["protobuf", "protobuf-gzip", "json"])
def test_spans_arrive_once_each(door, kind, caplog):
    export(door, kind, 120, genai(), caplog)
    found = door.exchanges()
    assert len(found) == len({one.id for one in found}) == 120
    assert {(one.deployment, one.response, one.finish) for one in found} == {("eu", SAID, "natural")}
    assert [(turn.role, turn.content) for turn in found[0].messages] == [("system", SYSTEM), ("user", ASKED)]
    assert door.skipped == {"not-a-model-call": 1}


@pytest.mark.parametrize("kind", ["protobuf", "json"])
def test_openinference_spans_arrive_with_their_refusal(door, kind, caplog):
    refusal = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": None, "refusal": "I can't."}}]}
    export(door, kind, 1, openinference(**{"output.value": json.dumps(refusal)}), caplog)
    (one,) = door.exchanges()
    assert (one.response, one.finish) == ("I can't.", "model_refusal")


@pytest.mark.parametrize("kind", ["protobuf", "protobuf-gzip", "json"])
def test_events_with_structured_content_arrive(door, kind, caplog):
    attributes = genai()
    for name in ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"):
        attributes[name] = json.loads(attributes[name])
    provider = LoggerProvider(resource=Resource.create({"alignwatch.deployment": "eu"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(log_exporter(kind, door.url)))
    logger = provider.get_logger("test")
    name = "gen_ai.client.inference.operation.details"
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            logger.emit(LogRecord(timestamp=1_795_428_000_000_000_000, event_name=name, attributes=attributes))
        assert provider.force_flush(20_000)
    assert caplog.records == []
    provider.shutdown()
    found = door.exchanges()
    assert [one.response for one in found] == [SAID] * 3
    assert [(turn.role, turn.content) for turn in found[0].messages] == [("system", SYSTEM), ("user", ASKED)]
