"""Rows of the tables: categories, other signals, and the fleet."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from alignwatch import CategoryFinding, Incident
from monitor.page._chart import DECADES
from monitor.page._facts import loudest, pooled
from monitor.page._mood import TAGS, Mood, Ranked
from monitor.plots import Markup, bar, dumbbell
from monitor.status import DeploymentStatus, StreamStatus
from monitor.words import UNKNOWN, between, clock, percent, plural, stream_name, times, utc

Moved = Literal["moved", "blamed", ""]
_MOVED: Final = {"up": "▲ rose", "down": "▼ fell"}


@dataclass(frozen=True)
class Row:
    """One statistic: what it was, what it is, and how near to its alarm level."""

    name: str
    was: str
    now: str
    interval: str
    picture: Markup
    bar: Markup
    evidence: str
    word: str
    labels: str
    moved: Moved = ""


@dataclass(frozen=True)
class FleetRow:
    """One deployment in the list of all."""

    name: str
    mood: Mood
    tag: str
    was: str
    now: str
    picture: Markup
    bar: Markup
    evidence: str
    labels: str
    newest: str


@dataclass(frozen=True)
class Categories:
    """The table of categories and what it says in a sentence."""

    says: str
    rows: list[Row]


def towards(stream: StreamStatus) -> float:
    """0 to 1: the last powers of ten below a stream's alarm level; below them a detector merely idles."""
    return min(1.0, max(0.0, 1.0 + (stream.evidence_log10 - stream.threshold_log10) / DECADES))


def _in_words(stream: StreamStatus) -> str:
    share = towards(stream)
    if share >= 1.0:
        return "at its alarm level"
    return f"{times(stream.threshold_log10 - stream.evidence_log10)} below its alarm level" if share > 0.0 else "none"


def categories(deployment: DeploymentStatus, incident: Incident | None) -> Categories | None:
    """Each category's compliance, those that moved first; None where none is watched."""
    streams = _pairs([one for one in deployment.streams if one.category is not None])
    if not streams:
        return None
    findings = {one.name: one for one in incident.categories} if incident is not None else {}
    found = [(one, findings.get(one.category or "none")) for one in streams]
    found.sort(key=lambda pair: (-pair[0].alarmed, -_weight(pair[1]), -towards(pair[0]), -pair[0].labels))
    moved = sum(one.alarmed for one in streams)
    higher = sum(_is_higher(*pair) for pair in found)
    says = "No category moved by itself."
    if moved:
        says = f"{moved} of {plural(len(streams), 'category', 'categories')} moved past a level of their own."
    if incident is not None and higher:
        verb = "is" if higher == 1 else "are"
        says += f" {higher} more {verb} higher since the start (△), with too few requests yet to raise an alarm alone."
    return Categories(says, [_row(*pair) for pair in found])


def signals(deployment: DeploymentStatus) -> list[Row]:
    """Everything else that is watched."""
    rest = [one for one in deployment.streams if one.category is None and one.name != "compliance"]
    return [_row(one, None) for one in _pairs(rest)]


def _pairs(streams: list[StreamStatus]) -> list[StreamStatus]:
    """One for each name, in their order: of a pair (up, down) the one that says more."""
    names = list(dict.fromkeys(one.name for one in streams))
    named = sorted(streams, key=lambda one: names.index(one.name))
    groups = [loudest(list(group)) for _, group in groupby(named, key=lambda one: one.name)]
    return [one for one in groups if one is not None]


def _weight(finding: CategoryFinding | None) -> float:
    return finding.contribution if finding is not None else 0.0


def _is_higher(stream: StreamStatus, finding: CategoryFinding | None) -> bool:
    """Not past a level of its own, but the 95 % interval since the onset lies above the baseline."""
    if stream.alarmed or finding is None or finding.interval is None or finding.baseline is None:
        return False
    return finding.interval[0] > finding.baseline


def _row(stream: StreamStatus, finding: CategoryFinding | None) -> Row:
    moved: Moved = "moved" if stream.alarmed else "blamed" if _is_higher(stream, finding) else ""
    since = finding is not None and finding.observed is not None
    observed = finding.observed if finding is not None and since else stream.observed
    interval = finding.interval if finding is not None and since else stream.interval
    word = {"moved": _MOVED[stream.direction], "blamed": "△ higher", "": _calm(stream)}[moved]
    labels = (finding.labels if finding is not None else 0) or stream.labels
    return Row(
        name=stream_name(stream.name),
        was=percent(stream.baseline),
        now=percent(observed),
        interval=between(interval) if interval is not None else "",
        picture=dumbbell(stream.baseline, observed, interval),
        bar=bar(towards(stream), past=stream.alarmed),
        evidence=_in_words(stream),
        word=word,
        labels=f"{labels:,}",
        moved=moved,
    )


def _calm(stream: StreamStatus) -> str:
    """Of a stream that has not alarmed: never "steady" beside figures that say otherwise."""
    if stream.observed is None:
        return "no traffic"
    if stream.interval is None or stream.baseline is None:
        return "steady"
    if stream.interval[0] > stream.baseline:
        return "above, no alarm"
    return "below, no alarm" if stream.interval[1] < stream.baseline else "steady"


def fleet_row(one: Ranked, now: float) -> FleetRow:
    """A deployment on one line."""
    deployment, stream = one.deployment, pooled(one.deployment)
    last = deployment.last_event
    return FleetRow(
        name=deployment.name,
        mood=one.mood,
        tag=TAGS[one.mood],
        was=percent(stream.baseline if stream is not None else None),
        now=percent(stream.observed if stream is not None else None),
        picture=dumbbell(stream.baseline, stream.observed, stream.interval) if stream is not None else Markup(),
        bar=bar(towards(stream), past=stream.alarmed) if stream is not None else Markup(),
        evidence=_in_words(stream) if stream is not None else "",
        labels=f"{deployment.labels:,}",
        newest=clock(last, utc(now)) if last is not None else UNKNOWN,
    )
