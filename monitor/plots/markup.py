"""Elements from plain data: text and attribute values are escaped here and nowhere else, so names stay text."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final, TypeAlias

from markupsafe import Markup

__all__ = ["Markup", "clean", "e", "join"]

VOID: Final = frozenset({"meta", "br", "link"})
NBSP: Final = "\u00a0"
_KEPT: Final = f"\n{NBSP}"
"""Not printable by Python's reckoning, and harmless: a line break, and the blank within "12 %"."""
Child: TypeAlias = "Markup | str | Iterable[Child] | None"


def e(tag: str, /, *children: Child, **attributes: object) -> Markup:
    """An element; `cls` stands for `class`, an underscore in a name for a hyphen. None and False leave things out.

    >>> str(e("p", "a < b", cls="note"))
    '<p class="note">a &lt; b</p>'
    """
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        key = "class" if name == "cls" else name.rstrip("_").replace("_", "-")
        parts.append(f' {key}="{html.escape(_text(value))}"')
    closing = ["/>"] if tag in VOID else [">", join(children), f"</{tag}>"]
    return Markup("".join(parts + closing))  # noqa: S704 - made of tags of ours and escaped values


def join(children: Iterable[Child]) -> Markup:
    """The children one after the other."""
    return Markup("".join(_child(child) for child in children))  # noqa: S704 - each escaped or markup


def clean(text: str) -> str:
    r"""Control characters, and those that turn the writing direction, as blanks: a name can't rearrange its line.

    >>> clean("a\u202eb")
    'a b'
    """
    if text.isprintable() or text.replace(NBSP, "").isprintable():
        return text
    return "".join(ch if ch.isprintable() or ch in _KEPT else " " for ch in text)


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(_text(child), quote=False)
    return join(child)


def _text(value: object) -> str:
    if isinstance(value, float):
        # Tenths of a pixel, and no bytes for those that are none.
        return f"{value:.1f}".removesuffix(".0")
    return clean(str(value))
