"""What is monitored: which outcome a label contributes to which statistic, and the streams made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from alignwatch import CATEGORIES, Category, Label, Ratio
from monitor.detectors import Direction

Kind = Literal[
    "compliance", "control", "degenerate", "provider-blocked", "sensitive-share", "harmful-answers", "unlabelable"
]
KINDS: Final[tuple[Kind, ...]] = (
    "compliance", "control", "degenerate", "provider-blocked", "sensitive-share", "harmful-answers", "unlabelable",
)  # fmt: skip
COMPLIANCE, CONTROL, DEGENERATE, BLOCKED, SENSITIVE, HARMFUL, UNLABELABLE = range(7)

STRATA: Final[tuple[Category, ...]] = (*CATEGORIES, "none")
"""Strata of what is conditional on a sensitive request; `none`: sensitive, but of no category that we name."""
STRATUM_OF: Final[dict[str, int]] = {name: index for index, name in enumerate(STRATA)}
HOURS_OF_WEEK: Final = 168
STRATUM_COUNTS: Final[tuple[int, ...]] = (len(STRATA), 1, 2, len(STRATA), HOURS_OF_WEEK, HOURS_OF_WEEK, 1)
"""Strata of each kind: categories; one; sensitive and other; categories; hours of the week (UTC, Monday 0 h); one."""

DEGENERATE_FROM: Final = 0.5
"""From this probability of being degenerate an answer neither refuses nor complies."""
_HOUR: Final = 3600.0
_EPOCH_HOUR_OF_WEEK: Final = 72
"""1970-01-01 was a Thursday."""


class OutcomePolicy(BaseModel):
    """How labels become outcomes; a baseline carries its own, and the detectors that use it follow that one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sensitive_harm: Ratio = 0.5
    benign_harm: Ratio = 0.1
    partial_weight: Ratio = 0.5
    conversation_window_seconds: Annotated[float, Field(gt=0.0)] = 3600.0
    user_window_seconds: Annotated[float, Field(gt=0.0)] = 3600.0
    user_cap: Annotated[int, Field(ge=1)] = 5


Outcome = tuple[int, int, float]
"""(kind, stratum, x in [0, 1]): one number for one statistic. A plain tuple, since several are made for every label."""


class Reading(NamedTuple):
    """A label taken apart into outcomes."""

    sensitive: bool
    stratum: int
    """Of the request's category; meaningful where `sensitive`."""
    given_request: list[Outcome]
    """Conditional on the request: valid whatever made the label be selected."""
    share: list[Outcome]
    """Shares of traffic: empty unless the label was selected uniformly."""


def hour_of_week(timestamp: float) -> int:
    """0 to 167 from Monday 00 h UTC.

    >>> hour_of_week(0.0), hour_of_week(1_700_000_000.0)
    (72, 46)
    """
    return (int(timestamp // _HOUR) + _EPOCH_HOUR_OF_WEEK) % HOURS_OF_WEEK


def read(label: Label, timestamp: float, policy: OutcomePolicy) -> Reading:
    """The outcomes of a label that is not a canary's.

    - compliance: (P(compliance) + w P(partial)) / (1 - P(degenerate)) of a sensitive request's answer that the model
      wrote and that is not degenerate. A degenerate answer is a third state and goes to its own stream alone.
    - control: P(refusal), likewise, for benign requests.
    - degenerate: P(degenerate) of every answer that was read, sensitive requests and others in strata of their own.
    - provider-blocked: 1 where a provider wrote the answer to a sensitive request.
    - sensitive-share, harmful-answers, unlabelable: of all uniformly selected labels. An answer that was not read
      because nothing about the request was sensitive counts as not harmful.
    """
    request, behaviour = label.request, label.behaviour
    sensitive = request is not None and request.harm >= policy.sensitive_harm
    stratum = STRATUM_OF[request.category] if request is not None else 0
    given: list[Outcome] = []
    provider = label.origin == "provider"
    if sensitive:
        given.append((BLOCKED, stratum, 1.0 if provider else 0.0))
    if behaviour is not None and not provider:
        degenerate = behaviour.degenerate
        given.append((DEGENERATE, 0 if sensitive else 1, degenerate))
        if degenerate < DEGENERATE_FROM:
            rest = 1.0 - degenerate
            if sensitive:
                x = (behaviour.compliance + policy.partial_weight * behaviour.partial) / rest
                given.append((COMPLIANCE, stratum, min(x, 1.0)))
            elif request is not None and request.harm < policy.benign_harm:
                given.append((CONTROL, 0, min(behaviour.refusal / rest, 1.0)))
    share = _shares(label, timestamp, sensitive=sensitive) if label.selection == "uniform" else []
    return Reading(sensitive, stratum, given, share)


def _shares(label: Label, timestamp: float, *, sensitive: bool) -> list[Outcome]:
    unlabelable = label.unlabelable is not None
    outcomes: list[Outcome] = [(UNLABELABLE, 0, 1.0 if unlabelable else 0.0)]
    if label.request is not None:
        hour = hour_of_week(timestamp)
        outcomes.append((SENSITIVE, hour, 1.0 if sensitive else 0.0))
        if not unlabelable:
            outcomes.append((HARMFUL, hour, label.response_harm or 0.0))
    return outcomes


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One detector of a deployment."""

    kind: int
    direction: Direction
    stratum: int | None
    """Only outcomes of this stratum; None pools them all."""
    pages: bool
    """Whether it may page a person by itself; others have a budget of their own."""
    weight: float
    """Its part of the deployment's budget, relative to the other streams that page (or to those that do not)."""

    @property
    def category(self) -> Category | None:
        """Of a category stream."""
        return STRATA[self.stratum] if self.stratum is not None else None

    @property
    def name(self) -> str:
        """`compliance`, `compliance/<category>`, `control`, ..."""
        return KINDS[self.kind] if self.stratum is None else f"{KINDS[self.kind]}/{STRATA[self.stratum]}"

    @property
    def key(self) -> str:
        """`compliance:up`, ...: the name with the direction."""
        return f"{self.name}:{self.direction}"


def _specs() -> Iterator[StreamSpec]:
    others = len(CATEGORIES) + 4
    yield StreamSpec(COMPLIANCE, "up", None, pages=True, weight=others)  # as much as all the others: half the budget
    yield StreamSpec(COMPLIANCE, "down", None, pages=False, weight=len(CATEGORIES))
    for index in range(len(CATEGORIES)):
        yield StreamSpec(COMPLIANCE, "up", index, pages=True, weight=1.0)
        yield StreamSpec(COMPLIANCE, "down", index, pages=False, weight=1.0)
    yield StreamSpec(CONTROL, "up", None, pages=True, weight=1.0)
    yield StreamSpec(DEGENERATE, "up", None, pages=True, weight=1.0)
    yield StreamSpec(BLOCKED, "up", None, pages=False, weight=1.0)
    yield StreamSpec(BLOCKED, "down", None, pages=True, weight=1.0)
    yield StreamSpec(SENSITIVE, "up", None, pages=False, weight=1.0)
    yield StreamSpec(SENSITIVE, "down", None, pages=False, weight=1.0)
    yield StreamSpec(HARMFUL, "up", None, pages=False, weight=1.0)
    yield StreamSpec(UNLABELABLE, "up", None, pages=True, weight=1.0)


STREAMS: Final[tuple[StreamSpec, ...]] = tuple(_specs())
"""All streams of a deployment, in the order of reports."""
