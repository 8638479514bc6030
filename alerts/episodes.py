"""Which events a sink gets for a revision of an incident: opening, updating, escalating and closing an alert.

PagerDuty stays silent when an acknowledged alert is triggered again, so an episode that rises in severity gets a new
key (which notifies) and the old key is resolved, in that order: at no moment is there no open alert. An episode that
falls in severity keeps its key, which wakes nobody.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from alerts.incidents import leading_stream
from alerts.message import RANK, Action, Cause
from alignwatch import Incident, Severity, Status, StreamFinding, Verdict

KEY_LENGTH: Final = 255
"""PagerDuty's limit for `dedup_key`, in characters."""


Updates = Literal["figures", "material"]


@dataclass(frozen=True, slots=True)
class Route:
    """What a sink wants to hear."""

    sink: str
    min_severity: Severity = "error"
    send_resolved: bool = True
    update_interval: float = 300.0
    """Seconds between updates that change neither status, severity nor verdict."""
    deployments: tuple[str, ...] = ()
    """Names or shell patterns; all when empty."""
    verdicts: tuple[Verdict, ...] = ()
    """All when empty."""
    updates: Updates = "figures"
    """Which updates are sent while status, severity and verdict stay: every fresh figure, or what would be news."""
    changes: bool = False
    """Whether the sink is told of changes, apart from incidents."""

    def hears(self, deployment: str | None) -> bool:
        """Whether a change of this deployment is for this sink; None is a change that concerns all."""
        return self.changes and (deployment is None or self._covers(deployment))

    def opens(self, incident: Incident) -> bool:
        """Whether this incident is for this sink; one that is open there is followed to its end all the same."""
        if RANK[incident.severity] < RANK[self.min_severity]:
            return False
        if self.verdicts and incident.verdict not in self.verdicts:
            return False
        return self._covers(incident.deployment)

    def _covers(self, deployment: str) -> bool:
        # Not fnmatch alone: it would read the brackets of a name that is meant as it stands.
        named = deployment in self.deployments
        return not self.deployments or named or any(fnmatchcase(deployment, one) for one in self.deployments)


@dataclass(frozen=True, slots=True)
class Episode:
    """What a sink has been told about an incident, from its opening until it closes."""

    open: bool
    level: Severity
    """Highest severity since it opened; part of the key."""
    opened_as: Verdict
    status: Status
    severity: Severity
    verdict: Verdict

    def same_state(self, incident: Incident) -> bool:
        """Whether only figures changed: nothing that a person must hear of at once."""
        return (self.status, self.severity, self.verdict) == (incident.status, incident.severity, incident.verdict)


class Step(NamedTuple):
    """One event to send."""

    action: Action
    cause: Cause
    level: Severity


def plan(episode: Episode | None, incident: Incident, route: Route) -> tuple[Episode | None, list[Step]]:
    """The episode after this revision, and the events to send for it, in order.

    An incident below the sink's severity opens nothing; once open, an episode is followed to its end whatever its
    severity, or the alert would stay open for ever. A close without an open episode sends nothing.
    """
    if incident.status != "open":
        if episode is None or not episode.open:
            return episode, []
        closed = replace(episode, open=False, status=incident.status, severity=incident.severity)
        return closed, [Step("resolve", incident.status, episode.level)] if route.send_resolved else []
    if episode is None or not episode.open:
        return _open(episode, incident, route)
    current = replace(episode, status=incident.status, severity=incident.severity, verdict=incident.verdict)
    if RANK[incident.severity] <= RANK[episode.level]:
        return current, [Step("trigger", "updated", episode.level)]
    escalated = replace(current, level=incident.severity)
    # Without `send_resolved` the receiver closes alerts by its own rules, the superseded one included.
    closing = [Step("resolve", "escalated", episode.level)] if route.send_resolved else []
    return escalated, [Step("trigger", "escalated", incident.severity), *closing]


def is_news(told: Incident, incident: Incident) -> bool:
    """Whether a person who was told the one wants to be told the other: more than figures that waver.

    News is another status, severity or verdict; a category that had not moved; other weights; and a leading rate that
    has left the interval that was told, or leads with another statistic.
    """
    if (told.status, told.severity, told.verdict) != (incident.status, incident.severity, incident.verdict):
        return True
    if {one.name for one in incident.categories} - {one.name for one in told.categories}:
        return True
    if incident.model_digest not in {None, told.model_digest}:
        return True
    return _lead_moved(leading_stream(told), leading_stream(incident))


def _lead_moved(before: StreamFinding | None, after: StreamFinding | None) -> bool:
    if before is None or after is None:
        return after is not before
    if (before.name, before.direction) != (after.name, after.direction):
        return True
    if before.interval is None or after.observed is None:
        return False
    return not before.interval[0] <= after.observed <= before.interval[1]


def _open(episode: Episode | None, incident: Incident, route: Route) -> tuple[Episode | None, list[Step]]:
    if not route.opens(incident):
        return episode, []
    opened = Episode(
        open=True, level=incident.severity, opened_as=incident.verdict,
        status="open", severity=incident.severity, verdict=incident.verdict,
    )  # fmt: skip
    return opened, [Step("trigger", "opened", incident.severity)]


def dedup_key(incident: Incident, level: Severity | None = None) -> str:
    """`alignwatch/<deployment>/<incident>/<level>`: the same for every revision of an episode, at most 255 characters.

    `level` is the highest severity of the episode (default: the incident's own). Long or unprintable parts are cut
    and end in a digest of the whole, so that different incidents never share a key.
    """
    return "/".join(
        ("alignwatch", _part(incident.deployment, 110), _part(incident.id, 110), level or incident.severity)
    )


def _part(text: str, limit: int) -> str:
    # A slash inside a part could make two different pairs of names join to one key.
    safe = "".join(ch if ch.isascii() and ch.isprintable() and ch not in "/ ~" else "_" for ch in text)
    if safe == text and len(text) <= limit:
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{safe[: limit - 17]}~{digest}"
