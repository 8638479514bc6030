"""Kong's AI plugins, as `kafka-log`, `http-log` and the other log plugins write them.

Field names follow `kong/llm/plugin/shared-filters/serialize-analytics.lua`, which writes `ai.proxy.payload`, and the
audit log reference, which shows the request in `ai.payload` and the response in `ai.<plugin>.payload`; both are read.
Request and response are JSON in strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from monitor.envelopes._answers import Reply
from monitor.envelopes._base import Context, Found, Skipped
from monitor.envelopes._fields import at, deployment_of, derived_id, digest_of, first, text_or_none
from monitor.envelopes._pair import blocked_reply, exchanges_of, reply_of
from monitor.envelopes._requests import asked_of
from monitor.envelopes._sse import body_of
from monitor.envelopes._verdicts import categories_of, severities_found

_MILLISECONDS: Final = 1000.0
_PROXIES: Final = ("proxy", "ai-proxy-advanced", "ai-proxy")


class KongDecoder:
    """A log entry with an `ai` object.

    The deployment is the configured default, else the model that was asked for. An entry without payloads
    (`logging.log_payloads` is off) is counted as `no-content`. A guardrail plugin's block reason makes the exchange a
    provider's block.
    """

    name = "kong"

    def why_not(self, obj: Any) -> str | None:
        """None when `ai` holds a plugin's report."""
        if not isinstance(obj, dict):
            return "not an object"
        ai = obj.get("ai")
        if not isinstance(ai, dict) or not any(isinstance(one, dict) for one in ai.values()):
            return "needs ai, an object of plugins' reports"
        return None

    def decode(self, obj: Any, context: Context) -> Sequence[Found]:
        """One exchange for each choice."""
        ai: Mapping[str, Any] = obj["ai"]
        payload, meta = _payload(ai)
        request = text_or_object(payload.get("request"))
        if request is None:
            return [Skipped("no-content")]
        asked = asked_of(body_of(request, "ai.proxy.payload.request"), "ai.proxy.payload.request")
        reply = _reply(ai, payload)
        if reply is None:
            return [Skipped("no-content")]
        model = first(text_or_none(meta.get("response_model")), text_or_none(meta.get("request_model")), asked.model)
        started = obj.get("started_at")
        seconds = (
            started / _MILLISECONDS if isinstance(started, int | float) and not isinstance(started, bool) else None
        )
        common = {
            "id": first(
                text_or_none(at(obj, "request", "id")),
                text_or_none(at(obj, "request", "headers", "x-kong-request-id")),
                text_or_none(reply.head.get("id")),
                derived_id(started, request, payload.get("response")),
            ),
            "timestamp": first(seconds, context.timestamp),
            "deployment": deployment_of({}, context, first(text_or_none(meta.get("request_model")), model)),
            "model_digest": digest_of({}, context),
            "model": model,
            "user": first(text_or_none(at(obj, "consumer", "username")), text_or_none(at(obj, "consumer", "id"))),
            "conversation": text_or_none(at(obj, "request", "headers", "x-session-id")),
        }
        return exchanges_of(common, asked, reply)


def text_or_object(value: Any) -> Any:
    """A payload as Kong writes it; None where there is none."""
    return value if isinstance(value, str | dict | list) and value else None


def _payload(ai: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Request and response payload, and the meta of the plugin that has the response.

    The proxy's report comes first: a transformer in front of it reports a model call of its own.
    """
    reports: list[Mapping[str, Any]] = [one for name in _PROXIES if isinstance(one := ai.get(name), dict)]
    reports += [ai, *(one for one in ai.values() if isinstance(one, dict))]
    found: dict[str, Any] = {}
    meta: Mapping[str, Any] = {}
    for report in reports:
        payload = report.get("payload")
        for side in ("request", "response"):
            value = payload.get(side) if isinstance(payload, dict) else None
            if value and side not in found:
                found[side] = value
        if not meta and isinstance(report.get("meta"), dict):
            meta = report["meta"]
    return found, meta


def _reply(ai: Mapping[str, Any], payload: Mapping[str, Any]) -> Reply | None:
    source, found = _audit(ai)
    response = text_or_object(payload.get("response"))
    if _blocked(ai):
        blocked = blocked_reply()
        return Reply(blocked.answers, {}, source or "kong-guardrail", categories_of(found), blocked=True)
    if response is None:
        return None
    reply = reply_of(response, "ai.proxy.payload.response", plain=True)
    if source is None:
        return reply
    return replace(reply, source=source, found=categories_of(found))


def _blocked(ai: Mapping[str, Any]) -> bool:
    reports = [ai, *(one for one in ai.values() if isinstance(one, dict))]
    inner = [one for report in reports for one in report.values() if isinstance(one, dict)]
    return any(
        text_or_none(one.get(name)) is not None
        for one in (*reports, *inner)
        for name in ("input_block_reason", "output_block_reason")
    )


def _audit(ai: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    levels = at(ai, "audit", "azure_content_safety")
    return ("azure", severities_found(levels)) if isinstance(levels, dict) else (None, [])
