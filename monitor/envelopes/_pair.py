"""From a provider's request body and response body to exchanges, whoever carried them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes import _anthropic, _bedrock_body, _openai_stream, _responses
from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._fields import derived_id, expect, first, make
from monitor.envelopes._requests import Asked
from monitor.envelopes._sse import body_of, looks_like_stream
from monitor.envelopes._verdicts import azure_found, categories_of
from monitor.errors import DecodeError

MAX_ID: Final = 500
_READERS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], Reply]], ...]] = (
    (_openai_stream.replies, _openai_stream.reply),
    (_responses.replies, _responses.reply),
    (_anthropic.replies, _anthropic.reply),
    (_bedrock_body.replies, _bedrock_body.reply),
)


def reply_of(response: Any, where: str = "response", *, plain: bool = False) -> Reply:
    """The answers of a response body, by its shape.

    Args:
        response: a body, its chunks, or either as text (JSON or an event stream).
        where: how faults name it.
        plain: text that is neither is the answer itself.

    Raises:
        DecodeError: it has no shape that any provider uses, or holds an error in place of an answer.
    """
    if plain and isinstance(response, str) and not _is_encoded(response):
        return Reply([Answer(0, response, None)])
    body = body_of(response, where)
    first_event = next((one for one in body if isinstance(one, dict)), None) if isinstance(body, list) else body
    for replies, reply in _READERS:
        if replies(body):
            return reply(body)
    if isinstance(first_event, dict) and _error_in(first_event) is not None:
        return _failed(_error_in(first_event))
    if isinstance(body, list):
        # Chunks of nothing we know: the chat reader names what is missing.
        return _openai_stream.reply(body)
    return _openai_stream.reply(expect(body, dict, where))


def _is_encoded(text: str) -> bool:
    return text.lstrip()[:1] == "{" or looks_like_stream(text)


def _error_in(body: Mapping[str, Any]) -> Any:
    return body.get("error")


def _failed(error: Any) -> Reply:
    fields = error if isinstance(error, dict) else {}
    if _openai_stream.blocked_by(fields) is None:
        raise DecodeError("no-answer", "response.error: the call failed upstream, there is no answer to judge")
    inner = fields.get("innererror")
    # The documentation has the plural, the service the singular.
    names = ("content_filter_result", "content_filter_results")
    results = next((inner[name] for name in names if name in inner), None) if isinstance(inner, dict) else None
    return blocked_reply(results)


def blocked_reply(azure_results: Any = None) -> Reply:
    """The reply to a prompt that a filter stopped: it never reached the model.

    Args:
        azure_results: the `content_filter_result` of Azure's error, where there is one.
    """
    found, _ = azure_found(azure_results)
    source = "azure" if isinstance(azure_results, dict) else None
    answer = Answer(0, "", "content_filter", "provider_block", blocked=True)
    return Reply([answer], {}, source, categories_of(found), blocked=True)


def exchanges_of(common: Mapping[str, Any], asked: Asked, reply: Reply) -> list[Exchange]:
    """One exchange for each answer; those after the first get `#index` on their id.

    Args:
        common: what the envelope says: id, timestamp, deployment, model_digest, and where it knows better than the
            bodies, model, user, conversation, tenant; None stands for "ask the bodies".
        asked: the request.
        reply: its answers.

    Raises:
        DecodeError: a required field is in neither envelope nor bodies.
    """
    known = {name: value for name, value in common.items() if value is not None}
    fields = {
        "id": reply.head.get("id"),
        "timestamp": reply.head.get("created"),
        **asked.fields(),
        "model": first(reply.head.get("model"), asked.model),
        **known,
    }
    if fields.get("conversation") is None:
        fields["conversation"] = reply.head.get("conversation")
    return [_exchange(fields, reply, answer) for answer in reply.answers]


def _exchange(fields: Mapping[str, Any], reply: Reply, answer: Answer) -> Exchange:
    identifier = fields["id"]
    if isinstance(identifier, str):
        # LiteLLM packs its routing into the ids of responses; they may get longer than anybody would call an id.
        identifier = identifier if len(identifier) <= MAX_ID else derived_id(identifier)
        identifier = f"{identifier}#{answer.index}" if answer.index else identifier
    upstream = reply.upstream(answer)
    return make(
        {
            **fields,
            "id": identifier,
            "response": answer.text,
            "finish_reason": answer.finish_reason,
            "finish": answer.finish,
            "labels": {"upstream": upstream} if upstream is not None else fields.get("labels"),
        }
    )
