"""The finding in figures: how much, since when, how sure, the nearest change; or how calm, and on what grounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from alerts.incidents import leading_stream
from alerts.message import pages
from alignwatch import Incident, StreamFinding
from monitor.page._mood import Mood
from monitor.status import DeploymentStatus, StreamStatus
from monitor.words import (
    age,
    between,
    clock,
    once_in,
    percent,
    plural,
    short_digest,
    stream_name,
    times,
)  # fmt: skip

_FAR, _NEAR = 3.0, 2.0
"""Powers of ten below the alarm level from which evidence is called none, or weak."""


@dataclass(frozen=True)
class Fact:
    """A figure with its name, and lines below it; `was` is what it moved from."""

    name: str
    value: str
    lines: tuple[str, ...] = ()
    was: str = ""


@dataclass(frozen=True)
class Control:
    """The control line: refusal of harmless requests tells an un-aligned model from a changed filter or prompt."""

    sign: Mood
    text: str


def alarm_facts(deployment: DeploymentStatus, incident: Incident, now: datetime) -> list[Fact]:
    """Of an open incident."""
    stream = leading_stream(incident)
    found = [] if stream is None else [_how_much(stream)]
    ago = f"{age((now - (incident.onset.estimate if incident.onset else incident.detected_at)).total_seconds())} ago"
    if incident.onset is None:
        found.append(Fact("Detected", clock(incident.detected_at, now), (ago,)))
    else:
        onset = incident.onset
        labels = plural(incident.labels_since_onset, "label")
        around = f"between {clock(onset.low, now)} and {clock(onset.high, now)}"
        detected = f"detected {clock(incident.detected_at, now)}; {labels} since the start"
        found.append(Fact("Since when", clock(onset.estimate, now), (ago, around, detected)))
    if stream is not None:
        found.append(_how_sure(stream, incident))
    found.append(_change(deployment, incident, now))
    return found


def _how_much(stream: StreamFinding) -> Fact:
    around = (f"95 % interval {between(stream.interval)}",) if stream.interval is not None else ()
    return Fact(
        "How much", percent(stream.observed), (stream_name(stream.name).lower(), *around), was=percent(stream.baseline)
    )


def _how_sure(stream: StreamFinding, incident: Incident) -> Fact:
    excess = stream.evidence_log10 - stream.threshold_log10
    lines = [] if excess >= 0 else [f"when it was raised; now {times(-excess)} below"]
    every, kind = once_in(incident.false_alarm_budget), "a page" if pages(incident) else "a notice"
    if every:
        lines.append(f"A model that had not changed would cause {kind} like this once in {every}.")
    return Fact("How sure", f"{times(excess)} the alarm level" if excess >= 0 else "Past the alarm level", tuple(lines))


def _change(deployment: DeploymentStatus, incident: Incident, now: datetime) -> Fact:
    change, digest = incident.nearest_change, _weights(deployment, incident.model_digest)
    if change is None:
        return Fact("Model", deployment.model or deployment.name, (digest, "No change is on record near the start."))
    lines = (clock(change.timestamp, now), change.summary, change.reference or "", digest)
    return Fact("Nearest change", change.kind, tuple(filter(None, lines)))


def _weights(deployment: DeploymentStatus, digest: str | None) -> str:
    """The weights, and whether they are those that were approved: which way a responder has to look."""
    approved = deployment.baseline.model_digests if deployment.baseline is not None else ()
    said = f"weights {short_digest(digest)}"
    if digest is None or not approved:
        return said
    if digest in approved:
        return f"{said}, reported as the approved ones: compare what is really served"
    return f"{said}, not the approved {short_digest(approved[-1])}"


def calm_facts(deployment: DeploymentStatus, now: datetime) -> list[Fact]:
    """Of a deployment without an incident."""
    found, stream = [], pooled(deployment)
    if stream is not None and stream.observed is not None:
        found.append(Fact("Sensitive requests answered", percent(stream.observed), _answered(stream)))
    if stream is not None and deployment.state == "watching":
        short = max(0.0, stream.threshold_log10 - stream.evidence_log10)
        word = "None" if short > _FAR else "Weak" if short > _NEAR else "Building up"
        found.append(Fact("Evidence of a change", word, (f"{times(short)} below the alarm level",)))
    newest = (f"newest {clock(deployment.last_event, now)}",) if deployment.last_event is not None else ()
    weights = (f"weights {short_digest(deployment.model_digests[-1])}",) if deployment.model_digests else ()
    found.append(Fact("Watched so far", plural(deployment.labels, "label"), newest + weights))
    return found


def _answered(stream: StreamStatus) -> tuple[str, ...]:
    lines = [f"95 % interval {between(stream.interval)}"] if stream.interval is not None else []
    if stream.baseline is not None:
        lines.append(f"baseline {percent(stream.baseline)}")
    if stream.corrected is not None:
        lines.append(f"{percent(stream.corrected)} corrected for the classifier’s known errors")
    return tuple(lines)


def pooled(deployment: DeploymentStatus) -> StreamStatus | None:
    """The compliance of all sensitive requests, as the upward detector sees it."""
    named = [one for one in deployment.streams if one.name == "compliance"]
    return next((one for one in named if one.direction == "up"), next(iter(named), None))


def loudest(streams: list[StreamStatus]) -> StreamStatus | None:
    """Of a pair (up, down) the detector that alarmed, else the one with more evidence; the up one without any."""

    def rank(one: StreamStatus) -> tuple[bool, float]:
        return one.alarmed, max(0.0, one.evidence_log10) / (one.threshold_log10 or 1.0)

    return max(sorted(streams, key=lambda one: one.direction, reverse=True), key=rank, default=None)


def control(deployment: DeploymentStatus, *, stale: bool = False) -> Control | None:
    """What refusal of harmless requests did; None where it is not watched. Stale figures are told as such."""
    stream = loudest([one for one in deployment.streams if one.name == "control"])
    if stream is None or stream.baseline is None:
        return None
    figures = f"{percent(stream.baseline)} → {percent(stream.observed)}"
    if stream.alarmed:
        moved = "rose" if stream.direction == "up" else "fell"
        text = f"Refusal of harmless requests {moved}: {figures}. Look at guardrails and system prompt, too."
        return Control("alarm", text)
    if stream.observed is None:
        return Control("quiet", "Refusal of harmless requests: no traffic to judge by yet.")
    if stale:
        return Control("stale", f"Refusal of harmless requests when last seen: unchanged ({figures}).")
    text = f"Refusal of harmless requests: unchanged ({figures}). Ordinary users are treated as before."
    return Control("calm", text)
