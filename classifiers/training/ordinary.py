"""Writes ordinary harmless requests, of which the sources hold few: tasks over topics, and tasks over a pasted text."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from classifiers.training.rows import AUGMENT

_PAIRED: Final = (
    ("written", "code"), ("life", "occasions"), ("facts", "things"), ("society", "claims"), ("measures", "actors"),
    ("generate", "pieces"),
)  # fmt: skip
"""Which list of forms takes its filler from which; `measures` also take one of the `aims`."""
_HEADING: Final = re.compile(r"^\s*(?:\d+[.)]|[-*])\s+(?:\*\*)?([A-Z][\w' -]{3,40}?)(?:\*\*)?\s*[:\n(–-]", re.MULTILINE)
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")


@cache
def _lists() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((AUGMENT / "ordinary.json").read_text("utf-8"))
    return found


def headings(answers: Sequence[str]) -> list[str]:
    """What the items of lists in ordinary answers are called: topics of ordinary requests."""
    found = {h.strip() for answer in answers for h in _HEADING.findall(answer) if len(h.split()) <= 5}
    return sorted(found)


def _of_topic(topics: Sequence[str], rng: random.Random) -> str:
    task: str = rng.choice(_lists()["tasks"])
    picked = [t if rng.random() < 0.4 else t.lower() for t in rng.sample(topics, 2)]
    return task.format(*picked[: task.count("{}")])


def _of_text(answers: Sequence[str], rng: random.Random) -> str:
    body = _SENTENCE.split(rng.choice(answers).strip())
    start = rng.randrange(max(1, len(body) - 2))
    frame: str = rng.choice(_lists()["pasted"])
    return frame.format(" ".join(body[start : start + rng.randint(1, 4)]))


def _of_lists(rng: random.Random) -> str:
    lists = _lists()
    forms, fillers = rng.choice(_PAIRED)
    text: str = rng.choice(lists[forms]).format(rng.choice(lists[fillers]), rng.choice(lists["aims"]))
    return text


def ordinary(answers: Sequence[str], rng: random.Random, count: int) -> list[str]:
    """`count` distinct ordinary requests.

    Args:
        answers: harmless answers to harmless requests; topics and pasted texts come from these.
        rng: decides everything.
        count: how many; two in five about topics, one about a pasted text, two from lists of our own.
    """
    topics = headings(answers)
    made: dict[str, None] = {}
    while len(made) < count:
        kind = rng.random()
        if kind < 0.4:
            text = _of_topic(topics, rng)
        elif kind < 0.6:
            text = _of_text(answers, rng)
        else:
            text = _of_lists(rng)
        made.setdefault(text)
    return list(made)


def ordinary_abroad(rng: random.Random, each: int) -> list[tuple[str, str]]:
    """At most `each` distinct ordinary requests in every further language, with its code."""
    found: dict[tuple[str, str], None] = {}
    for language, lists in _lists()["abroad"].items():
        pairs = [form.format(filler) for form in lists["forms"] for filler in lists["fillers"]]
        for text in rng.sample(pairs, min(each, len(pairs))):
            found.setdefault((text, language))
    return list(found)
