"""Changes that receivers are told of apart from incidents: a checkpoint, a setting, a baseline; they ring nobody.

They lie in the outbox's database, under a name made of what they say, so that a change which is seen again after a
restart, or comes along with an incident, goes out once. They are a convenience beside the pages: a sink delivers them
when no page waits, no faster than a few a minute, and those that can't be delivered within a day are let go.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from pydantic import Field

from alerts._tables import query
from alerts.episodes import Route
from alerts.errors import OutboxError
from alerts.pacing import Backoff
from alignwatch import NearestChange, Record, Timestamp

KEPT_SECONDS: Final = 86400.0
"""A change that could not be delivered for so long helps nobody any more."""
HOURLY: Final = 30
"""At most so many changes are queued for a sink in an hour: a digest that differs at every request is no deploy."""
_BACKOFF: Final = Backoff(initial=5.0, maximum=900.0)

_TABLE: Final = """CREATE TABLE IF NOT EXISTS outbox_changes(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending' CHECK(state IN ('pending', 'sent', 'let-go')),
  seen_at REAL NOT NULL, due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reason TEXT, UNIQUE(sink, name))"""


class ChangeEvent(Record):
    """A change of a deployment, or of the monitor itself."""

    deployment: str | None = None
    """None: it concerns every deployment."""
    kind: str = Field(min_length=1)
    timestamp: Timestamp
    summary: str = ""
    reference: str | None = None

    @property
    def name(self) -> str:
        """The same for the same change, whoever tells of it and how often."""
        parts = (self.deployment or "", self.kind, self.model_dump(mode="json")["timestamp"], self.summary)
        joined = "\0".join((*map(str, parts), self.reference or ""))
        return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()

    @classmethod
    def of(cls, deployment: str | None, change: NearestChange) -> ChangeEvent:
        """A deployment's change as an event."""
        return cls(
            deployment=deployment,
            kind=change.kind or "change",
            timestamp=change.timestamp,
            summary=change.summary,
            reference=change.reference,
        )


class Due(NamedTuple):
    """A change that may be sent now."""

    seq: int
    attempts: int
    event: ChangeEvent


class ChangeQueue:
    """The changes of one SQLite connection; the table is created when missing.

    Args:
        connection: the caller's; `offer` joins whatever transaction is open on it and never commits.
        now: epoch seconds.

    Raises:
        OutboxError: the table can't be created.
    """

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now
        self._execute(_TABLE)

    def offer(self, event: ChangeEvent, routes: Sequence[Route]) -> int:
        """Queue the change for every sink that wants to hear of such, once; returns for how many it is new.

        Raises:
            OutboxError: it can't be written.
        """
        return sum(self._offer(event, route) for route in routes if route.hears(event.deployment))

    def _offer(self, event: ChangeEvent, route: Route) -> int:
        now = self._now()
        (lately,) = self._query(
            "SELECT count(*) FROM outbox_changes WHERE sink=? AND seen_at > ? AND state<>'let-go'",
            (route.sink, now - 3600.0),
        )[0]
        # One too many is remembered all the same, or the next look would offer it again.
        state, reason = ("pending", None) if lately < HOURLY else ("let-go", f"more than {HOURLY} within an hour")
        return self._execute(
            "INSERT OR IGNORE INTO outbox_changes(sink, name, body, state, seen_at, due_at, reason)"
            " VALUES(?,?,?,?,?,?,?)",
            (route.sink, event.name, event.to_json(), state, now, now, reason),
        )

    def due(self, sink: str) -> Due | None:
        """The oldest change that may be sent now."""
        now = self._now()
        rows = self._query(
            "SELECT seq, attempts, body FROM outbox_changes WHERE state='pending' AND sink=?"
            # A due time further ahead than any pause means that the clock was set back.
            " AND (due_at <= ? OR due_at > ?) ORDER BY seq LIMIT 1",
            (sink, now, now + 2 * _BACKOFF.maximum),
        )
        return Due(rows[0][0], rows[0][1], ChangeEvent.model_validate_json(rows[0][2])) if rows else None

    def next_due(self, sink: str) -> float | None:
        """Epoch seconds of the next change for the sink, maybe past; None when nothing waits."""
        (at,) = self._query("SELECT min(due_at) FROM outbox_changes WHERE state='pending' AND sink=?", (sink,))[0]
        return None if at is None else float(at)

    def sent(self, due: Due) -> None:
        """The receiver has it."""
        self._execute("UPDATE outbox_changes SET state='sent', reason=NULL WHERE seq=?", (due.seq,))

    def later(self, due: Due, reason: str, after: float | None) -> None:
        """It did not get through: again in a while, unless it is a day old."""
        pause = _BACKOFF.ceiling(due.attempts) if after is None else min(after, _BACKOFF.maximum)
        self._execute(
            "UPDATE outbox_changes SET attempts=attempts+1, due_at=?, reason=?,"
            " state=CASE WHEN seen_at < ? THEN 'let-go' ELSE state END WHERE seq=?",
            (self._now() + pause, reason, self._now() - KEPT_SECONDS, due.seq),
        )

    def let_go(self, due: Due, reason: str) -> None:
        """The receiver refuses it for good."""
        self._execute("UPDATE outbox_changes SET state='let-go', reason=? WHERE seq=?", (reason, due.seq))

    def prune(self, keep_seconds: float) -> None:
        """Forget what was settled, and seen, longer ago than this."""
        before = self._now() - keep_seconds
        self._execute("DELETE FROM outbox_changes WHERE state<>'pending' AND seen_at < ?", (before,))

    def _query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return query(self._connection, sql, values)
        except sqlite3.Error as error:
            raise OutboxError(f"outbox: changes can't be read: {error}") from error

    def _execute(self, sql: str, values: Sequence[object] = ()) -> int:
        try:
            return self._connection.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise OutboxError(f"outbox: changes can't be written: {error}") from error
