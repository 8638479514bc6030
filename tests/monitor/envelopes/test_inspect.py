"""`inspect-envelope`: which format, what was read, what is not there, and no text unless asked."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from exchanges import native
from gateways import (
    apisix,
    bedrock_log,
    chat_request,
    chat_response,
    genai,
    kong,
    kserve_headers,
    litellm,
    span,
    spans,
)
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from monitor.cli._inspect import command

SAMPLES = {
    "native": native(),
    "litellm": litellm(),
    "apisix": apisix(),
    "kong": kong(),
    "bedrock-log": bedrock_log(),
    "otlp-json": spans(span(genai())),
    "openai-chat": {"request": chat_request(), "response": chat_response(), "deployment": "d"},
    "cloudevent": {"specversion": "1.0", "type": "x", "id": "e", "data": native()},
}


def inspect(tmp_path, content: bytes, *options: str, expect: int = 0) -> str:
    file = tmp_path / "records"
    file.write_bytes(content)
    done = CliRunner().invoke(command, [str(file), *options])
    assert done.exit_code == expect, done.output
    return done.output


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_named_and_explained_without_text(tmp_path, name):
    told = inspect(tmp_path, json.dumps(SAMPLES[name]).encode())
    assert told.startswith(f"record 1: {name}, ")
    assert "response: 42 characters" in told
    assert "not there: " in told
    assert "egg" not in told
    assert "boiling" not in told
    found = json.loads(inspect(tmp_path, json.dumps(SAMPLES[name]).encode(), "--json"))
    assert (found["decoder"], len(found["exchanges"])) == (name, 1)


def test_text_is_shown_when_asked_for(tmp_path):
    told = inspect(tmp_path, json.dumps(litellm()).encode(), "--text")
    assert "Put it in boiling water" in told
    assert "How do I boil an egg?" in told


def test_indented_json_is_one_record_and_lines_are_several(tmp_path):
    assert inspect(tmp_path, json.dumps(kong(), indent=2).encode()).count("record ") == 1
    assert inspect(tmp_path, (json.dumps(kong()) + "\n").encode() * 5, "--records", "4").count("record ") == 4


def test_protobuf_is_one_record(tmp_path):
    batch = TracesData()
    one = batch.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")
    for key, value in genai().items():
        if isinstance(value, str):
            one.attributes.add(key=key).value.string_value = value
    told = inspect(tmp_path, batch.SerializeToString())
    assert told.startswith("record 1: otlp-protobuf, ")
    assert "finish: natural" in told


def test_headers_make_a_half(tmp_path):
    options = [f"-H{name}={value.decode()}" for name, value in kserve_headers("request")]
    told = inspect(tmp_path, json.dumps(chat_request()).encode(), *options)
    assert "cloudevent" in told
    assert "half: request" in told
    assert "deployment: default/llama" in told


def test_what_cannot_be_read_says_why_and_ends_with_1(tmp_path):
    told = inspect(tmp_path, b'{"ai": {"proxy": {"payload": {"request": "{not json", "response": "x"}}}}', expect=1)
    assert "problem: not-json: ai.proxy.payload.request" in told
    told = inspect(tmp_path, json.dumps({"hello": "world"}).encode(), expect=1)
    assert "not recognised" in told
    assert "not litellm: needs messages and response" in told


def test_calls_without_content_are_told(tmp_path):
    bare = {k: v for k, v in genai().items() if "messages" not in k}
    assert "skipped no-content: 1" in inspect(tmp_path, json.dumps(spans(span(bare))).encode())


def test_described_envelopes_are_read_as_the_configuration_says(tmp_path):
    config = tmp_path / "a.toml"
    config.write_text('[[decode.field_maps]]\nname = "mine"\nprompt = "$.q"\nresponse = "$.a"\n')
    told = inspect(tmp_path, b'{"q": "How?", "a": "So."}', "-c", str(config))
    assert told.startswith("record 1: field-map:mine, ")


def test_an_upstream_verdict_is_told(tmp_path):
    entry = kong()
    entry["ai"]["audit"] = {"azure_content_safety": {"Hate": "High"}}
    assert "labels: upstream azure: prompt hate" in inspect(tmp_path, json.dumps(entry).encode())
