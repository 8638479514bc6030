"""Answers of a chat completion or of an older text completion, whole or in chunks.

Field names follow openai-python v3 (`types/chat/chat_completion.py`, `chat_completion_chunk.py`, `completion.py`);
`content_filter_results` and `prompt_filter_results` are Azure's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from alignwatch import Finish
from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._fields import expect
from monitor.envelopes._finish import normalise
from monitor.envelopes._messages import text_of
from monitor.envelopes._sse import DONE
from monitor.envelopes._verdicts import azure_found, categories_of, moderation_found
from monitor.errors import DecodeError

MAX_CHOICES: Final = 128
"""The API's own limit of `n`."""
_TELLING: Final = frozenset({"error", "moderation", "prompt_filter_results", "prompt_annotations"})
_PLAIN: Final = frozenset({"index", "delta", "finish_reason", "logprobs"})
_TOLD_BLOCKED: Final = re.compile(
    r"content_filter|content_policy_violation|ResponsibleAIPolicyViolation|content management policy", re.IGNORECASE
)


def replies(body: Any) -> bool:
    """Whether a body, or the first chunk of a list, is a completion."""
    events = body if isinstance(body, list) else [body]
    return any(isinstance(one, dict) and "choices" in one for one in events[:3])


@dataclass(slots=True)
class _Draft:
    content: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    refuses: bool = False
    calls: bool = False
    finish_reason: str | None = None
    found: list[str] = field(default_factory=list)
    blocked: bool = False

    def answer(self, index: int) -> Answer:
        content, refusal = "".join(self.content), "".join(self.refusal)
        reason, finish = self.finish_reason, normalise(self.finish_reason)
        if (refusal or (self.refuses and not content)) and finish in {None, "natural", "length"}:
            reason, finish = ("refusal" if finish != "length" else reason), "model_refusal"
        elif self.calls and not content and finish in {None, "natural"}:
            # Some servers write `stop` under a tool call.
            finish = "tool"
        if self.blocked and finish in {None, "natural"}:
            finish = "provider_block"
        text = "\n".join(part for part in (content, refusal) if part)
        return Answer(index, text, reason, finish, categories_of(self.found), self.blocked)


@dataclass(slots=True)
class _Reading:
    """What has been read of a body so far."""

    delta: str
    drafts: dict[int, _Draft] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    found: list[str] = field(default_factory=list)
    blocked: bool = False
    complete: bool = False
    """Whether the head is known, so that nothing but answers is to come."""


def reply(body: Any) -> Reply:
    """Answers in the order of their index, and id, time and model.

    Args:
        body: a completion, or a list of chunks (the `[DONE]` mark among them is ignored).

    Raises:
        DecodeError: neither; the detail names the place.
    """
    events = [one for one in body if one != DONE] if isinstance(body, list) else [body]
    where = "response[{}]" if isinstance(body, list) else "response"
    reading = _Reading("delta" if isinstance(body, list) else "message")
    for number, event in enumerate(events):
        if reading.complete and _is_next_word(event, reading):
            continue
        fields = expect(event, dict, where.format(number))
        for name in ("id", "created", "model"):
            if not reading.head.get(name):
                reading.head[name] = fields.get(name)
        reading.complete = all(reading.head.values())
        _add_prompt_verdicts(fields, reading)
        if fields.get("error") is not None and reading.drafts:
            # The stream broke off: what came before is an answer without an end.
            for draft in reading.drafts.values():
                draft.finish_reason = draft.finish_reason or "error"
            continue
        _add_choices(fields, where.format(number), reading)
    if not reading.drafts:
        raise DecodeError("missing-field", "response.choices: at least one choice is required")
    answers = [reading.drafts[index].answer(index) for index in sorted(reading.drafts)]
    return Reply(answers, reading.head, reading.source, categories_of(reading.found), reading.blocked)


def _is_next_word(event: Any, reading: _Reading) -> bool:
    """Take in the chunk that streams are made of, one piece of a known answer and nothing else; False for any other."""
    if not isinstance(event, dict) or not _TELLING.isdisjoint(event):
        return False
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, dict) or not choice.keys() <= _PLAIN or choice.get("finish_reason") is not None:
        return False
    index, delta = choice.get("index"), choice.get("delta")
    draft = reading.drafts.get(index) if type(index) is int else None
    if draft is None or not isinstance(delta, dict) or len(delta) != 1 or not isinstance(delta.get("content"), str):
        return False
    draft.content.append(delta["content"])
    return True


def _add_prompt_verdicts(fields: Mapping[str, Any], reading: _Reading) -> None:
    results = fields.get("prompt_filter_results") or fields.get("prompt_annotations")
    if isinstance(results, list):
        reading.source = "azure"
        for result in results:
            found, blocked = azure_found(result.get("content_filter_results") if isinstance(result, dict) else None)
            reading.found += found
            reading.blocked |= blocked
    moderation = fields.get("moderation")
    if isinstance(moderation, dict):
        reading.source = reading.source or "openai-moderation"
        reading.found += moderation_found(moderation.get("input"))


def _add_choices(fields: Mapping[str, Any], where: str, reading: _Reading) -> None:
    for position, choice in enumerate(expect(fields.get("choices"), list, f"{where}.choices")):
        at = f"{where}.choices[{position}]"
        one = expect(choice, dict, at)
        index = one.get("index", position)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < MAX_CHOICES:
            raise DecodeError("wrong-type", f"{at}.index: an integer from 0 to {MAX_CHOICES - 1} is allowed")
        draft = reading.drafts.setdefault(index, _Draft())
        _add_text(one, at, draft, reading.delta)
        reason = one.get("finish_reason")
        if reason is not None:
            draft.finish_reason = expect(reason, str, f"{at}.finish_reason")
        if isinstance(one.get("content_filter_results"), dict):
            reading.source = reading.source or "azure"
            found, blocked = azure_found(one["content_filter_results"])
            draft.found += found
            draft.blocked |= blocked
    moderation = fields.get("moderation")
    if isinstance(moderation, dict):
        for draft in reading.drafts.values():
            draft.found += moderation_found(moderation.get("output"))


def _add_text(choice: Mapping[str, Any], at: str, draft: _Draft, delta: str) -> None:
    # Some gateways write assembled messages into what they call chunks, and the last chunk may have neither.
    message = expect(choice.get(delta) or choice.get("message") or {}, dict, f"{at}.{delta}")
    draft.content.append(text_of(message.get("content"), f"{at}.{delta}.content"))
    if isinstance(choice.get("text"), str):
        draft.content.append(choice["text"])
    refusal = message.get("refusal")
    draft.refuses |= refusal is not None
    draft.refusal.append(text_of(refusal, f"{at}.{delta}.refusal"))
    draft.calls |= bool(message.get("tool_calls") or message.get("function_call"))


def blocked_by(error: Mapping[str, Any]) -> Finish | None:
    """Whether an error body says that a filter stopped the call, rather than that the call failed."""
    inner = error.get("innererror")
    texts = [error.get("code"), error.get("type"), error.get("error_code"), error.get("error_class")]
    texts.append(inner.get("code") if isinstance(inner, dict) else None)
    names = {one.lower() for one in texts if isinstance(one, str)}
    blocked = names & {"content_filter", "responsibleaipolicyviolation", "content_policy_violation"}
    return "provider_block" if blocked or "contentpolicyviolationerror" in names else None


def tells_of_block(fault: str) -> bool:
    """Whether the text of an error, all that a trace keeps of it, says that a filter stopped the call.

    It holds the error's code where the client or gateway wrote the body down, else Azure's own sentence.
    """
    return _TOLD_BLOCKED.search(fault) is not None
