"""The outbox's tables and the statements that run inside the caller's transaction; nothing here commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from alerts.episodes import Episode
from alerts.message import RANK, Message

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS outbox_episodes(
      sink TEXT NOT NULL, incident TEXT NOT NULL, open INTEGER NOT NULL, level TEXT NOT NULL, opened_as TEXT NOT NULL,
      status TEXT NOT NULL, severity TEXT NOT NULL, verdict TEXT NOT NULL,
      updated_at REAL NOT NULL, sent_at REAL, PRIMARY KEY(sink, incident)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS outbox_revisions(
      sink TEXT NOT NULL, incident TEXT NOT NULL, revision TEXT NOT NULL, seen_at REAL NOT NULL,
      PRIMARY KEY(sink, incident, revision)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS outbox_messages(
      seq INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, incident TEXT NOT NULL, revision TEXT NOT NULL,
      action TEXT NOT NULL, dedup_key TEXT NOT NULL, rank INTEGER NOT NULL, body TEXT NOT NULL,
      state TEXT NOT NULL DEFAULT 'pending' CHECK(state IN ('pending', 'sent', 'rejected')),
      due_at REAL NOT NULL, overdue_from REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
      reason TEXT, settled_at REAL)""",
    """CREATE TABLE IF NOT EXISTS outbox_acknowledged(
      incident TEXT NOT NULL PRIMARY KEY, who TEXT NOT NULL, rank INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS outbox_pending ON outbox_messages(sink, incident, seq) WHERE state='pending'",
)
_EPISODE: Final = "open, level, opened_as, status, severity, verdict"


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is missing; statement by statement, since `executescript` would commit the caller's transaction."""
    for table in _TABLES:
        connection.execute(table)


def query(connection: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Rows as plain tuples, whatever row factory the caller has set on its connection."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, values).fetchall()


def load_episode(connection: sqlite3.Connection, sink: str, incident: str) -> Episode | None:
    """What the sink has been told about the incident."""
    rows = query(
        connection,
        f"SELECT {_EPISODE} FROM outbox_episodes WHERE sink=? AND incident=?",  # noqa: S608 - constant columns
        (sink, incident),
    )
    return Episode(bool(rows[0][0]), *rows[0][1:]) if rows else None


def save_episode(connection: sqlite3.Connection, sink: str, incident: str, episode: Episode, now: float) -> None:
    """Remember what the sink is being told; when it was last reached stays as it was."""
    values = (
        int(episode.open), episode.level, episode.opened_as,
        episode.status, episode.severity, episode.verdict,
    )  # fmt: skip
    connection.execute(
        f"INSERT INTO outbox_episodes(sink, incident, updated_at, {_EPISODE}) VALUES(?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT(sink, incident) DO UPDATE SET updated_at=excluded.updated_at, open=excluded.open,"
        " level=excluded.level, opened_as=excluded.opened_as, status=excluded.status,"
        " severity=excluded.severity, verdict=excluded.verdict",
        (sink, incident, now, *values),
    )


def first_time(connection: sqlite3.Connection, sink: str, incident: str, revision: str, now: float) -> bool:
    """Record the revision; False when the sink was given it before."""
    cursor = connection.execute(
        "INSERT OR IGNORE INTO outbox_revisions(sink, incident, revision, seen_at) VALUES(?,?,?,?)",
        (sink, incident, revision, now),
    )
    return cursor.rowcount == 1


def last_sent(connection: sqlite3.Connection, sink: str, incident: str) -> float | None:
    """When the sink last received anything about the incident; epoch seconds."""
    rows = query(connection, "SELECT sent_at FROM outbox_episodes WHERE sink=? AND incident=?", (sink, incident))
    return rows[0][0] if rows else None


def last_trigger(connection: sqlite3.Connection, sink: str, incident: str) -> str | None:
    """What the sink was told last, or is about to be: the body of the incident's latest trigger."""
    rows = query(
        connection,
        "SELECT body FROM outbox_messages WHERE sink=? AND incident=? AND action='trigger' ORDER BY seq DESC LIMIT 1",
        (sink, incident),
    )
    return rows[0][0] if rows else None


def hurry(connection: sqlite3.Connection, sink: str, incident: str, now: float) -> None:
    """Make due what was held back as a mere update, so that what follows does not wait behind it."""
    connection.execute(
        "UPDATE outbox_messages SET due_at=min(due_at, ?), overdue_from=min(overdue_from, ?)"
        " WHERE sink=? AND incident=? AND state='pending' AND attempts=0",
        (now, now, sink, incident),
    )


def add(connection: sqlite3.Connection, sink: str, message: Message, revision: str, due: float) -> None:
    """Append the message, or put it in the place of the last one where that is unsent and does the same.

    A trigger may take the place of one with another key: the step that follows an escalation resolves the old key
    in any case, because the replaced trigger may be on its way to the receiver at this moment.
    """
    incident = message.incident.id
    content = (revision, message.dedup_key, RANK[message.level], message.to_json())
    tail = query(
        connection,
        "SELECT seq, action, dedup_key FROM outbox_messages WHERE sink=? AND incident=? AND state='pending'"
        " ORDER BY seq DESC LIMIT 1",
        (sink, incident),
    )
    if tail and tail[0][1] == message.action and (message.action == "trigger" or tail[0][2] == message.dedup_key):
        # A failed message keeps its back-off, and in any case its place and its age.
        connection.execute(
            "UPDATE outbox_messages SET revision=?, dedup_key=?, rank=?, body=?, overdue_from=min(overdue_from, ?),"
            " due_at=CASE WHEN attempts=0 THEN min(due_at, ?) ELSE due_at END WHERE seq=?",
            (*content, due, due, tail[0][0]),
        )
        return
    connection.execute(
        "INSERT INTO outbox_messages(sink, incident, action, revision, dedup_key, rank, body, due_at, overdue_from)"
        " VALUES(?,?,?,?,?,?,?,?,?)",
        (sink, incident, message.action, *content, due, due),
    )
