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


def stated_behaviour(row: Row) -> str | None:
    """A source's behaviour in our terms.

    `rebuttal` rejects the premise instead of serving it, which is our refusal. `incapable` ("I have no access to that")
    says that it cannot do what was asked: refusal too. `both-sides` and `caution` do something of what was asked and
    hold something back; sources disagree on them, so they are reported and neither trained nor scored.
    """
    name = row.behaviour or ""
    return {"rebuttal": "refusal", "incapable": "refusal", "both-sides": None, "caution": None}.get(name, row.behaviour)


def behaviour_of(row: Row) -> str | None:
    """What an answer does: as it was read where it was, else as its source states it; None where that is unknown."""
    read = readings().get(row.id)
    return stated_behaviour(row) if read is None else None if read == UNCLEAR else read
