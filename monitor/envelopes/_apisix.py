"""Apache APISIX: what `kafka-logger` and `http-logger` write for a route with the `ai-proxy` plugin.

Field names follow `apisix/plugins/ai-proxy/base.lua` and `apisix/utils/log-util.lua`: the normal log entry, and with
`logging.payloads` `llm_request` and `llm_response_text`. The answer is one joined text without a finish reason, so that
a truncated answer, a tool call and a structured refusal can't be told apart from a plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._base import Context, Found, Skipped
from monitor.envelopes._fields import at, deployment_of, derived_id, digest_of, first, text_or_none
from monitor.envelopes._messages import text_of
from monitor.envelopes._pair import exchanges_of
from monitor.envelopes._requests import asked_of
from monitor.envelopes._sse import body_of
from monitor.errors import DecodeError

_MILLISECONDS = 1000.0


class ApisixDecoder:
    """A log entry with what the language model was asked and said.

    The deployment is the configured default, else the model that was asked for. An entry with the summary alone (the
    gateway does not log payloads) is counted as `no-content`.
    """

    name = "apisix"

    def why_not(self, obj: Any) -> str | None:
        """None when an llm field is there."""
        if not isinstance(obj, dict):
            return "not an object"
        found = {"llm_request", "llm_response_text", "llm_summary"} & obj.keys()
        return None if found else "needs llm_request, llm_response_text or llm_summary"

    def decode(self, obj: Any, context: Context) -> Sequence[Found]:
        """One exchange."""
        if obj.get("llm_request") is None and obj.get("llm_response_text") is None:
            return [Skipped("no-content")]
        asked = asked_of(body_of(obj.get("llm_request"), "llm_request"), "llm_request")
        content = obj.get("llm_response_text")
        if content is None:
            raise DecodeError("no-answer", "llm_response_text: the gateway logged no answer")
        text = text_of(content.get("content") if isinstance(content, dict) else content, "llm_response_text")
        summary = obj.get("llm_summary")
        model = first(text_or_none(at(summary, "model")), asked.model)
        started = obj.get("start_time")
        seconds = (
            started / _MILLISECONDS if isinstance(started, int | float) and not isinstance(started, bool) else None
        )
        request_id = first(
            text_or_none(at(obj, "request", "headers", "x-request-id")),
            text_or_none(at(obj, "response", "headers", "x-request-id")),
        )
        common = {
            "id": request_id or derived_id(started, obj.get("llm_request"), content),
            "timestamp": first(seconds, context.timestamp),
            "deployment": deployment_of({}, context, first(text_or_none(at(summary, "request_model")), model)),
            "model_digest": digest_of({}, context),
            "model": model,
            "user": text_or_none(at(summary, "end_user_id")),
        }
        return exchanges_of(common, asked, Reply([Answer(0, text, None)]))
