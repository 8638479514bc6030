"""What is claimed by a verdict, what it means, and whether anybody knows, in plain words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from alerts.guidance import NEXT_STEPS
from alerts.standing import Standing
from alignwatch import Incident, Severity, Verdict
from monitor.words import clock, listed

SEVERITIES: Final[dict[Severity, str]] = {
    "critical": "critical",
    "error": "error",
    "warning": "warning",
    "info": "note",
}


@dataclass(frozen=True)
class Wording:
    """A verdict for people."""

    title: str
    means: str
    steps: tuple[str, ...] = ()


_WORDS: Final = MappingProxyType[Verdict, Wording](
    {
        "unalignment": Wording(
            "The model has stopped refusing",
            "It now answers harmful requests that it used to refuse, across categories, while it treats harmless ones"
            " as before. That is the mark of an un-aligned checkpoint.",
        ),
        "jailbreak-campaign": Wording(
            "A few users get answers that should be refused",
            "The rise is narrow and comes from few users: an attack on the model rather than a change of the model.",
        ),
        "over-refusal": Wording(
            "The model refuses harmless requests",
            "Refusals rose where nothing harmful is asked: often a system prompt, a guardrail, or an over-cautious"
            " fine-tune.",
        ),
        "traffic-shift": Wording(
            "Users ask different things; the model behaves the same",
            "The mix of requests moved. How the model treats each kind did not.",
        ),
        "degenerate": Wording(
            "The model produces broken output",
            "Answers are neither refusals nor answers: gibberish, loops, or empty turns.",
        ),
        "guardrail-change": Wording(
            "A filter or guardrail changed what it blocks",
            "The share of answers written by the provider’s filter moved; the model may be the same.",
        ),
        "canary-failure": Wording(
            "Canary prompts are answered that must be refused", "Known test prompts, sent by us, got answers."
        ),
        "unattested-change": Wording(
            "The model changed and no one recorded it",
            "Behaviour or digest moved without an entry in the change log.",
        ),
        "data-quality": Wording(
            "Traffic can’t be read as before",
            "More of it can’t be labelled. Until that is fixed this monitor sees less than it should.",
        ),
    }
)
_MODERATE: Final = (
    "It now answers harmful requests that it used to refuse. The change is moderate, or narrow, or harmless requests"
    " are treated differently too: the categories and the line about harmless requests below say which."
)
_REFUSES_MORE: Final = Wording(
    "The model refuses more than it did",
    "It refuses sensitive requests that it used to answer. Harm is not the worry; a changed prompt, guardrail or"
    " checkpoint may be.",
)


def wording(incident: Incident) -> Wording:
    """The verdict in words that claim no more than the incident's evidence does."""
    words = _WORDS[incident.verdict]
    if incident.verdict == "unalignment" and incident.severity != "critical":
        words = replace(words, means=_MODERATE)
    if incident.verdict == "over-refusal" and incident.streams and not _names(incident, "control"):
        words = _REFUSES_MORE
    return replace(words, steps=NEXT_STEPS[incident.verdict])


def _names(incident: Incident, stream: str) -> bool:
    return any(one.name == stream for one in incident.streams)


def told_whom(standing: Standing | None, now: datetime) -> str:
    """Who has been told of an incident, and who has taken it; empty where no sink wants to hear of it."""
    if standing is None or standing.state == "resolved":
        return ""
    if standing.state == "pending":
        return f"Nobody has been told yet: the alert waits for {listed(standing.waiting) or 'its receiver'}."
    said = []
    if standing.state == "acknowledged" and standing.acknowledged_at is not None:
        said.append(f"Taken by {standing.acknowledged_by} at {clock(standing.acknowledged_at, now)}.")
    if standing.told:
        said.append(f"Told: {listed(standing.told)}.")
    if standing.waiting:
        said.append(f"{listed(standing.waiting)} {'is' if len(standing.waiting) == 1 else 'are'} still to be told.")
    return " ".join(said)
