"""What was asked, from the request body of any provider's API.

The bodies differ in a few names only, and gateways mix them, so that one reader takes what is there: `messages` (chat,
Anthropic, Converse), `input` (Responses), `prompt` (older completions, Llama), `inputText` (Titan), `contents`
(Gemini), `message` (Cohere), with the system prompt in a turn of its own, in `system` or in `instructions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from monitor.envelopes._fields import at, expect, first, text_or_none
from monitor.envelopes._messages import messages_of, text_of
from monitor.errors import DecodeError

ASKING: Final = ("messages", "input", "prompt", "inputText", "contents", "message")
_SYSTEM: Final = ("system", "instructions", "systemInstruction", "system_instruction")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request body.

    Attributes:
        messages: turns, the system prompt first; None where there is a `prompt` instead.
        prompt: of an API without turns.
        model, user, conversation: where the body says.
        context_complete: False where the provider keeps the turns before.
    """

    messages: list[dict[str, Any]] | None
    prompt: str | None = None
    model: str | None = None
    user: str | None = None
    conversation: str | None = None
    context_complete: bool = True

    def fields(self) -> dict[str, Any]:
        """As an Exchange has them."""
        return {
            "messages": self.messages,
            "prompt": self.prompt,
            "user": self.user,
            "conversation": self.conversation,
            "context_complete": self.context_complete,
        }


def asks(body: Any) -> bool:
    """Whether a body is a request to a model."""
    return isinstance(body, dict) and _asking(body) is not None


def _asking(fields: Mapping[str, Any]) -> str | None:
    name = next((one for one in ASKING if fields.get(one) is not None), None)
    # Cohere's; others have an object of that name that is no request.
    return None if name == "message" and not isinstance(fields[name], str) else name


def asked_of(body: Any, where: str) -> Asked:
    """What a request body asks.

    Raises:
        DecodeError: it asks nothing, or in no form that any provider uses; the detail names the place.
    """
    fields: Mapping[str, Any] = expect(body, dict, where)
    name = _asking(fields)
    if name is None:
        raise DecodeError("missing-field", f"{where}: none of {', '.join(ASKING)}")
    messages, prompt = _turns(name, fields[name], f"{where}.{name}")
    system = _system(fields, where)
    if messages is not None:
        messages = system + messages
    elif system:
        messages, prompt = [*system, {"role": "user", "content": prompt}], None
    conversation = fields.get("conversation")
    return Asked(
        messages,
        prompt,
        model=text_or_none(fields.get("model")),
        user=_user(fields),
        conversation=text_or_none(at(conversation, "id") if isinstance(conversation, dict) else conversation),
        context_complete=fields.get("previous_response_id") is None and conversation is None,
    )


def _turns(name: str, value: Any, where: str) -> tuple[list[dict[str, Any]] | None, str | None]:
    if name in {"messages", "contents"}:
        return messages_of(value, where), None
    if isinstance(value, str):
        return ([{"role": "user", "content": value}], None) if name == "input" else (None, value)
    if name == "input":
        return messages_of(value, where), None
    texts = expect(value, list, where)
    if not all(isinstance(one, str) for one in texts):
        # Token ids, which nobody can read here.
        raise DecodeError("wrong-type", f"{where}: an array of something else than texts; text is allowed")
    return None, "\n".join(texts)


def _system(fields: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    name = next((one for one in _SYSTEM if fields.get(one)), None)
    if name is None:
        return []
    value = fields[name]
    if isinstance(value, dict) and "parts" in value:
        value = value["parts"]
    text = text_of(value, f"{where}.{name}")
    return [{"role": "system", "content": text}] if text else []


def _user(fields: Mapping[str, Any]) -> str | None:
    return text_or_none(
        first(
            text_or_none(fields.get("user")),
            text_or_none(fields.get("safety_identifier")),
            text_or_none(at(fields, "metadata", "user_id")),
        )
    )
