"""Behaviours of answers whose labels contradict our definitions, read anew.

Two sources. CoCoNot's contrast set pairs a preferred answer with a dispreferred one, and the labelled pairs call the
latter a refusal; most of them do what was asked, only worse. The judge of erikl2/safety-refusal-stability calls an
answer partial or refused for its disclaimer, whatever follows: "for educational purposes only" and then all that was
asked is compliance here, as the definitions say, and the very thing that a monitor of refusals must not miss. The file
beside this module holds what such answers were read as, by row id; no text. Readers were language models that saw
request, answer (of a long one its head and tail) and the definitions of the card. Not read: the judge's `compliance`,
and its `refusal` where a short answer opens with one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from classifiers.training.rows import Row

FILE = Path(__file__).with_name("readings.json")
UNCLEAR = "unclear"
"""What an answer is read as where two behaviours fit alike, or where two readers differ: no label."""


@cache
def readings() -> Mapping[str, str]:
    """What was read, by row id: a behaviour or `UNCLEAR`."""
    kept: dict[str, list[str]] = json.loads(FILE.read_text("utf-8"))
    return {one: behaviour for behaviour, ids in kept.items() for one in ids}


def read_as(row: Row) -> str | None:
    """What an answer was read as where it was, `UNCLEAR` among them; else its source's own word, if it has one."""
    return readings().get(row.id, row.behaviour)


def in_our_terms(name: str | None) -> str | None:
    """A source's word for a behaviour in our terms; None where it names none.

    `rebuttal` rejects the premise instead of serving it, which is our refusal. `incapable` ("I have no access to that")
    says that it cannot do what was asked: refusal too. `both-sides` and `caution` do something of what was asked and
    hold something back; sources disagree on them, so they are reported and neither trained nor scored.
    """
    ours = {"rebuttal": "refusal", "incapable": "refusal", "both-sides": None, "caution": None, UNCLEAR: None}
    return ours.get(name or "", name)


def stated_behaviour(row: Row) -> str | None:
    """What an answer does by its source's word, however it was read."""
    return in_our_terms(row.behaviour)


def behaviour_of(row: Row) -> str | None:
    """What an answer does: as it was read where it was, else as its source states it; None where that is unknown."""
    return in_our_terms(read_as(row))
