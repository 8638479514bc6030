"""Model calls in OpenTelemetry's GenAI conventions: spans, their events, and log records.

Newest names first (semantic-conventions-genai: `gen_ai.input.messages`, `gen_ai.output.messages`, the event
`gen_ai.client.inference.operation.details`), then what instrumentations of 2024 and 2025 still send: one event for each
message (`gen_ai.user.message`, `gen_ai.choice`) and numbered attributes (`gen_ai.prompt.0.content`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._base import Context, Found, Skipped
from monitor.envelopes._fields import at, deployment_of, derived_id, digest_of, first, text_or_none
from monitor.envelopes._finish import normalise
from monitor.envelopes._messages import content_of, messages_of
from monitor.envelopes._openai_stream import MAX_CHOICES, tells_of_block
from monitor.envelopes._otlp import Signal
from monitor.envelopes._pair import blocked_reply, exchanges_of
from monitor.envelopes._parse import parse_inner
from monitor.envelopes._requests import Asked
from monitor.errors import DecodeError

OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content"})
"""Other operations (embeddings, invoke_agent, execute_tool) are no model answering a prompt, or repeat one that is."""
MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}  # fmt: skip
CHOICE_EVENT: Final = "gen_ai.choice"
DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
_CONTENT_EVENTS: Final = ("gen_ai.content.prompt", "gen_ai.content.completion")
_NUMBERED: Final = re.compile(r"gen_ai\.(prompt|completion)\.(\d{1,4})\.(role|content|finish_reason)")


def is_model_call(signal: Signal) -> bool:
    """Whether a span or event reports one call of a model that answers prompts."""
    if signal.log and signal.name != DETAILS_EVENT:
        return False
    operation = signal.attributes.get("gen_ai.operation.name")
    if isinstance(operation, str):
        return operation in OPERATIONS
    known = ("gen_ai.request.model", "gen_ai.system", "gen_ai.provider.name")
    return signal.name == DETAILS_EVENT or any(name in signal.attributes for name in known)


def decode(signal: Signal, context: Context) -> Sequence[Found]:
    """The exchanges of one model call.

    Raises:
        DecodeError: its content is malformed, or the call failed.
    """
    attributes = signal.attributes
    asked, answers = _read(signal)
    if asked is not None and not answers and tells_of_block(signal.fault):
        return exchanges_of(common_of(signal, context), asked, blocked_reply())
    if asked is None or not answers:
        if signal.failed or "error.type" in attributes:
            raise DecodeError("no-answer", "status: the call failed, there is no answer to judge")
        return [Skipped("no-content")]
    found: list[Found] = [*exchanges_of(common_of(signal, context), asked, Reply(answers))]
    # Envoy AI Gateway's `gen_ai` mode drops the structured refusal field: something was said that is not here.
    wordless = sum(not one.text and one.finish == "natural" for one in answers)
    if wordless and _spoke(attributes):
        found.append(Skipped("refusal-suspected", wordless))
    return found


def _read(signal: Signal) -> tuple[Asked | None, list[Answer]]:
    """Prompt and answers wherever this instrumentation puts them; the prompt alone where there is no answer."""
    prompt: Asked | None = None
    for asked, answers in (_structured(signal), _numbered(signal.attributes), from_events(signal.events)):
        if asked is not None and answers:
            return asked, answers
        prompt = first(prompt, asked)
    reasons = signal.attributes.get("gen_ai.response.finish_reasons")
    if isinstance(reasons, list) and signal.attributes.get("gen_ai.output.messages") and _spoke(signal.attributes):
        # OpenLLMetry writes an empty list for the Responses API's refusal.
        return prompt, [_answer({}, index, one, None) for index, one in enumerate(reasons[:MAX_CHOICES])]
    return prompt, []


def _spoke(attributes: Mapping[str, Any]) -> bool:
    tokens = attributes.get("gen_ai.usage.output_tokens")
    return isinstance(tokens, int | float) and tokens > 0


def common_of(signal: Signal, context: Context, asked: str | None = None) -> dict[str, Any]:
    """Who, when and what model, by the names of GenAI and OpenInference alike.

    Args:
        signal: the span or event.
        context: of its record.
        asked: the model that was asked for, where only the request's body says.
    """
    get = {**signal.resource, **signal.attributes}.get
    names = ("gen_ai.request.model", "llm.request.model_name")
    asked_model = first(*(text_or_none(get(name)) for name in names), asked)
    model = first(
        text_or_none(get("gen_ai.response.model")), text_or_none(get("llm.response.model_name")),
        text_or_none(get("llm.model_name")), asked_model,
    )  # fmt: skip
    identifier = f"{signal.trace}-{signal.span}" if signal.trace and signal.span else None
    return {
        "id": first(
            identifier,
            text_or_none(get("gen_ai.response.id")),
            derived_id(signal.time, get("gen_ai.input.messages"), get("gen_ai.output.messages")),
        ),
        "timestamp": first(signal.time, context.timestamp),
        "deployment": deployment_of({"deployment": get("alignwatch.deployment")}, context, first(asked_model, model)),
        "model_digest": digest_of({"model_digest": get("alignwatch.model_digest")}, context),
        "model": model,
        "conversation": first(text_or_none(get("gen_ai.conversation.id")), text_or_none(get("session.id"))),
        "user": first(text_or_none(get("user.id")), text_or_none(get("enduser.id"))),
    }


def _structured(signal: Signal) -> tuple[Asked | None, list[Answer] | None]:
    attributes = signal.attributes
    asked, said = attributes.get("gen_ai.input.messages"), attributes.get("gen_ai.output.messages")
    if asked is None:
        return None, None
    messages = messages_of(_value(asked, "gen_ai.input.messages"), "gen_ai.input.messages")
    system = attributes.get("gen_ai.system_instructions")
    if system is not None:
        text, _ = content_of(_value(system, "gen_ai.system_instructions"), "gen_ai.system_instructions")
        messages = [{"role": "system", "content": text}, *messages]
    if said is None:
        return Asked(messages), None
    outputs = _value(said, "gen_ai.output.messages")
    reasons = attributes.get("gen_ai.response.finish_reasons")
    answers = [
        _answer(one, index, _nth(reasons, index), provider_of(attributes))
        for index, one in enumerate(outputs if isinstance(outputs, list) else [])
    ]
    return Asked(messages), answers


def _answer(one: Any, index: int, reason: Any, provider: str | None) -> Answer:
    fields = one if isinstance(one, dict) else {}
    content = first(fields.get("parts"), fields.get("content"))
    text, omitted = content_of(content, f"gen_ai.output.messages[{index}].parts")
    raw = text_or_none(first(fields.get("finish_reason"), reason))
    finish = normalise(raw, provider)
    if not text and "tool_call" in omitted and finish in {None, "natural"}:
        finish = "tool"
    if finish in {None, "natural"} and isinstance(content, list) and any(at(p, "type") == "refusal" for p in content):
        finish = "model_refusal"
    return Answer(index, text, raw, finish)


def provider_of(attributes: Mapping[str, Any]) -> str | None:
    """The provider's name, newest attribute first."""
    names = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
    return next((value for name in names if (value := text_or_none(attributes.get(name)))), None)


def _value(value: Any, where: str) -> Any:
    """Structured on events; on spans it may be JSON in a string."""
    if not isinstance(value, str):
        return value
    try:
        return parse_inner(value)
    except DecodeError as error:
        raise DecodeError(error.reason, f"{where}: {error.detail} (cut by an attribute length limit?)") from None


def _nth(values: Any, index: int) -> Any:
    return values[index] if isinstance(values, list) and index < len(values) else None


def _numbered(attributes: Mapping[str, Any]) -> tuple[Asked | None, list[Answer] | None]:
    turns: dict[str, dict[int, dict[str, Any]]] = {"prompt": {}, "completion": {}}
    for name, value in attributes.items():
        found = _NUMBERED.fullmatch(name)
        if found is not None:
            side, number, key = found.groups()
            turns[side].setdefault(int(number), {"role": "user"})[key] = value
    if not turns["prompt"] or not turns["completion"]:
        return None, None
    reasons, provider = attributes.get("gen_ai.response.finish_reasons"), provider_of(attributes)
    answers = [
        _answer(fields, index, _nth(reasons, index), provider)
        for index, (_, fields) in enumerate(sorted(turns["completion"].items()))
    ]
    return Asked(messages_of([fields for _, fields in sorted(turns["prompt"].items())], "gen_ai.prompt")), answers


def from_events(events: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Asked | None, list[Answer]]:
    """A call told in one event for each message; attributes or body of each, by its name."""
    messages: list[dict[str, Any]] = []
    answers: list[Answer] = []
    for name, fields in events:
        if name == DETAILS_EVENT:
            asked, answered = _structured(Signal(log=True, name=name, attributes=fields))
            return asked, answered or []
        if name in MESSAGE_EVENTS:
            messages += messages_of([{"role": MESSAGE_EVENTS[name], **fields}], name)
        elif name == CHOICE_EVENT:
            message = _value(fields.get("message"), "gen_ai.choice.message")
            one = message if isinstance(message, dict) else {"content": first(message, fields.get("content"))}
            answers.append(_answer(one, len(answers), fields.get("finish_reason"), provider_of(fields)))
        elif name == _CONTENT_EVENTS[0]:
            given = fields.get("gen_ai.prompt")
            messages += messages_of(_turns(given), "gen_ai.prompt")
        elif name == _CONTENT_EVENTS[1]:
            answers += [
                _answer(one, index, None, None) for index, one in enumerate(_turns(fields.get("gen_ai.completion")))
            ]
    return (Asked(messages) if messages else None), answers


def _turns(value: Any) -> list[Any]:
    """Turns in JSON, or a text that is one."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = _value(value, "gen_ai.prompt")
    return value if isinstance(value, list) else [{"role": "user", "content": value}]
