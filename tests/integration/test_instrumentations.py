"""Instrumentations of the real clients, each with its own conventions, exporting over OTLP into the door.

OpenTelemetry's own, OpenLLMetry's and OpenInference's, in front of a server that speaks the providers' protocols.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import anthropic
import openai
import pytest
from anthropic.resources.messages import Messages
from door import OpenDoor, open_door
from model_server import REFUSED, SAID, model_server
from openai.resources.chat.completions import Completions
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from alignwatch import Exchange

OPENAI = {
    "opentelemetry": ("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor"),
    "openllmetry": ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
    "openinference": ("openinference.instrumentation.openai", "OpenAIInstrumentor"),
}
ANTHROPIC = {
    "opentelemetry": ("opentelemetry.instrumentation.genai.anthropic", "AnthropicInstrumentor"),
    "openllmetry": ("opentelemetry.instrumentation.anthropic", "AnthropicInstrumentor"),
    "openinference": ("openinference.instrumentation.anthropic", "AnthropicInstrumentor"),
}
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
PATCHED = (Completions, Messages)
EARLIER = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]
TOOLS = [{"type": "function", "function": {"name": "timer", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
def door(tmp_path):
    with open_door(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    with model_server() as url:
        yield url


@contextmanager
def instrumented(where: tuple[str, str], door: OpenDoor, **options: Any) -> Iterator[None]:
    """The client, traced, until the end of the block; all is exported by then."""
    traces, logs = TracerProvider(), LoggerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{door.url}/v1/traces")))
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{door.url}/v1/logs")))
    instrumentor = getattr(import_module(where[0]), where[1])(**options)
    before = {owner: dict(vars(owner)) for owner in PATCHED}
    instrumentor.instrument(tracer_provider=traces, logger_provider=logs)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        # OpenLLMetry's leaves its wrapper behind: the next would trace twice.
        for owner, members in before.items():
            for name, member in members.items():
                if vars(owner)[name] is not member:
                    setattr(owner, name, member)
        traces.shutdown()
        logs.shutdown()


def ask_openai(url: str, word: str, *, stream: bool, **options: Any) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    turns: Any = [
        {"role": "system", "content": "You are a cook."},
        *EARLIER,
        {"role": "user", "content": f"{word}: egg?"},
    ]
    options |= {"tools": TOOLS} if word == "tool" else {}
    try:
        answer = client.chat.completions.create(model="m", messages=turns, stream=stream, **options)
        if stream:
            assert list(answer)
    except openai.BadRequestError:
        assert word == "block"


def ask_anthropic(url: str, word: str, *, stream: bool) -> None:
    client = anthropic.Anthropic(base_url=url, api_key="x", max_retries=0)
    turns: Any = [*EARLIER, {"role": "user", "content": [{"type": "text", "text": f"{word}: egg?"}]}]
    options: Any = {"tools": [{"name": "timer", "input_schema": {"type": "object"}}]} if word == "tool" else {}
    answer = client.messages.create(
        model="m", max_tokens=99, system="You are a cook.", messages=turns, stream=stream, **options
    )
    if stream:
        assert list(answer)


def told(one: Exchange) -> tuple[Any, ...]:
    assert one.deployment == "m", "the model that was asked for, not the version that answered"
    assert one.model in {"m-0901", "m-1", "m"}
    assert [turn.role for turn in one.messages or ()] == ["system", "user", "assistant", "user"]
    assert (one.messages or ())[-1].content.endswith(": egg?")
    return one.response, one.finish


SAYS: dict[str, tuple[str, str]] = {
    "plain": (SAID, "natural"),
    "refuse": (REFUSED, "model_refusal"),
    "filter": ("Put it", "provider_block"),
    "block": ("", "provider_block"),
    "long": ("Put it in boiling", "length"),
    "tool": ("", "tool"),
}
# OpenTelemetry's makes a text of the structured refusal; OpenLLMetry's keeps it, but drops it from a stream.
OTHERWISE: dict[tuple[str, str, bool], tuple[str, str]] = {
    ("opentelemetry", "refuse", False): (REFUSED, "natural"),
    ("opentelemetry", "refuse", True): (REFUSED, "natural"),
    ("openllmetry", "refuse", True): ("", "natural"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("which", OPENAI)
def test_openai(which: str, stream: bool, door: OpenDoor, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTURE, "SPAN_ONLY")
    with instrumented(OPENAI[which], door):
        for word in SAYS:
            ask_openai(model, word, stream=stream)
        ask_openai(model, "plain", stream=stream, n=2)
    found = door.exchanges()
    expected = {word: OTHERWISE.get((which, word, stream), said) for word, said in SAYS.items()}
    assert [told(one) for one in found] == [*expected.values(), SAYS["plain"], SAYS["plain"]]
    assert len({one.id for one in found}) == len(found)
    suspected = {"refusal-suspected": 1} if expected["refuse"] == ("", "natural") else {}
    assert door.skipped == suspected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("which", ANTHROPIC)
def test_anthropic(which: str, stream: bool, door: OpenDoor, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTURE, "SPAN_ONLY")
    with instrumented(ANTHROPIC[which], door):
        for word in ("plain", "refuse", "long", "tool"):
            ask_anthropic(model, word, stream=stream)
    expected = [SAYS["plain"], ("", "provider_block"), SAYS["long"], SAYS["tool"]]
    assert [told(one) for one in door.exchanges()] == expected
    assert door.skipped == {}


def test_content_on_the_event_instead_of_the_span(door: OpenDoor, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTURE, "EVENT_ONLY")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
    with instrumented(OPENAI["opentelemetry"], door):
        ask_openai(model, "plain", stream=False)
    (one,) = door.exchanges()
    assert told(one) == SAYS["plain"]
    assert door.skipped == {"no-content": 1}, "the span about the same call"


@pytest.mark.parametrize("which", OPENAI)
def test_without_content_nothing_is_judged(
    which: str, door: OpenDoor, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ((CAPTURE, "NO_CONTENT"), ("TRACELOOP_TRACE_CONTENT", "false")):
        monkeypatch.setenv(name, value)
    for side in ("INPUTS", "OUTPUTS"):
        monkeypatch.setenv(f"OPENINFERENCE_HIDE_{side}", "true")
    with instrumented(OPENAI[which], door):
        ask_openai(model, "plain", stream=False)
    found = door.exchanges()
    assert [(one.prompt, one.response) for one in found] in ([], [("__REDACTED__", "__REDACTED__")])
    assert door.skipped == ({} if found else {"no-content": 1})
