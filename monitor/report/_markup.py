"""Elements from plain data: text and attribute values are escaped here and nowhere else, so names stay text."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final, TypeAlias

VOID: Final = frozenset({"meta", "br", "link"})
Child: TypeAlias = "Markup | str | Iterable[Child] | None"


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def e(tag: str, /, *children: Child, **attributes: object) -> Markup:
    """An element; `cls` stands for `class`, an underscore in a name for a hyphen. None and False leave things out.

    >>> e("p", "a < b", cls="note")
    '<p class="note">a &lt; b</p>'
    """
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        key = "class" if name == "cls" else name.rstrip("_").replace("_", "-")
        parts.append(f' {key}="{html.escape(_text(value))}"')
    inside = join(children)
    if tag in VOID:
        return Markup("".join([*parts, "/>"]))
    return Markup("".join([*parts, ">", inside, f"</{tag}>"]))


def join(children: Iterable[Child]) -> Markup:
    """The children one after the other."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(_text(child), quote=False)
    return join(child)


def _text(value: object) -> str:
    """As text that XML allows: control characters of a hostile name become visible blanks."""
    if isinstance(value, float):
        return f"{value:.1f}"
    return "".join(ch if ch.isprintable() or ch == "\n" else " " for ch in str(value))
