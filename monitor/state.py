"""The one SQLite file in which detector state, consumer positions, incidents and the alert outbox commit together.

Because they share a transaction, a stop of any kind leaves them consistent: positions say exactly which records the
detectors have counted, and every incident that they raised is in the outbox.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from alignwatch import Incident
from monitor.errors import StateError
from monitor.sources import TopicPartition

FORMAT: Final = 1

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots(name TEXT PRIMARY KEY, body BLOB NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(topic TEXT, number INTEGER, next_offset INTEGER NOT NULL,
  PRIMARY KEY(topic, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS incidents(id TEXT PRIMARY KEY, detected_at REAL NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen(hash INTEGER PRIMARY KEY, timestamp REAL NOT NULL);
CREATE INDEX IF NOT EXISTS seen_by_time ON seen(timestamp);
"""


class State:
    """An open state file.

    Args:
        path: the file, or None for a database in memory (replay, tests).

    Raises:
        StateError: the file is not a database, damaged, of another format, or locked by another process.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.fresh = path is None or not path.exists()
        if path is not None and not self.fresh and path.stat().st_size == 0:
            raise StateError(f"{path}: the state file is empty; restore it, or remove it to start anew on purpose")
        self.connection = self._open()

    def _open(self) -> sqlite3.Connection:
        where = self.path or "memory"
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                str(self.path or ":memory:"), isolation_level=None, timeout=5.0, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise StateError(f"{where}: the state file is damaged ({verdict}); restore it from a backup")
            connection.executescript(_SCHEMA)
            self._check_format(connection)
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"{where}: the state can't be opened: {error}; restore it or name another file") from error
        return connection

    def _check_format(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM meta WHERE key='format'").fetchone()
        if row is None:
            connection.execute("INSERT INTO meta VALUES('format', ?)", (str(FORMAT),))
        elif row[0] != str(FORMAT):
            raise StateError(f"{self.path}: state format {row[0]}; this version reads format {FORMAT}")

    def commit(
        self,
        snapshots: Mapping[str, bytes],
        positions: Mapping[TopicPartition, int],
        incidents: Iterable[Incident] = (),
        seen: Iterable[tuple[int, float]] = (),
        *,
        forget_before: float | None = None,
        within: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Write everything in one transaction, or nothing.

        Args:
            snapshots: detector state by name.
            positions: next offset to read, by partition.
            incidents: new or changed ones.
            seen: hashes of ids counted since the last commit, with their event times.
            forget_before: ids older than this event time need no remembering.
            within: runs inside the transaction (the outbox's enqueue).

        Raises:
            StateError: disk full, file gone, or locked; the transaction was rolled back.
        """
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            rows = ((name, body, hashlib.sha256(body).hexdigest()) for name, body in snapshots.items())
            connection.executemany("INSERT OR REPLACE INTO snapshots VALUES(?,?,?)", rows)
            connection.executemany(
                "INSERT OR REPLACE INTO positions VALUES(?,?,?)",
                ((where.topic, where.partition, offset) for where, offset in positions.items()),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO incidents VALUES(?,?,?)",
                ((one.id, one.detected_at.timestamp(), one.to_json()) for one in incidents),
            )
            connection.executemany("INSERT OR REPLACE INTO seen VALUES(?,?)", seen)
            if forget_before is not None:
                connection.execute("DELETE FROM seen WHERE timestamp < ?", (forget_before,))
            if within is not None:
                within(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StateError(f"{self.path or 'memory'}: nothing was committed: {error}") from error

    def snapshot(self, name: str) -> bytes | None:
        """The detector state last committed under `name`.

        Raises:
            StateError: its digest does not match: the file was damaged or edited.
        """
        row = self._one("SELECT body, sha256 FROM snapshots WHERE name=?", (name,))
        if row is None:
            return None
        body = bytes(row[0])
        if hashlib.sha256(body).hexdigest() != row[1]:
            raise StateError(f"{self.path}: snapshot {name!r} does not match its digest; restore it from a backup")
        return body

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to read, by partition."""
        rows = self._all("SELECT topic, number, next_offset FROM positions")
        return {TopicPartition(str(topic), int(number)): int(offset) for topic, number, offset in rows}

    def seen(self) -> list[tuple[int, float]]:
        """Hashes of remembered ids with their event times, oldest first."""
        return [(int(one), float(at)) for one, at in self._all("SELECT hash, timestamp FROM seen ORDER BY timestamp")]

    def incidents(self, limit: int = 100) -> list[Incident]:
        """The latest incidents, newest first."""
        rows = self._all("SELECT body FROM incidents ORDER BY detected_at DESC, id LIMIT ?", (limit,))
        return [Incident.model_validate_json(row[0]) for row in rows]

    def _one(self, query: str, values: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _all(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateError(f"{self.path or 'memory'}: the state can't be read: {error}") from error

    def close(self) -> None:
        """Close the file; what was not committed is gone, as it would be after a crash."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
