"""Records as each gateway writes them, made anew from its field list; every text is ours and mild."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from exchanges import EPOCH
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

ASKED = "How do I boil an egg?"
SAID = "Put it in boiling water for eight minutes."
SYSTEM = "You are a cook."
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
NANOS = str(int(EPOCH * 1e9))


def chat_request(**changes: Any) -> dict[str, Any]:
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASKED}]
    return {"model": "gpt-oss-20b", "messages": turns} | changes


def chat_response(text: str | None = SAID, reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": int(EPOCH), "model": "gpt-oss-20b-0901",
        "choices": [
            {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text, **message}}
        ],
    }  # fmt: skip


def chat_chunks(*texts: str, reason: str = "stop") -> list[dict[str, Any]]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": int(EPOCH), "model": "gpt-oss-20b"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    return [*chunks, {**head, "choices": [], "usage": {"total_tokens": 9}}]


def sse(events: Sequence[Any], *, named: bool = False) -> str:
    lines = []
    for event in events:
        lines += [f"event: {event['type']}"] if named else []
        lines += [f"data: {json.dumps(event)}", ""]
    return "\n".join([*lines, "data: [DONE]", "", ""])


def anthropic_request(**changes: Any) -> dict[str, Any]:
    turn = {"role": "user", "content": [{"type": "text", "text": ASKED}]}
    return {"model": "claude-x", "max_tokens": 100, "system": SYSTEM, "messages": [turn]} | changes


def anthropic_message(text: str = SAID, reason: str = "end_turn", **changes: Any) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-1",
        "content": [{"type": "text", "text": text}], "stop_reason": reason, "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 9},
    } | changes  # fmt: skip


def responses_body(*content: dict[str, Any], status: str = "completed", **changes: Any) -> dict[str, Any]:
    parts = list(content) or [{"type": "output_text", "text": SAID, "annotations": []}]
    message = {"type": "message", "id": "m_1", "role": "assistant", "status": "completed", "content": parts}
    return {
        "id": "resp_1", "object": "response", "created_at": EPOCH, "model": "gpt-oss-20b", "status": status,
        "output": [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}, message],
    } | changes  # fmt: skip


def litellm(**changes: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "trace_id": "t-1", "call_type": "acompletion", "stream": True, "status": "success",
        "custom_llm_provider": "openai", "startTime": EPOCH - 2, "endTime": EPOCH, "model": "gpt-oss-20b",
        "model_group": "chat-prod", "model_id": "", "end_user": "u-7", "request_tags": [],
        "metadata": {"user_api_key_team_id": "acme", "applied_guardrails": []},
        "messages": chat_request()["messages"], "response": chat_response(),
        "hidden_params": {"litellm_model_name": "gpt-oss-20b"}, "error_str": None,
    } | changes  # fmt: skip


def apisix(**changes: Any) -> dict[str, Any]:
    return {
        "client_ip": "10.0.0.1", "route_id": "1", "start_time": int(EPOCH * 1000), "latency": 640.2,
        "request": {"method": "POST", "uri": "/v1/chat", "headers": {"x-request-id": "r-1"}},
        "response": {"status": 200, "headers": {}},
        "llm_summary": {"request_model": "gpt-oss-20b", "model": "gpt-oss-20b-0901", "duration": 631, "stream": "true",
                        "end_user_id": "u-7"},
        "llm_request": {**chat_request(), "stream": True}, "llm_response_text": {"content": SAID},
    } | changes  # fmt: skip


def kong(request: Any = None, response: Any = None, *, documented: bool = False, **report: Any) -> dict[str, Any]:
    payload = {
        "request": json.dumps(chat_request() if request is None else request),
        "response": json.dumps(chat_response() if response is None else response),
    }
    meta = {"request_model": "command", "response_model": "command-r", "provider_name": "cohere", "plugin_id": "546c"}
    proxy = {"usage": {"total_tokens": 35}, "meta": meta, **report}
    ai: dict[str, Any] = {"proxy": {"payload": payload, **proxy}}
    if documented:
        said = {"payload": {"response": payload["response"]}, **proxy}
        own = {
            "meta": {"request_model": "other"},
            "payload": {"response": json.dumps(chat_response("Of a transformer."))},
        }
        ai = {"payload": {"request": payload["request"]}, "ai-request-transformer": own, "ai-proxy": said}
    return {
        "ai": ai, "request": {"id": "r-1", "headers": {}}, "response": {"status": 200},
        "started_at": int(EPOCH * 1000),
    }  # fmt: skip


def bedrock_log(request: Any = None, response: Any = None, **changes: Any) -> dict[str, Any]:
    asked = {"system": [{"text": SYSTEM}], "messages": [{"role": "user", "content": [{"text": ASKED}]}]}
    said = {"output": {"message": {"role": "assistant", "content": [{"text": SAID}]}}, "stopReason": "end_turn"}
    return {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-11-23T10:00:00Z",
        "accountId": "1", "region": "eu-west-1", "requestId": "r-1", "operation": "Converse", "modelId": "nova-x",
        "input": {"inputContentType": "application/json", "inputBodyJson": asked if request is None else request},
        "output": {"outputContentType": "application/json", "outputBodyJson": said if response is None else response},
    } | changes  # fmt: skip


def any_value(value: Any) -> dict[str, Any]:
    """A value as OTLP's JSON writes it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": any_value(one)} for key, one in value.items()]}}
    return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def span(attributes: dict[str, Any], name: str = "chat gpt-oss-20b", **changes: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE.upper(), "spanId": SPAN, "name": name, "kind": 3, "startTimeUnixNano": NANOS,
        "endTimeUnixNano": NANOS, "attributes": pairs(attributes), "status": {},
    } | changes  # fmt: skip


def log_record(name: str, attributes: dict[str, Any], body: Any = None, **changes: Any) -> dict[str, Any]:
    record = {
        "timeUnixNano": NANOS, "eventName": name, "traceId": TRACE, "spanId": SPAN, "attributes": pairs(attributes),
    }  # fmt: skip
    return record | ({"body": any_value(body)} if body is not None else {}) | changes


def spans(*items: dict[str, Any], resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": pairs(resource or {"service.name": "gateway"})},
                "scopeSpans": [{"spans": list(items)}],
            }
        ]
    }


def logs(*items: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"logRecords": list(items)}]}]}


def protobuf(batch: dict[str, Any]) -> bytes:
    """The same batch as protobuf; ids are bytes there, which protobuf's own JSON writes in base64."""
    copied = json.loads(json.dumps(batch))
    for outer in ("resourceSpans", "resourceLogs"):
        for group in copied.get(outer, []):
            for scope in group.get("scopeSpans", []) + group.get("scopeLogs", []):
                for one in scope.get("spans", []) + scope.get("logRecords", []):
                    for name in ("traceId", "spanId"):
                        if name in one:
                            one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
    message = TracesData() if "resourceSpans" in batch else LogsData()
    return bytes(ParseDict(copied, message).SerializeToString())


def genai(**changes: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-oss-20b",
        "gen_ai.response.model": "gpt-oss-20b-0901", "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "c-9", "gen_ai.usage.output_tokens": 9,
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": ASKED}]}]),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": SAID}], "finish_reason": "stop"}]
        ),
    } | changes  # fmt: skip


def openinference(**changes: Any) -> dict[str, Any]:
    return {
        "openinference.span.kind": "LLM", "llm.model_name": "gpt-oss-20b", "llm.system": "openai",
        "session.id": "c-9", "user.id": "u-7",
        "input.value": json.dumps(chat_request()), "input.mime_type": "application/json",
        "output.value": json.dumps(chat_response()), "output.mime_type": "application/json",
        "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": SYSTEM,
        "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": ASKED,
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": SAID,
    } | changes  # fmt: skip


def kserve_headers(side: str, identifier: str = "r-1", **changes: str) -> tuple[tuple[str, bytes], ...]:
    attributes = {
        "specversion": "1.0", "type": f"org.kubeflow.serving.inference.{side}", "id": identifier,
        "source": "http://localhost:9081/", "inferenceservicename": "llama", "namespace": "default",
        "endpoint": "", "time": "2026-11-23T10:00:00Z",
    } | changes  # fmt: skip
    return (("content-type", b"application/json"), *((f"ce_{k}", v.encode()) for k, v in attributes.items()))
