"""A provider's request body beside its response body: whole, in chunks, or the error that came instead.

    {"request": {"model": ..., "messages": [...]}, "response": {"id": ..., "choices": [...]}, "deployment": ...}

What a home-made tap writes most easily. One decoder for each API, told apart by the bodies; field names follow
openai-python v3 and anthropic-sdk-python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes import _anthropic, _bedrock_body, _responses
from monitor.envelopes._base import Context
from monitor.envelopes._fields import deployment_of, digest_of, first
from monitor.envelopes._pair import exchanges_of, reply_of
from monitor.envelopes._requests import asked_of
from monitor.envelopes._sse import looks_like_stream

ID_HEADERS: Final = ("x-request-id",)
CONVERSATION_HEADERS: Final = ("agent-session-id", "x-session-id")


def common_of(obj: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What the envelope says besides the bodies; the transport's id and time come last, in `with_transport`."""
    return {
        "id": obj.get("id"),
        "timestamp": obj.get("timestamp"),
        "deployment": deployment_of(obj, context),
        "model_digest": digest_of(obj, context),
        "conversation": obj.get("conversation") or context.header(CONVERSATION_HEADERS),
        "user": obj.get("user"),
        "tenant": obj.get("tenant"),
    }


class _PairDecoder:
    """`{"request": ..., "response": ...}` with the bodies of one call.

    - Every choice is an exchange; choices after the first get `#index` on their id.
    - A structured refusal is the model's own: its text is the answer and `finish` says `model_refusal`; where the raw
      reason was `stop` it becomes `refusal`.
    - A filter's block, as a finish reason or as the error that replaced the answer, makes `finish` `provider_block`:
      the label's origin becomes `provider`, a series of its own.
    - Id and time: the envelope's own `id` and `timestamp`, else the response's, else the `x-request-id` header and the
      transport's time.
    """

    name = "pair"

    def decode(self, obj: Any, context: Context) -> list[Exchange]:
        """One exchange for each choice."""
        asked = asked_of(obj["request"], "request")
        reply = reply_of(obj["response"])
        common = common_of(obj, context)
        common["id"] = first(obj.get("id"), reply.head.get("id"), context.header(ID_HEADERS))
        common["timestamp"] = first(obj.get("timestamp"), reply.head.get("created"), context.timestamp)
        return exchanges_of(common, asked, reply)


class OpenAIChatDecoder(_PairDecoder):
    """Chat completions, and the older completions with a `prompt`."""

    name = "openai-chat"

    def why_not(self, obj: Any) -> str | None:
        """None when there is a request with messages, or with a prompt and choices, and a response beside it."""
        if not isinstance(obj, dict):
            return "not an object"
        request = obj.get("request")
        if not isinstance(request, dict):
            return "needs request.messages"
        if "messages" not in request and not ("prompt" in request and _starts(obj.get("response"), "choices")):
            return "needs request.messages"
        return None if "response" in obj else "needs response beside request"


class ResponsesDecoder(_PairDecoder):
    """OpenAI's Responses API."""

    name = "openai-responses"

    def why_not(self, obj: Any) -> str | None:
        """None when there is a request with input and a response beside it."""
        if not isinstance(obj, dict):
            return "not an object"
        request = obj.get("request")
        if not isinstance(request, dict) or "input" not in request:
            return "needs request.input"
        return None if "response" in obj else "needs response beside request"


class AnthropicDecoder(_PairDecoder):
    """Anthropic's Messages API."""

    name = "anthropic-messages"

    def why_not(self, obj: Any) -> str | None:
        """None when there is a request with messages and a message, or the stream of one, beside it."""
        if not isinstance(obj, dict):
            return "not an object"
        request, response = obj.get("request"), obj.get("response")
        if not isinstance(request, dict) or "messages" not in request:
            return "needs request.messages"
        if isinstance(response, str):
            found = looks_like_stream(response) and "message_start" in response[:400]
        else:
            found = _anthropic.replies(response)
        return None if found else "response is no message with content and stop_reason"


class BedrockPairDecoder(_PairDecoder):
    """Amazon Bedrock's Converse, and the native bodies of InvokeModel."""

    name = "bedrock-body"

    def why_not(self, obj: Any) -> str | None:
        """None when a Bedrock response lies beside a request."""
        if not isinstance(obj, dict):
            return "not an object"
        if not isinstance(obj.get("request"), dict):
            return "needs request"
        response = obj.get("response")
        found = _bedrock_body.replies(response) and not _responses.replies(response)
        return None if found else "response has neither output.message nor a native body's text"


def _starts(response: Any, name: str) -> bool:
    if isinstance(response, str):
        return f'"{name}"' in response[:2000]
    body = response[0] if isinstance(response, list) and response else response
    return isinstance(body, dict) and name in body
