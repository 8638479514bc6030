"""The top of the page: what is the matter, with one deployment or with all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerts.guidance import ack_command
from alerts.message import pages
from alerts.standing import Standing
from alignwatch import Incident
from monitor.page._mood import ORDER, TAGS, Mood, Ranked, main_incident, open_incidents, silence
from monitor.page._wording import SEVERITIES, told_whom, wording
from monitor.service_status import ServiceStatus
from monitor.status import DeploymentStatus
from monitor.words import age, clock, listed, plural

TICK_SECONDS: Final = 15.0
"""Relative times are told by the last quarter of a minute, so that a page which says nothing new does not change."""
LATELY_SECONDS: Final = 86400.0
_IN_FLEET: Final[dict[Mood, str]] = {
    "alarm": "in alarm",
    "notice": "with a notice that pages nobody",
    "stale": "without traffic lately",
    "quiet": "without traffic so far",
    "learning": "without an approved baseline",
    "calm": "behaving as they did when approved",
}


@dataclass(frozen=True)
class Banner:
    """The top of the page."""

    mood: Mood
    tag: str
    title: str
    sentence: str
    who: str = ""
    kind: str = ""
    """Severity and verdict of the incident."""
    whom: str = ""
    ack: str = ""
    """The command that takes the incident; empty where it is taken, or nobody is told."""
    learnt: tuple[int, int] | None = None
    others: str = ""


def over_all(every: Sequence[Ranked]) -> Banner:
    """Of a fleet without an alarm."""
    counts = Counter(one.mood for one in every)
    rest = [f"{n} {_IN_FLEET[mood]}" for mood, n in sorted(counts.items(), key=lambda one: ORDER[one[0]])]
    calm = counts["calm"] == len(every)
    title = f"No alarm in {plural(len(every), 'deployment')}"
    # One that is silent or not compared may be anything: the whole is not calm then.
    mood: Mood = "calm" if calm else "notice"
    blind = counts["stale"] + counts["quiet"] + counts["learning"]
    tag = "Not all are watched" if blind else TAGS[mood]
    return Banner(mood, tag, title, f"{listed(rest)}.".capitalize())


def empty(status: ServiceStatus) -> Banner:
    """Where there is no deployment."""
    if status.pipeline.labelled > 0:
        elsewhere = "Its labels go to a topic; what they say of the model is on the page of the process that detects."
        return Banner("quiet", "Labelling", "This process labels", elsewhere)
    source = f"The {status.source.kind} source is "
    state = "connected and has brought nothing so far." if status.source.ready else "not connected."
    return Banner("quiet", "Waiting", "No traffic yet", source + state)


def banner(one: Ranked, status: ServiceStatus, now: datetime) -> Banner:
    """Of one deployment."""
    deployment, incident = one.deployment, main_incident(one.deployment)
    title, sentence = _headline(one, status, now)
    standing = status.outbox.standings.get(incident.id) if incident is not None else None
    others = len(open_incidents(deployment)) - (incident is not None)
    return Banner(
        mood=one.mood,
        tag=TAGS[one.mood],
        title=title,
        sentence=sentence,
        who=deployment.name,
        kind=f"{SEVERITIES[incident.severity]} · {incident.verdict}" if incident is not None else "",
        whom=told_whom(standing, now),
        ack=_ack(incident, standing),
        learnt=deployment.learning if one.mood == "learning" else None,
        others=plural(others, "other open incident") if others > 0 else "",
    )


def _ack(incident: Incident | None, standing: Standing | None) -> str:
    firing = incident is not None and standing is not None and standing.state == "firing"
    return ack_command(incident) if firing and incident is not None else ""


def _headline(one: Ranked, status: ServiceStatus, now: datetime) -> tuple[str, str]:
    deployment, incident = one.deployment, main_incident(one.deployment)
    match one.mood:
        case "alarm" | "notice":
            if incident is None:
                return "A statistic is past its alarm level", "Details follow below."
            return wording(incident).title, wording(incident).means
        case "stale":
            return _stale(silence(deployment, status), behind=bool(status.source.lag))
        case "quiet":
            said = "Nothing has been labelled for this deployment. The source and its lag are at the foot of the page."
            return "No traffic yet", said
        case "learning":
            seen, needed = deployment.learning or (deployment.labels, 0)
            title = f"Learning: {seen:,} of {needed:,} sensitive requests" if needed else "No approved baseline"
            return title, "There is no approved baseline, so nothing is compared and no change can page anyone yet."
        case "calm":
            return "Behaving as it did when approved", f"It refuses what it refused before. {_lately(deployment, now)}"


def _stale(seconds: float, *, behind: bool) -> tuple[str, str]:
    silent = age(seconds // TICK_SECONDS * TICK_SECONDS)
    if behind:
        waits = "Traffic waits to be read: the figures below are of the past. See the source at the foot of the page."
        return f"{silent} behind", waits
    unwatched = "The figures below are the last that were seen. A model that gets no traffic can’t be watched."
    return f"No traffic for {silent}", unwatched


def _lately(deployment: DeploymentStatus, now: datetime) -> str:
    """What a calm banner must still say: an alarm that went away by itself less than a day ago."""
    for one in deployment.incidents:
        ago = (now - (one.updated_at or one.detected_at)).total_seconds()
        if one.status != "open" and pages(one) and ago < LATELY_SECONDS:
            when, title = clock(one.detected_at, now), wording(one).title
            return f"But there was an alarm at {when}: “{title}”. It has {one.status}; see the incidents."
    return "Nothing here needs a person."
