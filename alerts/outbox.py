"""The alerts that still have to go out, kept in SQLite so that a stop of any kind loses none of them.

`enqueue` runs inside the transaction that also commits the detectors' state, so an incident and its alert are written
together or not at all. Delivery is at least once: a crash between a successful send and `mark_sent` sends that event
again, which is harmless because PagerDuty joins a trigger to the open alert of the same `dedup_key` and drops a
resolve without one; other receivers see the same fingerprint twice. Per incident and sink the order is kept.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from alerts import _tables
from alerts.changes import ChangeEvent, ChangeQueue
from alerts.episodes import Episode, Route, Step, dedup_key, is_news, plan
from alerts.errors import OutboxError
from alerts.message import Message
from alerts.pacing import Backoff
from alerts.standing import Standing, standings
from alignwatch import Incident

LONGEST_WAIT: Final = 3600.0
"""Seconds; a receiver that asks for more patience than this is asked again all the same."""
FAR: Final = 2 * 86400.0
"""Seconds; nothing is ever scheduled further ahead, so a later due time means that the clock was set back."""


class Entry(NamedTuple):
    """A message that is due."""

    seq: int
    revision: str
    attempts: int
    message: Message


class Refused(NamedTuple):
    """A message that its receiver refused for good."""

    sink: str
    incident: str
    dedup_key: str
    reason: str


class Outbox:
    """The outbox tables of one SQLite connection; the tables are created when missing.

    Args:
        connection: the caller's; `enqueue` joins whatever transaction is open on it and never commits.
        now: epoch seconds.
        rng: draws the jitter.

    Raises:
        OutboxError: the tables can't be created.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        now: Callable[[], float],
        rng: random.Random | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._connection = connection
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._backoff = backoff or Backoff()
        self._changes = ChangeQueue(connection, now)
        try:
            _tables.create_tables(connection)
        except sqlite3.Error as error:
            raise OutboxError(f"outbox: its tables can't be created: {error}") from error

    def enqueue(self, incident: Incident, routes: Sequence[Route]) -> int:
        """Queue what each sink must hear about this revision of the incident; returns the number of events queued.

        A revision that a sink was given before changes nothing, and one that overtakes an unsent event of the same
        alert replaces it.

        Raises:
            sqlite3.Error: as SQLite raised it (disk full, locked); the transaction is the caller's to roll back.
        """
        return sum(self._enqueue(incident, route) for route in routes)

    def _enqueue(self, incident: Incident, route: Route) -> int:
        connection, sink, now = self._connection, route.sink, self._now()
        before = _tables.load_episode(connection, sink, incident.id)
        after, steps = plan(before, incident, route)
        if after is None or (not steps and after == before):
            return 0
        only_figures = before is not None and before.open and before.same_state(incident)
        if only_figures and route.updates == "material" and not self._is_news(route.sink, incident):
            return 0
        revision = hashlib.blake2b(incident.to_json().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if not _tables.first_time(connection, sink, incident.id, revision, now):
            return 0
        due = now
        if only_figures:
            sent = _tables.last_sent(connection, sink, incident.id)
            due = now if sent is None else min(max(now, sent + route.update_interval), now + route.update_interval)
        else:
            _tables.hurry(connection, sink, incident.id, now)
        _tables.save_episode(connection, sink, incident.id, after, now)
        change = incident.nearest_change
        if change is not None and steps and steps[0].cause in {"opened", "escalated"}:
            self._changes.offer(ChangeEvent.of(incident.deployment, change), [route])
        for step in steps:
            _tables.add(connection, sink, _message(incident, after, step), revision, due)
        return len(steps)

    def _is_news(self, sink: str, incident: Incident) -> bool:
        body = _tables.last_trigger(self._connection, sink, incident.id)
        return body is None or is_news(Message.model_validate_json(body).incident, incident)

    def due(self, sink: str, limit: int = 1) -> list[Entry]:
        """The events that may be sent now: of each incident the oldest alone, the most severe first."""
        now = self._now()
        rows = self._query(
            "SELECT seq, revision, attempts, body FROM outbox_messages AS m WHERE state='pending' AND sink=?"
            " AND (due_at <= ? OR due_at > ?) AND NOT EXISTS (SELECT 1 FROM outbox_messages AS e"
            "  WHERE e.state='pending' AND e.sink=m.sink AND e.incident=m.incident AND e.seq < m.seq)"
            " ORDER BY rank DESC, due_at, seq LIMIT ?",
            (sink, now, now + FAR, limit),
        )
        return [
            Entry(seq, revision, attempts, Message.model_validate_json(body)) for seq, revision, attempts, body in rows
        ]

    def next_due(self, sink: str) -> float | None:
        """Epoch seconds of the next event for the sink, maybe past; None when nothing waits."""
        # SQLite takes due_at from the row of min(seq): the incident's oldest event, the only one that may go.
        (at,) = self._query(
            "SELECT min(due_at) FROM (SELECT min(seq), due_at FROM outbox_messages"
            " WHERE state='pending' AND sink=? GROUP BY incident)",
            (sink,),
        )[0]
        return None if at is None else float(at)

    def mark_sent(self, entry: Entry) -> None:
        """The receiver has it. A newer revision that replaced it meanwhile stays queued.

        Raises:
            OutboxError: it can't be written; the event will be sent again unless the caller tries again.
        """
        now = self._now()
        self._execute(
            "UPDATE outbox_messages SET state='sent', settled_at=?, reason=NULL WHERE seq=? AND revision=?",
            (now, entry.seq, entry.revision),
        )
        self._execute(
            "UPDATE outbox_episodes SET sent_at=? WHERE (sink, incident) ="
            " (SELECT sink, incident FROM outbox_messages WHERE seq=?)",
            (now, entry.seq),
        )

    def mark_retry(self, entry: Entry, reason: str, after: float | None = None) -> float:
        """It did not get through; returns the seconds until it is tried again.

        `after` is what the receiver asked for; without it the back-off decides.
        """
        delay = self._backoff.delay(entry.attempts, self._rng) if after is None else min(max(0.0, after), LONGEST_WAIT)
        self._execute(
            "UPDATE outbox_messages SET attempts=attempts+1, due_at=?, reason=? WHERE seq=? AND state='pending'",
            (self._now() + delay, reason, entry.seq),
        )
        return delay

    def mark_rejected(self, entry: Entry, reason: str) -> None:
        """The receiver refuses it for good; it is kept, with the reason, for `refused` and `requeue_refused`."""
        self._execute(
            "UPDATE outbox_messages SET state='rejected', settled_at=?, attempts=attempts+1, reason=?"
            " WHERE seq=? AND revision=?",
            (self._now(), reason, entry.seq, entry.revision),
        )

    def refused(self, limit: int = 100) -> list[Refused]:
        """What receivers refused, newest first."""
        rows = self._query(
            "SELECT sink, incident, dedup_key, reason FROM outbox_messages WHERE state='rejected'"
            " ORDER BY seq DESC LIMIT ?",
            (limit,),
        )
        return [Refused(*row) for row in rows]

    def requeue_refused(self, sink: str) -> int:
        """Try again what the sink's receiver refused about incidents that are still open; returns how many events.

        Only the last event of an incident: an earlier one would undo what was delivered since.
        """
        return self._execute(
            "UPDATE outbox_messages SET state='pending', attempts=0, due_at=?, settled_at=NULL"
            " WHERE sink=? AND state='rejected' AND seq IN (SELECT max(seq) FROM outbox_messages AS m"
            "  JOIN outbox_episodes AS e USING (sink, incident) WHERE e.open=1 GROUP BY m.sink, m.incident)",
            (self._now(), sink),
        )

    def drop_unknown_sinks(self, known: Sequence[str]) -> int:
        """Refuse what waits for sinks that are no longer configured; returns how many events."""
        return self._execute(
            "UPDATE outbox_messages SET state='rejected', settled_at=?, reason='the sink is no longer configured'"
            " WHERE state='pending' AND sink NOT IN (SELECT value FROM json_each(?))",
            (self._now(), json.dumps(list(known))),
        )

    def open_triggers(self, sink: str) -> list[Message]:
        """The last trigger of every alert that is open at the sink and has nothing waiting: what a refresh repeats."""
        rows = self._query(
            "SELECT max(m.seq), m.body FROM outbox_messages AS m JOIN outbox_episodes AS e USING (sink, incident)"
            " WHERE m.sink=? AND e.open=1 AND m.state='sent' AND m.action='trigger' AND NOT EXISTS"
            " (SELECT 1 FROM outbox_messages AS w WHERE w.sink=m.sink AND w.incident=m.incident AND w.state='pending')"
            " GROUP BY m.incident ORDER BY 1",
            (sink,),
        )
        return [Message.model_validate_json(body) for _, body in rows]

    def standings(self) -> Mapping[str, Standing]:
        """Where each incident stands with people, by id."""
        return standings(self._connection)

    def depth(self, sink: str | None = None) -> int:
        """Events that are not delivered yet, to one sink or to all."""
        (count,) = self._query(
            "SELECT count(*) FROM outbox_messages WHERE state='pending' AND sink=coalesce(?, sink)", (sink,)
        )[0]
        return int(count)

    def oldest_seconds(self) -> float:
        """For how long the oldest event has been overdue; 0 when none is."""
        (since,) = self._query("SELECT min(overdue_from) FROM outbox_messages WHERE state='pending'")[0]
        return 0.0 if since is None else max(0.0, self._now() - float(since))

    def prune(self, keep_seconds: float) -> int:
        """Forget what was settled longer ago than this, and closed episodes; returns the number of events forgotten."""
        before = self._now() - keep_seconds
        self._execute("DELETE FROM outbox_episodes WHERE open=0 AND updated_at < ?", (before,))
        self._execute(
            "DELETE FROM outbox_acknowledged WHERE at < ? AND incident NOT IN (SELECT incident FROM outbox_episodes)",
            (before,),
        )
        self._execute("DELETE FROM outbox_revisions WHERE seen_at < ?", (before,))
        # The last trigger of an open episode stays: it is what a refresh or an acknowledgement is made of.
        return self._execute(
            "DELETE FROM outbox_messages WHERE state<>'pending' AND settled_at < ? AND seq NOT IN"
            " (SELECT max(m.seq) FROM outbox_messages AS m JOIN outbox_episodes AS e USING (sink, incident)"
            "  WHERE e.open=1 AND m.action='trigger' GROUP BY m.sink, m.incident)",
            (before,),
        )

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return _tables.query(self._connection, sql, values)
        except sqlite3.Error as error:
            raise OutboxError(f"outbox: it can't be read: {error}") from error

    def _execute(self, sql: str, values: Sequence[object] = ()) -> int:
        try:
            return self._connection.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise OutboxError(f"outbox: it can't be written: {error}") from error


def _message(incident: Incident, episode: Episode, step: Step) -> Message:
    return Message(
        action=step.action,
        cause=step.cause,
        dedup_key=dedup_key(incident, step.level),
        level=step.level,
        opened_as=episode.opened_as,
        incident=incident,
    )
