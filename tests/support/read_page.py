"""Reads a page's HTML as a person, or a checker of markup, would."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "input", "hr", "img"})
ALONE = frozenset({"path", "circle", "rect", "line", "use"})
"""Elements of SVG that may close themselves."""
UNSEEN = frozenset({"script", "style", "noscript", "title"})


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, tag: str) -> list[Node]:
        return [one for one in self.walk() if one.tag == tag]

    def by_id(self, name: str) -> Node:
        (found,) = [one for one in self.walk() if one.attributes.get("id") == name]
        return found

    def classed(self, name: str) -> list[Node]:
        return [one for one in self.walk() if name in (one.attributes.get("class") or "").split()]

    @property
    def text(self) -> str:
        """All of it in one line, with single blanks."""
        return " ".join("".join(self._parts()).split())

    def _parts(self):
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag not in UNSEEN:
                yield " " if child.tag not in {"span", "b", "a", "code"} else ""
                yield from child._parts()
                yield " "


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("#document")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID | ALONE, f"<{tag}/> is not closed"
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read(markup: str) -> Node:
    """The page as a tree; fails where an element is not closed, or closed out of turn."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    assert len(reader.open) == 1, [one.tag for one in reader.open]
    return reader.root
