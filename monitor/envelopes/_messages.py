"""Turns of a conversation from any provider's form: text, parts that are not text, tool calls and their results.

One reader for all of them, because gateways mix the forms: OpenAI's content parts, Anthropic's and Bedrock's blocks,
the Responses API's items, the parts of OpenTelemetry's GenAI messages.
"""

from __future__ import annotations

import re
from typing import Any, Final

from monitor.envelopes._fields import expect

MAX_OMITTED: Final = 16
"""Kinds noted a turn."""
REASONING: Final = frozenset({
    "reasoning", "thinking", "redacted_thinking", "reasoning_text", "reasoning_content", "summary_text", "thought",
    "reasoningContent", "encrypted_content",
})  # fmt: skip
"""What a model thinks aloud is not its answer: a refused request may be pondered at length there."""
_TOOL_RESULTS: Final = frozenset({
    "tool_result", "tool_call_response", "function_call_output", "toolResult", "function_response",
})  # fmt: skip
_TOOL_CALLS: Final = frozenset({
    "tool_use", "tool_call", "function_call", "toolUse", "server_tool_use", "server_tool_call", "custom_tool_call",
    "mcp_call", "computer_call", "web_search_call", "file_search_call",
})  # fmt: skip
_KINDS: Final = {
    "image": "image", "image_url": "image", "input_image": "image", "output_image": "image",
    "image_generation_call": "image", "inline_data": "file", "inlineData": "file",
    "audio": "audio", "input_audio": "audio", "output_audio": "audio",
    "video": "video", "video_url": "video",
    "file": "file", "input_file": "file", "document": "file", "blob": "file", "uri": "file",
}  # fmt: skip
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")

Content = tuple[str, tuple[str, ...]]
"""Text, and the kinds of the parts that were left out."""


def text_of(content: Any, where: str) -> str:
    """The text alone of a message's content, see `content_of`.

    Raises:
        DecodeError: it has no form that any provider uses.
    """
    return content_of(content, where)[0]


def content_of(content: Any, where: str) -> Content:
    """A message's content: a string, null, one part, or an array whose text parts are joined.

    A `refusal` part is text by the model; reasoning is left out; images, audio, files and tool calls are noted by kind.

    Raises:
        DecodeError: it has no form that any provider uses.
    """
    if content is None or isinstance(content, str):
        return content or "", ()
    parts = [content] if isinstance(content, dict) else expect(content, list, where)
    texts: list[str] = []
    omitted: dict[str, None] = {}
    for index, part in enumerate(parts):
        text, kind = _part(part, f"{where}[{index}]")
        if text:
            texts.append(text)
        if kind is not None and len(omitted) < MAX_OMITTED:
            omitted[kind] = None
    return "\n".join(texts), tuple(omitted)


def _part(part: Any, where: str) -> tuple[str, str | None]:
    if isinstance(part, str):
        return part, None
    fields = expect(part, dict, where)
    kind = _kind(fields)
    if kind in REASONING:
        return "", None
    text = None if kind in _TOOL_RESULTS else _text(fields, kind)
    if text is not None:
        return text, None
    for kinds, noted in ((_TOOL_RESULTS, "tool_result"), (_TOOL_CALLS, "tool_call")):
        if kind in kinds:
            return "", noted
    return "", _KINDS.get(kind, kind if _NAME.fullmatch(kind) else "part")


def _text(fields: dict[str, Any], kind: str) -> str | None:
    for name in ("text", "refusal"):
        value = fields.get(name)
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, str):
            return value
    # OpenTelemetry's text part, and the refusal part that OpenLLMetry makes after its pattern.
    content = fields.get("content") if kind in {"text", "refusal"} else None
    return content if isinstance(content, str) else None


def _kind(fields: dict[str, Any]) -> str:
    """The part's `type`; Bedrock and Gemini name the part by its only key instead."""
    kind = fields.get("type")
    if isinstance(kind, str):
        return kind
    known = (name for name in fields if name in _KINDS or name in _TOOL_CALLS or name in _TOOL_RESULTS)
    return next(known, next((name for name in fields if name in REASONING), "part"))


def messages_of(value: Any, where: str) -> list[dict[str, Any]]:
    """Turns as role, text and what was omitted, whatever form their content has.

    Tool results that a provider puts into a user's turn (Anthropic, Bedrock) become a `tool` turn: the user did not
    write them. Items of the Responses API that are no message (calls and their outputs) become turns too.

    Raises:
        DecodeError: not an array of objects with a role.
    """
    turns = []
    for index, message in enumerate(expect(value, list, where)):
        here = f"{where}[{index}]"
        fields = expect(message, dict, here)
        kind = fields.get("type")
        if fields.get("role") is None and isinstance(kind, str) and kind != "message":
            turns += _item(kind)
            continue
        role = expect(fields.get("role"), str, f"{here}.role")
        content = fields["parts"] if fields.get("content") is None and "parts" in fields else fields.get("content")
        text, omitted = content_of(content, f"{here}.content")
        if not text and isinstance(fields.get("refusal"), str):
            text = fields["refusal"]
        if (fields.get("tool_calls") or fields.get("function_call")) and "tool_call" not in omitted:
            omitted = (*omitted, "tool_call")
        if omitted == ("tool_result",) and not text:
            role = "tool"
        turns.append({"role": role, "content": text, "omitted": omitted} if omitted else _plain(role, text))
    return turns


def _plain(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _item(kind: str) -> list[dict[str, Any]]:
    """The turn of a Responses item that has no role; none for reasoning and references."""
    if kind in REASONING or kind == "item_reference":
        return []
    if kind in _TOOL_CALLS:
        return [{"role": "assistant", "content": "", "omitted": ("tool_call",)}]
    noted = "tool_result" if kind in _TOOL_RESULTS else kind if _NAME.fullmatch(kind) else "part"
    return [{"role": "tool", "content": "", "omitted": (noted,)}]
