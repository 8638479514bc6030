"""LiteLLM's standard logging payload, as its generic API, SQS, S3 and GCS loggers write it.

Field names follow `litellm/types/utils.py` (`StandardLoggingPayload`). One record is a pair; streams arrive assembled;
with message logging off both texts are `redacted-by-litellm`, which the labelling stage calls unlabelable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._base import Context, Found, Skipped
from monitor.envelopes._fields import among, at, deployment_of, digest_of, first, text_or_none
from monitor.envelopes._messages import text_of
from monitor.envelopes._openai_stream import blocked_by
from monitor.envelopes._pair import blocked_reply, exchanges_of, reply_of
from monitor.envelopes._requests import Asked, asked_of
from monitor.errors import DecodeError

MARKS: Final = frozenset({
    "call_type", "hidden_params", "custom_llm_provider", "litellm_call_id", "model_map_information", "status_fields",
})  # fmt: skip
_ENOUGH: Final = 2
_BLOCKED_STATUS: Final = frozenset({"guardrail_intervened", "blocked"})


class LiteLLMDecoder:
    """A standard logging payload.

    The deployment is `metadata.alignwatch_deployment` where requests carry it, else the configured default, else the
    model group (the name that callers use), else the model.
    """

    name = "litellm"

    def why_not(self, obj: Any) -> str | None:
        """None when messages and response stand beside LiteLLM's own fields."""
        if not isinstance(obj, dict):
            return "not an object"
        if "messages" not in obj or "response" not in obj:
            return "needs messages and response"
        if len(MARKS & obj.keys()) < _ENOUGH:
            return f"needs at least {_ENOUGH} of {', '.join(sorted(MARKS))}"
        return None

    def decode(self, obj: Any, context: Context) -> Sequence[Found]:
        """One exchange for each choice."""
        metadata = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else {}
        model = text_or_none(obj.get("model_group")) or text_or_none(obj.get("model"))
        named = {"deployment": text_or_none(_requester(metadata, "alignwatch_deployment"))}
        common = {
            "id": first(text_or_none(obj.get("id")), text_or_none(obj.get("litellm_call_id"))),
            "timestamp": first(obj.get("endTime"), obj.get("startTime"), context.timestamp),
            "deployment": deployment_of(named, context, model),
            "model_digest": digest_of({"model_digest": _requester(metadata, "alignwatch_model_digest")}, context),
            "model": text_or_none(obj.get("model")),
            "user": text_or_none(obj.get("end_user")) or text_or_none(metadata.get("user_api_key_end_user_id")),
            "tenant": text_or_none(metadata.get("user_api_key_team_id")),
            "conversation": text_or_none(_requester(metadata, "session_id")) or _session(obj),
        }
        found: list[Found] = [*exchanges_of(common, _asked(obj), reply := _reply(obj))]
        # Of a streamed answer LiteLLM keeps the content alone: a structured refusal is left without a text.
        wordless = sum(not one.text and one.finish == "natural" for one in reply.answers) if obj.get("stream") else 0
        return [*found, Skipped("refusal-suspected", wordless)] if wordless else found


def _requester(metadata: Mapping[str, Any], name: str) -> Any:
    """What a caller put into the request's metadata, wherever LiteLLM keeps it."""
    return first(metadata.get(name), at(metadata, "requester_metadata", name))


def _session(obj: Mapping[str, Any]) -> str | None:
    """The trace id groups the calls of a session, but is the call's own id where nobody set one."""
    trace = text_or_none(obj.get("trace_id"))
    return trace if trace not in (obj.get("id"), obj.get("litellm_call_id"), obj.get("call_id")) else None


def _asked(obj: Mapping[str, Any]) -> Asked:
    messages = obj["messages"]
    parameters = obj.get("model_parameters")
    if isinstance(messages, str):
        return Asked([{"role": "user", "content": messages}])
    if isinstance(messages, dict):
        # The Responses and Anthropic routes log the request body itself.
        return asked_of(messages if "messages" in messages or "input" in messages else {"messages": [messages]}, "")
    instructions = at(parameters, "instructions") or at(parameters, "system")
    asked = asked_of({"messages": messages}, "litellm")
    if instructions and asked.messages is not None:
        system = {"role": "system", "content": text_of(instructions, "model_parameters.system")}
        return Asked([system, *asked.messages])
    return asked


def _reply(obj: Mapping[str, Any]) -> Reply:
    response = obj["response"]
    if obj.get("status") == "failure" or response in (None, {}, ""):
        return _failure(obj)
    if isinstance(response, dict) and set(response) == {"text"}:
        # What is left of any response when texts are redacted.
        return Reply([Answer(0, text_of(response, "response"), None)])
    reply = reply_of(response, plain=True)
    if among(at(obj, "status_fields", "guardrail_status"), _BLOCKED_STATUS):
        answers = [replace(one, finish="provider_block", blocked=True) for one in reply.answers]
        return replace(reply, answers=answers, source=reply.source or "litellm-guardrail", blocked=True)
    return reply


def _failure(obj: Mapping[str, Any]) -> Reply:
    error = obj.get("error_information")
    blocked = isinstance(error, dict) and blocked_by(error) is not None
    guardrail = among(at(obj, "status_fields", "guardrail_status"), _BLOCKED_STATUS)
    if not blocked and not guardrail:
        raise DecodeError("no-answer", "status: the call failed upstream, there is no answer to judge")
    return blocked_reply()
