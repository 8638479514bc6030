"""Which of a few states a deployment is in, as a person would say it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from alerts.message import RANK, pages
from alignwatch import Incident
from monitor.service_status import ServiceStatus
from monitor.status import DeploymentStatus

Mood = Literal["alarm", "notice", "stale", "quiet", "learning", "calm"]
"""`alarm` pages a person; `notice` is an open incident that does not; `stale`: no traffic lately; `quiet`: none yet."""

ORDER: Final[dict[Mood, int]] = {"alarm": 0, "notice": 1, "stale": 2, "quiet": 3, "learning": 4, "calm": 5}
TAGS: Final[dict[Mood, str]] = {
    "alarm": "Alarm",
    "notice": "Notice, no page",
    "stale": "No news",
    "quiet": "Waiting",
    "learning": "Not watching yet",
    "calm": "Watching: calm",
}
STALE_SECONDS: Final = 600.0
DEMO_SLACK: Final = 20.0
"""A fast clock runs ahead of its traffic by a moment of real time; so many seconds of it are not yet silence."""


class Ranked(NamedTuple):
    """A deployment and its state."""

    deployment: DeploymentStatus
    mood: Mood


def open_incidents(deployment: DeploymentStatus) -> list[Incident]:
    """The worst and then the newest first."""
    still = [one for one in deployment.incidents if one.status == "open"]
    return sorted(still, key=lambda one: (-RANK[one.severity], -one.detected_at.timestamp()))


def main_incident(deployment: DeploymentStatus) -> Incident | None:
    """The incident that the banner is about, if any."""
    return next(iter(open_incidents(deployment)), None)


def silence(deployment: DeploymentStatus, status: ServiceStatus) -> float:
    """Seconds since the newest event, on the service's clock."""
    return (status.now - deployment.last_event).total_seconds() if deployment.last_event is not None else 0.0


def mood(deployment: DeploymentStatus, status: ServiceStatus) -> Mood:
    """The state that a person must know of first."""
    worst = main_incident(deployment)
    if pages(worst) if worst is not None else deployment.state == "alarm":
        return "alarm"
    if deployment.last_event is None:
        return "quiet"
    if _stale(deployment, status):
        return "stale"
    if worst is not None:
        return "notice"
    return "calm" if deployment.state == "watching" else "learning"


def ranked(status: ServiceStatus) -> list[Ranked]:
    """Deployments with those that need a person first."""
    every = [Ranked(one, mood(one, status)) for one in status.deployments]
    return sorted(every, key=lambda one: (ORDER[one.mood], one.deployment.name))


def _stale(deployment: DeploymentStatus, status: ServiceStatus) -> bool:
    # Recorded traffic is old by nature.
    limit = STALE_SECONDS if status.clock_speed == 1.0 else max(STALE_SECONDS, DEMO_SLACK * status.clock_speed)
    return status.source.kind != "file" and silence(deployment, status) > limit
