"""Response bodies that gateways hand on as text: JSON in a string, or the event stream that carried the answer."""

from __future__ import annotations

import re
from typing import Any, Final

from monitor.envelopes._parse import parse_inner
from monitor.errors import DecodeError

DONE: Final = "[DONE]"
# Only these end a line (WHATWG HTML, 9.2.5): str.splitlines would also cut at U+2028, which JSON allows in strings.
_LINE: Final = re.compile("\r\n|\n|\r")


def body_of(value: Any, where: str) -> Any:
    """A body as JSON: itself unless it is text, else the JSON in it, or the chunks of the event stream in it.

    Raises:
        DecodeError: text that is neither.
    """
    if not isinstance(value, str):
        return value
    if value.lstrip()[:1] in {"{", "["}:
        try:
            return parse_inner(value)
        except DecodeError as error:
            raise DecodeError(error.reason, f"{where}: {error.detail}") from None
    return chunks_of_sse(value, where)


def looks_like_stream(text: str) -> bool:
    """Whether a text begins like an event stream."""
    return text.lstrip()[:6].startswith(("data:", "event:", "id:", ":"))


def chunks_of_sse(text: str, where: str = "response") -> list[Any]:
    """The JSON of each `data:` line of an event stream (WHATWG HTML, section 9.2).

    Raises:
        DecodeError: a line's data is not JSON, or there is none.
    """
    chunks: list[Any] = []
    for number, line in enumerate(_LINE.split(text) if "\r" in text else text.split("\n")):
        name, _, data = line.partition(":")
        if name != "data" or data.strip() in {"", DONE}:
            continue
        try:
            chunks.append(parse_inner(data))
        except DecodeError as error:
            raise DecodeError(error.reason, f"{where}: stream line {number}: {error.detail}") from None
    if not chunks:
        raise DecodeError(
            "wrong-type", f"{where}: is text; an object, an array of chunks or an event stream is allowed"
        )
    return chunks
