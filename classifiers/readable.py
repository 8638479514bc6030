"""Decides whether a text can be judged at all, and names the reason where it cannot."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from typing import Final

from classifiers.card import Script
from classifiers.records import Unlabelable

_EDGE: Final = r"[\s\[\]<>(){}*_\"'`.:-]*"
_SENTINEL: Final = re.compile(
    rf"{_EDGE}(?:(?:content|message|prompt|response|text)[-_ ])?redacted(?:[-_ ]by[-_ ][\w.-]+)?{_EDGE}"
    r"|[\[<({_*]+(?:removed|filtered|masked|hidden|omitted|null|none|undefined)[\]>)}_*]+"
    r"|null|undefined",
    re.IGNORECASE,
)
"""A text that is nothing but a marker put in its place: LiteLLM's, OpenTelemetry's and hand-made ones."""
_STARS: Final = re.compile(r"[\s*█▇xX#•]*")
_SAMPLE: Final = 400
_DOMINANT: Final = 0.5
MIN_PROMPT: Final = 3
"""Letters or digits that a prompt needs."""
MIN_ANSWER: Final = 4
"""Letters or digits that an answer needs: below, `No` may answer a question or refuse it."""


def script_of(character: str) -> Script:
    """The writing system of a letter, by its Unicode code point."""
    code = ord(character)
    for low, high, name in _RANGES:
        if low <= code <= high:
            return name
    return "other"


_RANGES: Final[tuple[tuple[int, int, Script], ...]] = (
    (0x0041, 0x024F, "latin"),
    (0x1E00, 0x1EFF, "latin"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0600, 0x06FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x3040, 0x30FF, "kana"),
    (0x3400, 0x4DBF, "han"),
    (0x4E00, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "hangul"),
    (0xFF21, 0xFF5A, "latin"),
)


def dominant_script(text: str) -> Script | None:
    """The script of more than half of the letters (of both ends of a long text); None without letters."""
    sample = text if len(text) <= 2 * _SAMPLE else text[:_SAMPLE] + text[-_SAMPLE:]
    counts = Counter(script_of(c) for c in sample if unicodedata.category(c).startswith("L"))
    if not counts:
        return None
    name, count = counts.most_common(1)[0]
    return name if count > _DOMINANT * counts.total() else "other"


def unreadable(text: str, scripts: Collection[Script], *, minimum: int) -> Unlabelable | None:
    """Why this text cannot be judged, or None.

    Args:
        text: a prompt or an answer.
        scripts: the ones that the artefact judges.
        minimum: letters or digits needed; a long text of other signs is read (it may be degenerate).
    """
    stripped = text.strip()
    if not stripped:
        return "empty"
    if len(stripped) <= 64 and (_SENTINEL.fullmatch(stripped) or _masked(stripped)):  # noqa: PLR2004 - markers are short
        return "redacted"
    if len(stripped) < 16 and sum(map(str.isalnum, stripped)) < minimum:  # noqa: PLR2004 - longer runs of signs are read
        return "too-short"
    script = dominant_script(stripped)
    return "unsupported-language" if script is not None and script not in scripts else None


def _masked(text: str) -> bool:
    return len(text) > 3 and _STARS.fullmatch(text) is not None and not text.isspace()  # noqa: PLR2004 - "xxx" may be said
