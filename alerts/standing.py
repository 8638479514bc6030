"""Where an incident stands with people: waiting to be told, told, taken by somebody, or over.

A person takes an incident in PagerDuty, or with `alignwatch alert ack`, which tells the sinks that know such a thing.
What was taken rings again only when it gets worse, under a new key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from alerts import _tables
from alerts.errors import OutboxError
from alerts.message import RANK, Message
from alignwatch import Record, Timestamp

State = Literal["pending", "firing", "acknowledged", "resolved"]
"""`pending`: no sink has got it yet; `firing`: one has; `acknowledged`: a person has taken it at this severity."""
WHO_LENGTH: Final = 100


class Standing(Record):
    """One incident, as far as alerts go."""

    state: State
    told: tuple[str, ...] = ()
    """Sinks that took the latest event about it."""
    waiting: tuple[str, ...] = ()
    """Sinks that have an event still to come."""
    acknowledged_by: str | None = None
    acknowledged_at: Timestamp | None = None


def standings(connection: sqlite3.Connection) -> Mapping[str, Standing]:
    """Every incident that a sink has been told of, or is to be; by id. One that no sink wants to hear of is not there.

    Raises:
        OutboxError: the tables can't be read.
    """
    try:
        rows = _tables.query(
            connection,
            "SELECT e.incident, e.sink, e.open, e.level, e.sent_at IS NOT NULL, EXISTS"
            " (SELECT 1 FROM outbox_messages AS m WHERE m.state='pending' AND m.sink=e.sink AND m.incident=e.incident)"
            " FROM outbox_episodes AS e ORDER BY 1, 2",
        )
        taken = {
            incident: (who, rank, at)
            for incident, who, rank, at in _tables.query(
                connection, "SELECT incident, who, rank, at FROM outbox_acknowledged"
            )
        }
    except sqlite3.Error as error:
        raise OutboxError(f"outbox: it can't be read: {error}") from error
    grouped: dict[str, list[tuple[Any, ...]]] = {}
    for incident, *row in rows:
        grouped.setdefault(incident, []).append(tuple(row))
    return {incident: _standing(sinks, taken.get(incident)) for incident, sinks in grouped.items()}


def _standing(sinks: list[tuple[Any, ...]], taken: tuple[str, int, float] | None) -> Standing:
    told = tuple(sink for sink, _, _, sent, waits in sinks if sent and not waits)
    waiting = tuple(sink for sink, _, _, _, waits in sinks if waits)
    is_open = any(row[1] for row in sinks)
    reached = any(sent for _, _, _, sent, _ in sinks)
    level = max(RANK[row[2]] for row in sinks)
    if taken is not None and is_open and taken[1] >= level:
        return Standing(
            state="acknowledged", told=told, waiting=waiting, acknowledged_by=taken[0], acknowledged_at=taken[2]
        )
    state: State = "firing" if is_open and reached else "pending" if is_open else "resolved"
    return Standing(state=state, told=told, waiting=waiting)


def acknowledge(connection: sqlite3.Connection, incident: str, who: str, now: Callable[[], float]) -> list[str]:
    """Note that somebody has taken the incident, and queue that for every sink where it is open.

    Joins the transaction that is open on the connection and never commits.

    Returns:
        The sinks that will be told.

    Raises:
        OutboxError: no alert of that id is open, or the tables can't be written.
    """
    who = " ".join("".join(ch if ch.isprintable() else " " for ch in who).split())[:WHO_LENGTH]
    if not who:
        raise OutboxError("acknowledge: say who takes it")
    try:
        rows = _tables.query(
            connection,
            "SELECT e.sink, (SELECT m.body FROM outbox_messages AS m WHERE m.sink=e.sink AND m.incident=e.incident"
            "  AND m.action='trigger' ORDER BY m.seq DESC LIMIT 1) FROM outbox_episodes AS e"
            " WHERE e.incident=? AND e.open=1 ORDER BY 1",
            (incident,),
        )
        messages = [(sink, Message.model_validate_json(body)) for sink, body in rows if body is not None]
        if not messages:
            raise OutboxError(
                f"incident {incident!r}: no alert about it is open; `alignwatch alert list` shows those that are"
            )
        at = now()
        rank = max(RANK[message.level] for _, message in messages)
        connection.execute(
            "INSERT OR REPLACE INTO outbox_acknowledged(incident, who, rank, at) VALUES(?,?,?,?)",
            (incident, who, rank, at),
        )
        for sink, message in messages:
            taken = message.model_copy(
                update={"action": "acknowledge", "cause": "acknowledged", "acknowledged_by": who}
            )
            _tables.add(connection, sink, taken, f"acknowledged/{who}/{at!r}", at)
    except sqlite3.Error as error:
        raise OutboxError(f"outbox: it can't be written: {error}") from error
    return [sink for sink, _ in messages]
