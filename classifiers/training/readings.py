"""Labels that we read ourselves, where a source's own contradict our definitions, are in doubt or are missing.

CoCoNot's contrast set pairs a preferred answer with a dispreferred one, and the labelled pairs call the latter a
refusal; most of them do what was asked, only worse. The judge of erikl2/safety-refusal-stability calls an answer
partial or refused for its disclaimer, whatever follows: "for educational purposes only" and then all that was asked is
compliance here, as the definitions say, and the very thing that a monitor of refusals must not miss. The former's
refusals were read and all of the latter's answers, but for refusals that a short answer opens with; of dev every answer
of both. Of the other sources' training answers those were read that have no label, or one that classifier 0.6.0
doubted; and all of hh-rlhf, which has no labels at all: answers of both splits, and what its training requests ask for.

The files beside this module hold what was read, by row id; no text. Readers were language models that saw the request,
the answer (of a long one its head and tail) and the definitions of the card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from classifiers.training.rows import Row

FILE = Path(__file__).with_name("readings.json")
REQUESTS = Path(__file__).with_name("request_readings.json")
BENIGN = "benign"
UNCLEAR = "unclear"
"""What an answer is read as where two behaviours fit alike, or where two readers differ: no label."""


def _by_id(file: Path) -> Mapping[str, str]:
    kept: dict[str, list[str]] = json.loads(file.read_text("utf-8"))
    return {one: label for label, ids in kept.items() for one in ids}


@cache
def readings() -> Mapping[str, str]:
    """What was read, by row id: a behaviour or `UNCLEAR`."""
    return _by_id(FILE)


@cache
def request_readings() -> Mapping[str, str]:
    """What requests of the source without labels were read as, by row id: `BENIGN`, a category or `UNCLEAR`.

    Training learns from it whether a request is harmful, and not in which way (see `requests._request`).
    """
    return _by_id(REQUESTS)


def read_as(row: Row) -> str | None:
    """What an answer was read as where it was, `UNCLEAR` among them; else its source's own word, if it has one."""
    return readings().get(row.id, row.behaviour)


def asked_as(row: Row) -> str | None:
    """What a request was read as where it was: `BENIGN`, a category or `UNCLEAR`."""
    return request_readings().get(row.id)


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
