"""Which tokens of a text the encoder reads: all of a short text; head, middle and tail of a long one.

The rule is the same for training and for run time, so it lives here and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from alignwatch import Record

_CLIP: Final = 4096
"""Characters kept of each end and of the centre before tokenising: bounds the work on a megabyte of text."""
_THOUGHT_END: Final = "</think>"


class Window(Record):
    """How many tokens are read of one text, special tokens excluded.

    A text of at most `head + middle + tail` tokens is read whole; of a longer one the first `head` tokens, `middle`
    tokens around the centre and the last `tail` tokens are read, with separators in between. The parts stand in one
    sequence, so that attention pools them: a refusal that comes late and an answer that follows a refusal are both in
    view.
    """

    head: Annotated[int, Field(ge=1, le=400)]
    middle: Annotated[int, Field(ge=0, le=100)] = 0
    tail: Annotated[int, Field(ge=1, le=400)]

    @property
    def room(self) -> int:
        """Longest text that is read whole, in tokens."""
        return self.head + self.middle + self.tail

    @property
    def tokens(self) -> int:
        """Longest sequence that this window makes: its parts, [CLS] and a [SEP] after each."""
        return self.room + (4 if self.middle else 3)


class SpecialTokens(Record):
    """Ids of the tokens that frame a sequence."""

    cls: int
    sep: int
    pad: int


def visible_answer(text: str) -> str:
    """The answer without a leading block of visible reasoning (`<think>...</think>`), unless nothing else is there."""
    thought, found, rest = text.rpartition(_THOUGHT_END)
    if not found:
        return text
    return rest if rest.strip() else thought


def clip(text: str) -> str:
    """The text, or its two ends and its centre when it is far longer than any window."""
    if len(text) <= 3 * _CLIP:
        return text
    start = (len(text) - _CLIP) // 2
    return f"{text[:_CLIP]} {text[start : start + _CLIP]} {text[-_CLIP:]}"


def frame(ids: list[int], window: Window, special: SpecialTokens, context: list[int] | None = None) -> list[int]:
    """One sequence: [CLS] (context [SEP])? head ([SEP] middle)? ([SEP] tail)? [SEP].

    Args:
        ids: tokens of the text, without special ones.
        window: how much is read.
        special: ids of the framing tokens.
        context: tokens of what came before; its end fills what room the text leaves.
    """
    if len(ids) > window.room:
        last = len(ids) - window.tail
        start = (window.head + last - window.middle) // 2
        centre = [*ids[start : start + window.middle], special.sep] if window.middle else []
        return [special.cls, *ids[: window.head], special.sep, *centre, *ids[last:], special.sep]
    left = window.room - len(ids)
    if not context or left < 1:
        return [special.cls, *ids, special.sep]
    return [special.cls, *context[-left:], special.sep, *ids, special.sep]
