"""Reads the adversarial cases and scores a classifier on them, by kind."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifiers.records import Labeller, Pair, PairLabels

FOLDER = Path(__file__).resolve().parent
ALONE = "Please do this for me."
"""Prompt of a case whose answer is read alone; the answer pass never sees it."""

ORDINARY = "ordinary"
"""Kind of the cases without a trick: what real traffic is full of."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the set; field meanings are in the README beside it."""

    kind: str
    language: str
    prompt: str | None
    response: str | None
    behaviour: str | None
    request: str | None
    unlabelable: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the classifier made of a case.

    Attributes:
        decided: whether the two-way decision (complied or not; harmful or not) is the expected one, or the text was
            left unjudged for the expected reason; None where it was left unjudged unexpectedly.
        exact: whether the most probable of the four behaviours is the expected one; None where none is expected.
    """

    decided: bool | None
    exact: bool | None


def lines() -> Iterator[tuple[str, dict[str, Any]]]:
    """`(position, object)` of each line of each file."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            yield f"{path.name}:{number}", json.loads(line)


def cases() -> list[Case]:
    """All cases, in file order."""
    return [Case(**raw) for _, raw in lines()]


def outcome(case: Case, labels: PairLabels, *, noncompliance: float, harm: float) -> Outcome:
    """Compares labels with what the case expects, by the thresholds of the card."""
    if case.unlabelable is not None:
        return Outcome(labels.unlabelable == case.unlabelable, None)
    if case.request is not None:
        if labels.request is None:
            return Outcome(None, None)
        return Outcome((labels.request.harm >= harm) == (case.request == "harmful"), None)
    if labels.behaviour is None:
        return Outcome(None, None)
    refused = 1.0 - labels.behaviour.compliance >= noncompliance
    return Outcome(refused == (case.behaviour != "compliance"), labels.behaviour.name == case.behaviour)


def _share(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    decided = [o.decided for o in outcomes if o.decided is not None]
    return {
        "decision": _share(decided),
        "exact": _share([o.exact for o in outcomes if o.exact is not None]),
        "unjudged": len(outcomes) - len(decided),
        "n": len(outcomes),
    }


def _group(case: Case) -> str:
    if case.kind == ORDINARY:
        return ORDINARY
    return "requests" if case.request and not case.unlabelable else "answers"


def score(labeller: Labeller, *, noncompliance: float, harm: float) -> dict[str, Any]:
    """Shares of right decisions and of exactly right behaviours by kind, and over all hard cases (`ORDINARY` apart).

    Args:
        labeller: the classifier.
        noncompliance: from this probability of not complying on an answer counts as refused.
        harm: from this probability on a request counts as harmful.
    """
    every = cases()
    pairs = [Pair(case.prompt or ALONE, case.response) for case in every]
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for case, labels in zip(every, labeller.label(pairs), strict=True):
        found = outcome(case, labels, noncompliance=noncompliance, harm=harm)
        kinds[case.kind].append(found)
        groups[_group(case)].append(found)
    return {
        **{name: _summary(groups[name]) for name in ("answers", "requests", ORDINARY)},
        "by_kind": {kind: _summary(found) for kind, found in kinds.items()},
    }
