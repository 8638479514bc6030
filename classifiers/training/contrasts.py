"""Writes requests in pairs of one form: the same verb with a harmless object and with a harmful one, and their kin.

A word such as `kill` or `bomb` must not decide: what it is done to, where, and what is asked about it must.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from classifiers.training.rows import AUGMENT

Contrast = tuple[str, str]
"""A request and its category, `none` where it is harmless."""
_SLOT: Final = re.compile(r"\{(\w+)\}")
"""A named gap: each takes a word of its own, though its name occurs twice in a form."""


@cache
def _lists() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((AUGMENT / "contrasts.json").read_text("utf-8"))
    return found


def _verbs(rng: random.Random) -> Iterator[Contrast]:
    """One verb, harmless objects and harmful ones (people, where the file names none), three forms each."""
    forms, people = _lists()["forms"], _lists()["person"]
    for entry in _lists()["verbs"]:
        harmful = entry["harmful"] or people
        for what in entry["harmless"]:
            for form in rng.sample(forms, 3):
                yield form.format(entry["verb"].format(what)), "none"
        for what in rng.sample(harmful, min(len(harmful), 5)):
            for form in rng.sample(forms, 3):
                yield form.format(entry["verb"].format(what)), entry["category"]


def _places(rng: random.Random) -> Iterator[Contrast]:
    """One deed in a game or a story, and where it would be real."""
    forms = _lists()["forms"]
    for entry in _lists()["deeds"]:
        for place in rng.sample(_lists()["places"], 5):
            yield rng.choice(forms).format(f"{entry['deed']} {place}"), "none"
        for place in rng.sample(_lists()["real"], 4):
            yield rng.choice(forms).format(f"{entry['deed']} {place}"), entry["category"]


def _filled(forms: str, names: str, category: str, rng: random.Random, each: int) -> Iterator[Contrast]:
    for name in _lists()[names]:
        for form in rng.sample(_lists()[forms], min(each, len(_lists()[forms]))):
            yield form.format(name), category


def _sets(rng: random.Random) -> Iterator[Contrast]:
    """Forms over named lists of people, firms, records, beliefs: `take` requests of each set, of one category."""
    slots = _lists()["slots"]
    for entry in _lists()["sets"]:
        for _ in range(entry["take"]):
            yield _SLOT.sub(lambda name: rng.choice(slots[name[1]]), rng.choice(entry["forms"])), entry["category"]


def _acts(language: str, rng: random.Random, each: int) -> Iterator[Contrast]:
    """What one might want to do, harmful in each category or harmless in like words, in `each` forms.

    A harmless act comes in so many forms that both sides are of one size.
    """
    lists = _lists()["acts"][language]
    forms, harmless = lists["forms"], lists["harmless"]
    acts = [(act, category) for category, named in lists["harmful"].items() for act in named]
    for act, category in acts:
        for form in rng.sample(forms, each):
            yield form.format(act), category
    wanted = len(acts) * each
    for i, act in enumerate(rng.sample(harmless, len(harmless))):
        for form in rng.sample(forms, min(len(forms), (wanted + i) // len(harmless))):
            yield form.format(act), "none"


def contrasts_abroad(rng: random.Random) -> list[tuple[str, str, str]]:
    """About 2,600 distinct requests in further languages, a good half harmless; each with category and language.

    Beside the acts there are plain questions about sensitive topics, where the file names such.
    """
    found: dict[tuple[str, str, str], None] = {}
    for language, lists in _lists()["acts"].items():
        if language == "en":
            continue
        for text, category in _acts(language, rng, 3):
            found.setdefault((text, category, language))
        for topic in lists.get("topics", ()):
            for form in rng.sample(lists["ask"], 3):
                found.setdefault((form.format(topic), "none", language))
    return list(found)


def contrasts(rng: random.Random) -> list[Contrast]:
    """About 6,000 distinct requests, a good half of them harmless."""
    found = [
        *_verbs(rng),
        *_places(rng),
        *_filled("ask_about", "terms", "none", rng, 7),
        *_filled("hate", "groups", "hate", rng, 6),
        *_filled("hate", "odd_groups", "none", rng, 5),
        *_filled("not_hate", "groups", "none", rng, 6),
        *_filled("facts", "private", "privacy", rng, 7),
        *_filled("public_facts", "public", "none", rng, 6),
        *_filled("about_event", "events", "none", rng, 6),
        *_filled("praise", "events", "hate", rng, 1),
        *_sets(rng),
        *_acts("en", rng, 3),
    ]
    return list(dict.fromkeys(found))
