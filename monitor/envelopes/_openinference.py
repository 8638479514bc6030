"""Model calls in OpenInference's conventions, which Envoy AI Gateway and Arize's instrumentations send.

Names follow `spec/semantic_conventions.md` and `spec/llm_spans.md`: flattened attributes, and the raw bodies in
`input.value` and `output.value`. The raw bodies come first, because the flattened messages leave out a structured
refusal. Hidden content is `__REDACTED__`, which the labelling stage calls unlabelable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._base import Context, Found, Skipped
from monitor.envelopes._fields import at, first, text_or_none
from monitor.envelopes._finish import normalise
from monitor.envelopes._genai import common_of, provider_of
from monitor.envelopes._messages import messages_of, text_of
from monitor.envelopes._openai_stream import tells_of_block
from monitor.envelopes._otlp import Signal
from monitor.envelopes._pair import blocked_reply, exchanges_of, reply_of
from monitor.envelopes._parse import parse_inner
from monitor.envelopes._requests import Asked, asked_of, asks
from monitor.envelopes._sse import looks_like_stream
from monitor.errors import DecodeError

KIND: Final = "openinference.span.kind"
_TURN: Final = re.compile(
    r"llm\.(input|output)_messages\.(\d{1,4})\.message\."
    r"(?:(role|content)|contents\.(\d{1,4})\.message_content\.(type|text)|(tool_calls)\..*)"
)


def is_openinference(signal: Signal) -> bool:
    """Whether a span is told in these conventions."""
    return not signal.log and KIND in signal.attributes


def is_model_call(signal: Signal) -> bool:
    """Whether it reports one call of a model (chains, agents, tools and retrievers repeat what such calls hold)."""
    return signal.attributes.get(KIND) == "LLM"


def decode(signal: Signal, context: Context) -> Sequence[Found]:
    """The exchanges of one model call.

    Raises:
        DecodeError: its content is malformed, or the call failed.
    """
    attributes = signal.attributes
    flat = _flattened(attributes)
    asked = _asked(attributes, flat["input"])
    reply = _reply(attributes, flat["output"])
    if asked is not None and reply is None and signal.failed and tells_of_block(signal.fault):
        reply = blocked_reply()
    if asked is None or reply is None:
        if signal.failed:
            raise DecodeError("no-answer", "status: the call failed, there is no answer to judge")
        return [Skipped("no-content")]
    # `llm.model_name` names the model that answered, by its version; deployments go by what was asked for.
    model = first(asked.model, text_or_none(at(_json(attributes.get("llm.invocation_parameters")), "model")))
    return exchanges_of(common_of(signal, context, model), asked, reply)


def _asked(attributes: Mapping[str, Any], turns: list[dict[str, Any]]) -> Asked | None:
    value = attributes.get("input.value")
    body = _json(value)
    if asks(body):
        return asked_of(body, "input.value")
    if turns:
        return Asked(messages_of(turns, "llm.input_messages"))
    prompt = text_or_none(attributes.get("llm.prompts.0.prompt.text")) or text_or_none(value)
    return Asked(None, prompt) if prompt is not None else None


def _reply(attributes: Mapping[str, Any], turns: list[dict[str, Any]]) -> Reply | None:
    value = attributes.get("output.value")
    if isinstance(value, str) and looks_like_stream(value):
        return reply_of(value, "output.value")
    body = _json(value)
    if isinstance(body, dict | list) and body:
        try:
            return reply_of(body, "output.value")
        except DecodeError:
            # Instrumentations of frameworks write bodies of their own; the flattened messages are the same everywhere.
            if not turns:
                raise
    reason = text_or_none(attributes.get("llm.finish_reason"))
    finish = normalise(reason, provider_of(attributes))
    if turns:
        texts = [text_of(turn.get("content"), "llm.output_messages") for turn in turns]
        calls = [turn.get("tool_calls") is not None for turn in turns]
        return Reply([
            Answer(index, text, reason, "tool" if call and not text and finish in {None, "natural"} else finish)
            for index, (text, call) in enumerate(zip(texts, calls, strict=True))
        ])  # fmt: skip
    text = text_or_none(attributes.get("llm.choices.0.completion.text")) or text_or_none(value)
    return Reply([Answer(0, text, reason, finish)]) if text is not None else None


def _json(value: Any) -> Any:
    """The JSON in an attribute's text; None where it is plain text (or was cut, which looks the same)."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return parse_inner(value)
    except DecodeError:
        return None


def _flattened(attributes: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Turns of both sides, put together from numbered attributes."""
    sides: dict[str, dict[int, dict[str, Any]]] = {"input": {}, "output": {}}
    for name, value in attributes.items():
        if not name.startswith("llm."):
            continue
        found = _TURN.fullmatch(name)
        if found is None:
            continue
        side, number, key, part, part_key, calls = found.groups()
        turn = sides[side].setdefault(int(number), {"role": "user" if side == "input" else "assistant"})
        if key is not None:
            turn[key] = value
        elif calls is not None:
            turn["tool_calls"] = True
        else:
            turn.setdefault("numbered", {}).setdefault(int(part), {})[part_key] = value
    for turns in sides.values():
        for turn in turns.values():
            parts = turn.pop("numbered", {})
            if parts and "content" not in turn:
                turn["content"] = [part for _, part in sorted(parts.items())]
    return {side: [turn for _, turn in sorted(turns.items())] for side, turns in sides.items()}
