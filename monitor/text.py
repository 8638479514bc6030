"""Picks out of an exchange the text that is judged: the last user turn, and the turns before it as context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alignwatch import Exchange, Message

MAX_CONTEXT: Final = 4_000
"""Characters of context kept, the latest ones: more than an encoder's window has room for beside the prompt."""
_SPOKEN: Final = frozenset({"user", "human", "assistant", "model", "ai"})
_ASKING: Final = frozenset({"user", "human"})


def prompt_text(exchange: Exchange) -> tuple[str, str]:
    """The prompt that is judged and its context, both as plain text.

    The prompt is the last user turn; where there is none, the last turn of any kind but the system's; where the
    exchange has `prompt`, that. The context is what user and model said before, oldest first, cut at the front.
    System prompts and tool output are left out: they are the deployment's text and would fill the window.

    Both may be empty or a gateway's redaction mark (`redacted-by-litellm`, `__REDACTED__`): whether a text can be
    judged is the classifier's decision, which names it `unlabelable`.
    """
    messages = exchange.messages or ()
    if exchange.prompt is None:
        messages = messages[: max(0, _last_asked(messages))]
    return prompt_alone(exchange), _context(messages)


def prompt_alone(exchange: Exchange) -> str:
    """The prompt that is judged, without the work of putting its context together."""
    if exchange.prompt is not None:
        return exchange.prompt
    messages = exchange.messages or ()
    last = _last_asked(messages)
    return messages[last].content if last >= 0 else ""


def _last_asked(messages: Sequence[Message]) -> int:
    fallback = -1
    for index in range(len(messages) - 1, -1, -1):
        role = messages[index].role.lower()
        if role in _ASKING:
            return index
        if fallback < 0 and role not in {"system", "developer"}:
            fallback = index
    return fallback


def _context(messages: Sequence[Message]) -> str:
    turns: list[str] = []
    room = MAX_CONTEXT
    for message in reversed(messages):
        if room <= 0:
            break
        if message.role.lower() in _SPOKEN and message.content:
            turns.append(message.content[-room:])
            room -= len(turns[-1]) + 1
    return "\n".join(reversed(turns))
