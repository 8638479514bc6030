"""What travels from the outbox to a sink: an incident, what to do with it there, and under which key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from alignwatch import SEVERITIES, Incident, Record, Severity, Verdict

Action = Literal["trigger", "acknowledge", "resolve"]
"""`trigger` opens an alert or adds to the open one of the same key; `acknowledge` says that a person has taken it;
`resolve` closes it."""
Cause = Literal["opened", "updated", "escalated", "acknowledged", "recovered", "resolved"]
"""Why the message exists; an escalation triggers under a new key and resolves the old one."""

RANK: Final[Mapping[Severity, int]] = {severity: rank for rank, severity in enumerate(reversed(SEVERITIES))}
"""0 for `info` up to 3 for `critical`."""


def pages(incident: Incident) -> bool:
    """Whether it is meant to wake a person."""
    return RANK[incident.severity] >= RANK["error"]


class Message(Record):
    """One event for one sink; free of secrets and of any text that users or models wrote."""

    action: Action
    cause: Cause
    dedup_key: str
    """Names the alert at the sink: stable within an episode, new for a new episode or a higher severity."""
    level: Severity
    """The severity that the key stands for: the highest that the episode had reached when the key was made."""
    opened_as: Verdict
    """The verdict when the episode opened, for labels that must not change while an alert is open."""
    incident: Incident
    acknowledged_by: str | None = None
    """With `acknowledge`: who has taken it."""
    test: bool = False
    """A test of the route: marked as such in everything a person sees."""
