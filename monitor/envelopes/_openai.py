"""An OpenAI chat request beside its response: a completion, its streamed chunks, or the error that came instead.

    {"request": {"model": ..., "messages": [...]}, "response": {"id": ..., "choices": [...]}, "deployment": ...}

Field names follow openai-python v3 (`types/chat/chat_completion.py`, `chat_completion_chunk.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._base import Context
from monitor.envelopes._fields import deployment_of, digest_of, expect, make, messages_of
from monitor.envelopes._openai_stream import Answer, answers_of, chunks_of_sse
from monitor.errors import DecodeError

ID_HEADERS: Final = ("x-request-id",)
CONVERSATION_HEADERS: Final = ("agent-session-id", "x-session-id")
BLOCKED: Final = "content_filter"
"""Both OpenAI's finish reason and Azure's error code for "a provider's filter stopped this"."""


class OpenAIChatDecoder:
    """`{"request": ..., "response": ...}` with the bodies of one `/v1/chat/completions` call.

    - Every choice is an exchange; choices after the first get `#index` on their id.
    - `message.refusal` is the model's own refusal: its text is the answer, and `finish_reason` becomes `refusal` where
      it was `stop`, so that the mark survives.
    - `content_filter`, as a finish reason or as the error that replaced the answer (Azure, HTTP 400), stays in
      `finish_reason`: the label's origin becomes `provider`, a series of its own.
    - Id and time: the envelope's own `id` and `timestamp`, else the response's `id` and `created`, else the
      `x-request-id` header and the transport's time.
    """

    name = "openai-chat"

    def why_not(self, obj: Any) -> str | None:
        """None when there is a request with messages and a response beside it."""
        if not isinstance(obj, dict):
            return "not an object"
        request = obj.get("request")
        if not isinstance(request, dict) or "messages" not in request:
            return "needs request.messages"
        return None if "response" in obj else "needs response beside request"

    def decode(self, obj: Any, context: Context) -> list[Exchange]:
        """One exchange for each choice."""
        request: Mapping[str, Any] = obj["request"]
        body = _body(obj["response"])
        common = {
            "deployment": deployment_of(obj, context),
            "model_digest": digest_of(obj, context),
            "conversation": obj.get("conversation") or context.header(CONVERSATION_HEADERS),
            "user": obj.get("user") or request.get("user") or request.get("safety_identifier"),
            "tenant": obj.get("tenant"),
            "messages": messages_of(request["messages"], "request.messages"),
        }
        head: Mapping[str, Any] = {}
        if isinstance(body, dict) and body.get("error") is not None:
            answers = [_blocked(body["error"])]
        else:
            answers, head = answers_of(body)
        common |= {
            "id": obj.get("id") or head.get("id") or context.header(ID_HEADERS),
            "timestamp": _first(obj.get("timestamp"), head.get("created"), context.timestamp),
            "model": head.get("model") or request.get("model"),
        }
        return [_exchange(common, answer) for answer in answers]


def _body(response: Any) -> Any:
    """A completion object, or a list of chunks; the text of an event stream is read into chunks."""
    if isinstance(response, str):
        return chunks_of_sse(response)
    if isinstance(response, dict | list):
        return response
    return expect(response, dict, "response")


def _blocked(error: Any) -> Answer:
    fields = error if isinstance(error, dict) else {}
    inner = fields.get("innererror")
    codes = {fields.get("code"), fields.get("type"), inner.get("code") if isinstance(inner, dict) else None}
    if codes & {BLOCKED, "ResponsibleAIPolicyViolation", "content_policy_violation"}:
        return Answer(index=0, text="", finish_reason=BLOCKED)
    raise DecodeError("no-answer", "response.error: the call failed upstream, there is no answer to judge")


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _exchange(common: Mapping[str, Any], answer: Answer) -> Exchange:
    identifier = common["id"]
    if answer.index and isinstance(identifier, str):
        identifier = f"{identifier}#{answer.index}"
    return make({**common, "id": identifier, "response": answer.text, "finish_reason": answer.finish_reason})
