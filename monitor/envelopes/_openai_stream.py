"""Answers of a chat completion, whole or in chunks, and the event-stream text that carries chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.envelopes._fields import expect, text_of
from monitor.envelopes._parse import parse_inner
from monitor.errors import DecodeError

DONE: Final = "[DONE]"
MAX_CHOICES: Final = 128
"""The API's own limit of `n`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice."""

    index: int
    text: str
    finish_reason: str | None


@dataclass(slots=True)
class _Draft:
    content: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    finish_reason: str | None = None

    def answer(self, index: int) -> Answer:
        refusal = "".join(self.refusal)
        reason = "refusal" if refusal and self.finish_reason in {None, "stop"} else self.finish_reason
        return Answer(index, "\n".join(part for part in ("".join(self.content), refusal) if part), reason)


def answers_of(body: Any) -> tuple[list[Answer], Mapping[str, Any]]:
    """Answers in the order of their index, and the object that holds id, created and model.

    Args:
        body: a completion, or a list of chunks (the `[DONE]` mark among them is ignored).

    Raises:
        DecodeError: neither; the detail names the place.
    """
    events = [one for one in body if one != DONE] if isinstance(body, list) else [body]
    delta = "delta" if isinstance(body, list) else "message"
    where = "response[{}]" if isinstance(body, list) else "response"
    drafts: dict[int, _Draft] = {}
    head: dict[str, Any] = {}
    for number, event in enumerate(events):
        fields = expect(event, dict, where.format(number))
        head = {name: fields.get(name) for name in ("id", "created", "model")} | {k: v for k, v in head.items() if v}
        _add_choices(fields, delta, where.format(number), drafts)
    if not drafts:
        raise DecodeError("missing-field", "response.choices: at least one choice is required")
    return [drafts[index].answer(index) for index in sorted(drafts)], head


def _add_choices(fields: Mapping[str, Any], delta: str, where: str, drafts: dict[int, _Draft]) -> None:
    for position, choice in enumerate(expect(fields.get("choices"), list, f"{where}.choices")):
        at = f"{where}.choices[{position}]"
        one = expect(choice, dict, at)
        index = one.get("index", position)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < MAX_CHOICES:
            raise DecodeError("wrong-type", f"{at}.index: an integer from 0 to {MAX_CHOICES - 1} is allowed")
        draft = drafts.setdefault(index, _Draft())
        # Some gateways write assembled messages into what they call chunks, and the last chunk may have neither.
        message = one.get(delta) or one.get("message") or {}
        draft.content.append(text_of(expect(message, dict, f"{at}.{delta}").get("content"), f"{at}.{delta}.content"))
        draft.refusal.append(text_of(message.get("refusal"), f"{at}.{delta}.refusal"))
        reason = one.get("finish_reason")
        if reason is not None:
            draft.finish_reason = expect(reason, str, f"{at}.finish_reason")


def chunks_of_sse(text: str) -> list[Any]:
    """The JSON of each `data:` line of an event stream (WHATWG HTML, section 9.2).

    Raises:
        DecodeError: a line's data is not JSON, or there is none.
    """
    chunks: list[Any] = []
    for number, line in enumerate(text.splitlines()):
        name, _, data = line.partition(":")
        if name != "data" or data.strip() in {"", DONE}:
            continue
        try:
            chunks.append(parse_inner(data))
        except DecodeError as error:
            raise DecodeError(error.reason, f"response: stream line {number}: {error.detail}") from None
    if not chunks:
        raise DecodeError(
            "wrong-type", "response: is text; an object, an array of chunks or an event stream is allowed"
        )
    return chunks
