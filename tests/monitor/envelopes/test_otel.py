"""OpenTelemetry: GenAI and OpenInference, spans and events, JSON and protobuf, batches."""

from __future__ import annotations

import json

import pytest
from decoding import exchanges, fault, found, only, skipped, turns
from exchanges import EPOCH, record
from gateways import (
    ASKED,
    NANOS,
    SAID,
    SPAN,
    SYSTEM,
    TRACE,
    chat_chunks,
    chat_response,
    genai,
    log_record,
    logs,
    openinference,
    pairs,
    protobuf,
    span,
    spans,
    sse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from monitor.envelopes import DecodeLimits, JoinBuffer, PartlyDecodedError
from monitor.text import prompt_text

DETAILS = "gen_ai.client.inference.operation.details"


@pytest.fixture(params=["json", "protobuf"])
def wire(request):
    return (lambda batch: batch) if request.param == "json" else protobuf


def test_a_genai_span_is_one_exchange(wire):
    one = only(wire(spans(span(genai()))))
    assert (one.id, one.deployment, one.model, one.conversation) == (
        f"{TRACE}-{SPAN}", "gpt-oss-20b", "gpt-oss-20b-0901", "c-9",
    )  # fmt: skip
    assert one.timestamp.timestamp() == pytest.approx(EPOCH)
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]
    assert (one.response, one.finish_reason, one.finish) == (SAID, "stop", "natural")


def test_attributes_of_span_or_resource_name_deployment_and_digest(wire):
    batch = spans(span(genai()), resource={"alignwatch.deployment": "eu", "alignwatch.model_digest": "sha256:aa"})
    one = only(wire(batch), default="fallback")
    assert (one.deployment, one.model_digest) == ("eu", "sha256:aa")
    assert only(wire(spans(span(genai()))), default="fallback").deployment == "fallback"
    assert only(wire(spans(span(genai())))), "a header of the record wins"
    headers = (("alignwatch-deployment", b"header"),)
    assert only(wire(batch), headers=headers).deployment == "header"


def test_structured_messages_on_an_event_are_read_like_those_in_a_string(wire):
    attributes = genai()
    for name in ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"):
        attributes[name] = json.loads(attributes[name])
    one = only(wire(logs(log_record(DETAILS, attributes))))
    assert (one.id, one.response) == (f"{TRACE}-{SPAN}", SAID), "a span about the same call has the same id"
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]


def test_the_details_event_on_a_span_is_read_too(wire):
    content = genai()
    bare = {k: v for k, v in content.items() if "messages" not in k and "instructions" not in k}
    event = {"name": DETAILS, "timeUnixNano": NANOS, "attributes": span(content)["attributes"]}
    assert only(wire(spans(span(bare, events=[event])))).response == SAID


def test_reasoning_tool_calls_and_several_choices(wire):
    said = [
        {"role": "assistant", "finish_reason": "length", "parts": [
            {"type": "reasoning", "content": "secret plan"}, {"type": "text", "content": "One."}]},
        {"role": "assistant", "finish_reason": "tool_call", "parts": [
            {"type": "tool_call", "id": "t", "name": "search", "arguments": {"q": "eggs"}}]},
    ]  # fmt: skip
    asked = [
        {
            "role": "user",
            "parts": [{"type": "text", "content": ASKED}, {"type": "blob", "modality": "image", "content": "AAAA"}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "t", "name": "f", "arguments": {}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t", "response": "12 shops"}]},
    ]
    changes = {"gen_ai.output.messages": json.dumps(said), "gen_ai.input.messages": json.dumps(asked)}
    first, second = exchanges(wire(spans(span(genai(**changes)))))
    assert [(one.id[-2:], one.response, one.finish) for one in (first, second)] == [
        (SPAN[-2:], "One.", "length"), ("#1", "", "tool"),
    ]  # fmt: skip
    assert "secret plan" not in first.to_json() + second.to_json()
    assert prompt_text(first)[0] == ASKED
    assert [turn.omitted for turn in first.messages] == [(), ("file",), ("tool_call",), ("tool_result",)]


def test_anthropics_refusal_is_told_by_the_providers_name(wire):
    said = json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "No."}], "finish_reason": "refusal"}]
    )
    attributes = genai(**{"gen_ai.output.messages": said, "gen_ai.provider.name": "anthropic"})
    assert only(wire(spans(span(attributes)))).finish == "provider_block"
    assert only(wire(spans(span(genai(**{"gen_ai.output.messages": said}))))).finish == "model_refusal"


def test_an_answer_with_tokens_and_no_parts_is_counted_as_a_suspected_refusal(wire):
    said = json.dumps([{"role": "assistant", "parts": [], "finish_reason": "stop"}])
    one, note = found(wire(spans(span(genai(**{"gen_ai.output.messages": said})))))
    assert (one.response, note.reason, note.count) == ("", "refusal-suspected", 1)
    silent = genai(**{"gen_ai.output.messages": said, "gen_ai.usage.output_tokens": 0})
    assert skipped(found(wire(spans(span(silent))))) == {}


def test_calls_without_content_and_spans_of_other_kinds_are_counted(wire):
    bare = {k: v for k, v in genai().items() if "messages" not in k}
    batch = spans(
        span(genai()), span(bare, spanId="00f067aa0ba902b7"), span({"http.method": "POST"}, "POST /chat"),
        span({"gen_ai.operation.name": "embeddings"}), span({"gen_ai.operation.name": "execute_tool"}),
        span(openinference(**{"openinference.span.kind": "CHAIN"})),
    )  # fmt: skip
    items = found(wire(batch))
    assert len(items) == 3
    assert skipped(items) == {"not-a-model-call": 4, "no-content": 1}


def test_a_failed_call_has_no_answer_and_its_neighbours_are_kept(wire):
    bare = {k: v for k, v in genai().items() if "output.messages" not in k}
    failed = span(bare, status={"code": 2, "message": "x"})
    assert fault(wire(spans(failed))).reason == "no-answer"
    with pytest.raises(PartlyDecodedError) as caught:
        found(wire(spans(failed, span(genai()))))
    assert (caught.value.reason, [one.response for one in caught.value.exchanges]) == ("no-answer", [SAID])


def test_content_cut_by_a_length_limit_says_so(wire):
    cut = genai(**{"gen_ai.output.messages": genai()["gen_ai.output.messages"][:40]})
    error = fault(wire(spans(span(cut))))
    assert error.reason == "not-json"
    assert "attribute length limit" in error.detail


def test_one_event_for_each_message_is_put_together_by_span(wire):
    batch = logs(
        log_record("gen_ai.system.message", {"gen_ai.system": "openai"}, {"content": SYSTEM}),
        log_record("gen_ai.user.message", {"gen_ai.system": "openai"}, {"content": ASKED}),
        log_record("gen_ai.user.message", {}, {"content": "Another?"}, spanId="00f067aa0ba902b7"),
        log_record("gen_ai.choice", {"gen_ai.request.model": "m"},
                   {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": SAID}}),
    )  # fmt: skip
    one, half = found(wire(batch))
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]
    assert (one.response, one.finish, one.deployment) == (SAID, "natural", "m")
    assert (half.side, half.key) == ("request", f"otel\0{TRACE}-00f067aa0ba902b7")


CHOICES = [
    ({"content": SAID}, "stop", {}, (SAID, "natural")),
    ({}, "content_filter", {}, ("", "provider_block")),
    ({}, "refusal", {"gen_ai.system": "anthropic"}, ("", "provider_block")),
    ({"tool_calls": [{"id": "c", "type": "function"}]}, "tool_calls", {}, ("", "tool")),
    ({"parts": [{"type": "refusal", "content": "I can't."}]}, "stop", {}, ("I can't.", "model_refusal")),
]


@pytest.mark.parametrize(("message", "reason", "attributes", "expected"), CHOICES)
def test_prompt_and_answer_in_exports_of_their_own_are_joined(wire, message, reason, attributes, expected):
    asked = logs(
        log_record("gen_ai.system.message", {}, {"content": SYSTEM}),
        log_record("gen_ai.user.message", {}, {"content": ASKED}),
    )
    body = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
    joins = JoinBuffer(DecodeLimits(), seconds=60.0, capacity=9, max_bytes=1 << 20)
    joined = []
    for batch in (asked, logs(log_record("gen_ai.choice", attributes, body))):
        (half,) = found(wire(batch), default="d")
        joined += joins.add(half, record(b""), 0.0)
    (one,) = joined
    assert (one.id, one.deployment) == (f"{TRACE}-{SPAN}", "d")
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]
    assert (one.response, one.finish) == expected


def test_events_without_content_or_without_a_span_are_counted(wire):
    bare = log_record("gen_ai.user.message", {"gen_ai.system": "openai"})
    assert skipped(found(wire(logs(bare)), default="d")) == {"no-content": 1}
    lone = [log_record("gen_ai.user.message", {}, {"content": ASKED}, traceId="", spanId="")] * 2
    assert skipped(found(wire(logs(*lone)), default="d")) == {"unpaired-event": 2}, "not the prompts of one call"


def test_a_refusal_part_is_the_models_own(wire):
    said = [{"role": "assistant", "parts": [{"type": "refusal", "content": "I can't."}], "finish_reason": "stop"}]
    one = only(wire(spans(span(genai(**{"gen_ai.output.messages": json.dumps(said)})))))
    assert (one.response, one.finish) == ("I can't.", "model_refusal")


def test_an_answer_that_was_left_out_altogether_is_suspected_too(wire):
    items = found(wire(spans(span(genai(**{"gen_ai.output.messages": "[]"})))))
    assert (items[0].response, items[0].finish) == ("", "natural")
    assert skipped(items) == {"refusal-suspected": 1}
    unspoken = genai(**{"gen_ai.output.messages": "[]", "gen_ai.usage.output_tokens": 0})
    assert skipped(found(wire(spans(span(unspoken))))) == {"no-content": 1}


FAULTS = [
    ("Error code: 400 - {'error': {'code': 'content_filter', 'param': 'prompt'}}", True),
    ('Error code: 400 - {"error":{"innererror":{"code":"ResponsibleAIPolicyViolation"}}}', True),
    ("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", True),
    ("Error code: 429 - slow down", False),
]


@pytest.mark.parametrize(("text", "blocked"), FAULTS)
@pytest.mark.parametrize("attributes", [genai(), openinference()], ids=["genai", "openinference"])
@pytest.mark.parametrize("told", ["status", "exception"])
def test_a_block_that_only_the_error_tells_of(wire, text, blocked, attributes, told):
    asked = {k: v for k, v in attributes.items() if "output" not in k}
    event = {"name": "exception", "attributes": pairs({"exception.message": text})}
    status = {"code": 2, "message": text if told == "status" else ""}
    batch = wire(spans(span(asked, status=status, events=[event] if told == "exception" else [])))
    if not blocked:
        assert fault(batch).reason == "no-answer"
        return
    one = only(batch)
    assert (one.response, one.finish, one.finish_reason) == ("", "provider_block", "content_filter")
    assert turns(one)[-1] == ("user", ASKED)


@pytest.mark.parametrize("told", ["input.value", "llm.invocation_parameters"])
def test_an_openinference_deployment_is_the_model_that_was_asked_for(wire, told):
    attributes = openinference(**{"llm.model_name": "gpt-oss-20b-0901"})
    if told == "llm.invocation_parameters":
        attributes |= {"input.value": "{}", told: json.dumps({"model": "gpt-oss-20b"})}
    one = only(wire(spans(span(attributes))))
    assert (one.deployment, one.model) == ("gpt-oss-20b", "gpt-oss-20b-0901"), "a new version is no new deployment"


def test_events_on_the_span_in_older_forms(wire):
    def event(name, **attributes):
        return {"name": name, "timeUnixNano": NANOS, "attributes": span(attributes)["attributes"]}

    bare = {"gen_ai.system": "openai", "gen_ai.request.model": "m"}
    message = json.dumps({"role": "assistant", "content": SAID})
    one = only(wire(spans(span(bare, events=[
        event("gen_ai.user.message", content=ASKED), event("gen_ai.choice", message=message, finish_reason="length"),
    ]))))  # fmt: skip
    assert (turns(one), one.response, one.finish) == ([("user", ASKED)], SAID, "length")
    prompt = {"gen_ai.prompt": json.dumps([{"role": "user", "content": ASKED}])}
    completion = {"gen_ai.completion": json.dumps([{"role": "assistant", "content": SAID}])}
    one = only(wire(spans(span(bare, events=[
        event("gen_ai.content.prompt", **prompt), event("gen_ai.content.completion", **completion)
    ]))))  # fmt: skip
    assert (turns(one), one.response) == ([("user", ASKED)], SAID)


def test_numbered_attributes_of_older_instrumentations(wire):
    attributes = {
        "gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": ASKED, "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": SYSTEM,
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": SAID,
        "gen_ai.completion.0.finish_reason": "length",
    }  # fmt: skip
    one = only(wire(spans(span(attributes))))
    assert (turns(one), one.response, one.finish) == ([("system", SYSTEM), ("user", ASKED)], SAID, "length")


def test_an_openinference_span_is_read_from_the_raw_bodies(wire):
    refusal = chat_response(None, refusal="I can't.")
    attributes = openinference(**{"output.value": json.dumps(refusal)})
    del attributes["llm.output_messages.0.message.content"]
    one = only(wire(spans(span(attributes, "ChatCompletion"))))
    assert (one.response, one.finish, one.conversation, one.user) == ("I can't.", "model_refusal", "c-9", "u-7")
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]


def test_a_streamed_openinference_output_may_be_the_event_stream(wire):
    one = only(wire(spans(span(openinference(**{"output.value": sse(chat_chunks("Put it ", "in."))})))))
    assert one.response == "Put it in."


def test_flattened_messages_serve_where_the_bodies_are_a_frameworks_own(wire):
    attributes = openinference(**{
        "input.value": json.dumps({"args": 1}), "output.value": json.dumps({"generations": []}),
        "llm.finish_reason": "length",
        "llm.input_messages.2.message.role": "user",
        "llm.input_messages.2.message.contents.0.message_content.type": "text",
        "llm.input_messages.2.message.contents.0.message_content.text": "And then?",
        "llm.input_messages.2.message.contents.1.message_content.type": "image",
    })  # fmt: skip
    one = only(wire(spans(span(attributes))))
    assert turns(one) == [("system", SYSTEM), ("user", ASKED), ("user", "And then?")]
    assert one.messages[2].omitted == ("image",)
    assert (one.response, one.finish) == (SAID, "length")


def test_hidden_content_stays_hidden_and_is_no_refusal(wire):
    attributes = {
        "openinference.span.kind": "LLM", "llm.model_name": "m", "input.value": "__REDACTED__",
        "output.value": "__REDACTED__",
    }  # fmt: skip
    one = only(wire(spans(span(attributes))))
    assert (one.prompt, one.response, one.finish) == ("__REDACTED__", "__REDACTED__", None)


def test_plain_prompts_and_completions(wire):
    attributes = {
        "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.prompts.0.prompt.text": ASKED,
        "llm.choices.0.completion.text": SAID,
    }  # fmt: skip
    one = only(wire(spans(span(attributes))))
    assert (one.prompt, one.response) == (ASKED, SAID)


def test_a_batch_holds_many_calls(wire):
    batch = spans(*(span(genai(), spanId=f"{number:016x}") for number in range(1, 50)))
    assert len({one.id for one in exchanges(wire(batch))}) == 49


def test_a_malformed_span_does_not_take_its_neighbours_along():
    batch = spans(
        span(genai()),
        span({}) | {"attributes": [{"key": 7}]},
        span({}) | {"attributes": "x"},
        span({}, endTimeUnixNano="x"),
    )
    with pytest.raises(PartlyDecodedError) as caught:
        found(batch)
    assert caught.value.detail.startswith("3 of 4 elements:")
    assert len(caught.value.exchanges) == 1


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ({"resourceSpans": 7}, "wrong-type"),
        ({"resourceSpans": [7]}, "wrong-type"),
        ({"resourceSpans": [{"scopeSpans": {}}]}, "wrong-type"),
        ({"resourceLogs": [{"scopeLogs": [{"logRecords": 1}]}]}, "wrong-type"),
    ],
)
def test_a_malformed_batch_says_where(batch, reason):
    assert fault(batch).reason == reason


def test_an_empty_batch_is_nothing():
    assert found({"resourceSpans": []}) == []


def test_protobuf_of_other_kinds_is_no_exchange():
    metrics = MetricsData()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add().name = "x"
    assert skipped(found(metrics.SerializeToString())) == {"not-a-model-call": 1}
    assert fault(b"\x0a\x02\xff\xff").reason == "wrong-type"
    assert fault(b"\x0a\x00").reason == "unknown-envelope"


def test_protobuf_is_bounded_like_everything_else():
    batch = protobuf(spans(*(span(genai(), spanId=f"{number:016x}") for number in range(1, 9))))
    assert fault(batch, limits=DecodeLimits(max_bytes=1024)).reason == "too-large"


def test_json_after_a_line_break_is_no_protobuf():
    text = json.dumps(spans(span(genai()))).encode()
    assert only(b"\n" + text).response == SAID
    assert only(b"\n\n" + text).response == SAID
