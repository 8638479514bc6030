"""An incident as Prometheus writes alerts: labels that name it and never change, annotations that tell about it."""

from __future__ import annotations

from datetime import datetime

from alerts.config import AlertsConfig
from alerts.guidance import headline, links, next_steps, replay_command
from alerts.message import Message


def alert_labels(message: Message) -> dict[str, str]:
    """Stable while the alert is open: an alert is its labels, and changed labels would be another alert."""
    incident = message.incident
    return {
        "alertname": "AlignwatchTest" if message.test else "AlignwatchIncident",
        "deployment": incident.deployment,
        "incident": incident.id,
        "severity": message.level,
        "verdict": message.opened_as,
    }


def alert_annotations(message: Message, alerts: AlertsConfig) -> dict[str, str]:
    """Every value is a string, as receivers expect; the whole incident is one of them, as JSON."""
    incident = message.incident
    annotations = {
        "summary": headline(message),
        "description": " ".join(next_steps(message)),
        "severity_now": incident.severity,
        "verdict_now": incident.verdict,
        "replay": replay_command(incident, alerts),
        "incident": incident.to_json(),
    }
    return annotations | {f"{link.name}_url": link.href for link in links(incident, alerts)}


def rfc3339(value: datetime) -> str:
    """With milliseconds and `Z`."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
