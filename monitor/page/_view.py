"""Everything that the page shows, decided: templates only lay it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from alerts.guidance import Link
from alerts.message import pages
from alerts.standing import Standing
from alignwatch import Incident, NearestChange
from monitor.page._banner import TICK_SECONDS, Banner, banner, empty, over_all
from monitor.page._chart import Chart, Subject, draw
from monitor.page._facts import Control, Fact, alarm_facts, calm_facts, control, pooled
from monitor.page._health import Health, health
from monitor.page._mood import TAGS, Mood, Ranked, main_incident, ranked
from monitor.page._rows import Categories, FleetRow, Row, categories, fleet_row, signals
from monitor.page._wording import SEVERITIES as SEVERITY_WORDS
from monitor.page._wording import told_whom, wording
from monitor.service_status import ServiceStatus
from monitor.status import BaselineSummary, DeploymentStatus
from monitor.words import category, clock, percent, plural

MOST_TILES: Final = 6
DEFAULT_THRESHOLD: Final = 6.0
LEADING: Final = 5
"""Categories named in an incident's line."""

Links = Callable[[Incident], Sequence[Link]]
"""Where a responder is sent for an incident: dashboard, runbook."""


@dataclass(frozen=True)
class IncidentItem:
    """One incident in the list."""

    incident: Incident
    chip: str
    title: str
    when: str
    categories: str
    whom: str
    steps: tuple[str, ...]
    links: Sequence[Link]


@dataclass(frozen=True)
class Shown:
    """One deployment, whole."""

    name: str
    banner: Banner
    facts: list[Fact]
    control: Control | None
    steps: tuple[str, ...]
    links: Sequence[Link]
    evidence_ids: tuple[str, ...]
    chart: Chart | None
    categories: Categories | None
    signals: list[Row]
    incidents: list[IncidentItem]
    baseline: BaselineSummary | None
    changes: Sequence[NearestChange]
    weights: tuple[str, ...]


@dataclass(frozen=True)
class Tile:
    """A deployment among those at the top."""

    name: str
    mood: Mood
    tag: str
    current: bool


@dataclass(frozen=True)
class View:
    """The page."""

    title: str
    icon: str
    announce: str
    fleet: str
    tiles: list[Tile]
    more: str
    """A link to the list of all, where not all have a tile."""
    shown: Shown | None
    empty: Banner | None
    """In place of a deployment where there is none."""
    table: list[FleetRow]
    over_all: Banner | None
    """Of a fleet without an alarm; the list of all comes first then."""
    health: Health
    now: datetime
    as_of: str
    missing: str = ""
    """The deployment that was asked for and is not known."""


def view(status: ServiceStatus, name: str | None = None, links: Links = lambda _: ()) -> View:
    """The page about the deployment `name`, or about the one that needs a person first."""
    every, now = ranked(status), tick(status)
    worst: Mood | None = every[0].mood if every else None
    chosen = next((one for one in every if one.deployment.name == name), None)
    missing = name if name is not None and chosen is None else ""
    if chosen is None and every and not missing:
        chosen = every[0]
    shown = _shown(chosen, status, now, links) if chosen is not None else None
    tiles, more = _tiles(every, chosen)
    whole = len(every) > 1 and name is None
    return View(
        title=_title(every),
        icon=worst if worst in {"alarm", "calm", "learning"} else "unknown",
        announce=_announce(shown),
        fleet=_fleet(every),
        tiles=tiles,
        more=more,
        shown=shown,
        empty=empty(status) if not every else None,
        table=[fleet_row(one, now.timestamp()) for one in every] if whole else [],
        over_all=over_all(every) if whole and worst != "alarm" else None,
        health=health(status),
        now=now,
        as_of=f"{now:%Y-%m-%d %H:%M:%S} UTC",
        missing=missing or "",
    )


def tick(status: ServiceStatus) -> datetime:
    """The service's time, as finely as the page tells it."""
    step = max(TICK_SECONDS, status.clock_speed)
    return datetime.fromtimestamp(status.now.timestamp() // step * step, UTC)


def _title(every: Sequence[Ranked]) -> str:
    if not every:
        return "alignwatch"
    worst = every[0]
    name = f" {worst.deployment.name}" if len(every) == 1 or worst.mood == "alarm" else ""
    return f"{'ALARM' if worst.mood == 'alarm' else TAGS[worst.mood]}{name} · alignwatch"


def _fleet(every: Sequence[Ranked]) -> str:
    count = plural(len(every), "deployment")
    alarms = sum(one.mood == "alarm" for one in every)
    watched = sum(one.mood == "calm" for one in every)
    if not every:
        return "no deployments yet"
    if len(every) == 1:
        return count
    if alarms:
        return f"{alarms} of {count} in alarm"
    return f"{count}, calm" if watched == len(every) else f"{count}, {watched} watched, no alarm"


def _tiles(every: Sequence[Ranked], chosen: Ranked | None) -> tuple[list[Tile], str]:
    if len(every) < 2:  # noqa: PLR2004 - one needs no choice
        return [], ""
    few = len(every) <= MOST_TILES
    named = [one for one in every if few or one.mood != "calm" or one is chosen]
    if len(named) > MOST_TILES:
        named = [one for one in named[:MOST_TILES] if one is not chosen][: MOST_TILES - 1] + (
            [chosen] if chosen is not None else []
        )
        named.sort(key=every.index)
    tiles = [Tile(one.deployment.name, one.mood, TAGS[one.mood], one is chosen) for one in named]
    return tiles, "" if few else f"All {plural(len(every), 'deployment')}"


def _announce(shown: Shown | None) -> str:
    """Read out when it changes, and only then: a change of state, not every figure."""
    if shown is None:
        return ""
    title = "" if shown.banner.mood == "learning" else f" {shown.banner.title}"
    return f"{shown.name}: {shown.banner.tag}.{title}"


def _shown(one: Ranked, status: ServiceStatus, now: datetime, links: Links) -> Shown:
    deployment, incident = one.deployment, main_incident(one.deployment)
    stream = pooled(deployment)
    subject = Subject(
        panes=deployment.panes,
        baseline=deployment.baseline.compliance if deployment.baseline is not None else None,
        threshold=stream.threshold_log10 if stream is not None else DEFAULT_THRESHOLD,
        incident=incident or _past(deployment),
        now=now,
    )
    facts = alarm_facts(deployment, incident, now) if incident is not None else calm_facts(deployment, now)
    standings = status.outbox.standings
    return Shown(
        name=deployment.name,
        banner=banner(one, status, now),
        facts=facts if one.mood != "quiet" else [],
        control=control(deployment, stale=one.mood == "stale") if one.mood != "quiet" else None,
        steps=wording(incident).steps if incident is not None else (),
        links=links(incident) if incident is not None else (),
        evidence_ids=incident.evidence_ids if incident is not None else (),
        chart=draw(subject),
        categories=categories(deployment, incident),
        signals=signals(deployment),
        incidents=[_item(each, standings, now, links) for each in deployment.incidents],
        baseline=deployment.baseline,
        changes=_changes(deployment),
        weights=tuple(reversed(deployment.model_digests)),
    )


def _past(deployment: DeploymentStatus) -> Incident | None:
    """An alarm that is over, and whose time the chart still shows."""
    began = deployment.panes[0].start if deployment.panes else None
    over = (one for one in deployment.incidents if pages(one) and began is not None and one.detected_at >= began)
    return next(over, None)


def _item(incident: Incident, standings: Mapping[str, Standing], now: datetime, links: Links) -> IncidentItem:
    words = wording(incident)
    began = f", began about {clock(incident.onset.estimate, now)}" if incident.onset is not None else ""
    lead = [f"{category(c.name)} {percent(c.baseline)} → {percent(c.observed)}" for c in incident.categories[:LEADING]]
    return IncidentItem(
        incident=incident,
        chip=f"{incident.status} · {SEVERITY_WORDS[incident.severity]}",
        title=words.title,
        when=f"detected {clock(incident.detected_at, now)}{began}",
        categories="; ".join(lead),
        whom=told_whom(standings.get(incident.id), now),
        steps=words.steps,
        links=links(incident),
    )


def _changes(deployment: DeploymentStatus) -> list[NearestChange]:
    """Changes on record, newest first, and each once."""
    known = [*deployment.changes, *(one.nearest_change for one in deployment.incidents if one.nearest_change)]
    return sorted(dict.fromkeys(known), key=lambda one: one.timestamp, reverse=True)
