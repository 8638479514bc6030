"""The one SQLite file in which detector state, consumer positions, incidents and the alert outbox commit together.

Because they share a transaction, a stop of any kind leaves them consistent: positions say exactly which records the
detectors have counted, and every incident that they raised is in the outbox.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from alignwatch import Incident
from monitor.errors import StateError
from monitor.sources import TopicPartition

log = logging.getLogger(__name__)

FORMAT: Final = 1
MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {}
"""Statements that turn a file of this format into one of the next; run in one transaction, after a copy was made."""
CHOICE: Final = "restore it from a backup, or start anew on purpose with --accept-new-state"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots(name TEXT PRIMARY KEY, body BLOB NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(topic TEXT, number INTEGER, next_offset INTEGER NOT NULL,
  PRIMARY KEY(topic, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS incidents(id TEXT PRIMARY KEY, detected_at REAL NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen(hash INTEGER PRIMARY KEY, timestamp REAL NOT NULL);
CREATE INDEX IF NOT EXISTS seen_by_time ON seen(timestamp);
"""


class LostStateError(StateError):
    """The file is there, and what it held can't be read: starting anew is the operator's decision."""


def _set_aside(path: Path) -> Path:
    """Rename a state file and what SQLite keeps beside it; the name found is a new one."""
    number = next(n for n in itertools.count(1) if not path.with_name(f"{path.name}.damaged-{n}").exists())
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged-{number}{suffix}"))
    return path.with_name(f"{path.name}.damaged-{number}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside is committed together, or nothing; for connections that commit by themselves."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class State:
    """An open state file.

    Args:
        path: the file, or None for a database in memory (replay, tests).
        accept_new: set a damaged file aside and start anew, instead of refusing.

    Raises:
        StateError: the file is not a database, damaged, of another format, or locked by another process.
    """

    def __init__(self, path: Path | None, *, accept_new: bool = False) -> None:
        self.path = path
        self.fresh = path is None or not path.exists()
        """Nothing was ever committed here: detection starts from no evidence."""
        try:
            self.connection = self._open()
        except LostStateError as error:
            if not accept_new:
                raise
            self._begin_anew(error)
        # A refused start has left a file without positions behind, which must not pass for a state at the next one.
        self.fresh = self.fresh or self._one("SELECT 1 FROM positions LIMIT 1") is None

    def _begin_anew(self, error: StateError) -> None:
        if self.path is not None:
            log.warning("starting anew", extra={"reason": str(error), "set_aside": str(_set_aside(self.path))})
        self.fresh = True
        self.connection = self._open()

    def set_aside(self, error: StateError) -> None:
        """Start anew on purpose, because of `error`; the file is kept under another name."""
        self.connection.close()
        self._begin_anew(error)

    def _open(self) -> sqlite3.Connection:
        where = self.path or "memory"
        try:
            if self.path is not None and not self.fresh and self.path.stat().st_size == 0:
                raise LostStateError(f"{where}: the state file is empty; {CHOICE}")
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                str(self.path or ":memory:"), isolation_level=None, timeout=5.0, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise LostStateError(f"{where}: the state file is damaged ({verdict}); {CHOICE}")
            connection.executescript(_SCHEMA)
            self._check_format(connection)
        except sqlite3.DatabaseError as error:
            kind = StateError if isinstance(error, sqlite3.OperationalError) else LostStateError
            raise kind(f"{where}: the state can't be opened: {error}; {CHOICE}") from error
        except OSError as error:
            raise StateError(f"{where}: the state can't be opened: {error}") from error
        return connection

    def _check_format(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM meta WHERE key='format'").fetchone()
        if row is None:
            connection.execute("INSERT INTO meta VALUES('format', ?)", (str(FORMAT),))
        elif row[0] != str(FORMAT):
            self._migrate(connection, str(row[0]))

    def _migrate(self, connection: sqlite3.Connection, found: str) -> None:
        steps = range(int(found), FORMAT) if found.isdigit() else range(0)
        if not steps or any(step not in MIGRATIONS for step in steps):
            raise LostStateError(f"{self.path}: state format {found}; this version reads format {FORMAT}; {CHOICE}")
        if self.path is not None:
            with sqlite3.connect(self.path.with_name(f"{self.path.name}.format-{found}")) as copy:
                connection.backup(copy)
            copy.close()
        with transaction(connection):
            for statement in (one for step in steps for one in MIGRATIONS[step]):
                connection.execute(statement)
            connection.execute("UPDATE meta SET value=? WHERE key='format'", (str(FORMAT),))
        log.info("migrated the state", extra={"from_format": found, "to_format": FORMAT})

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
            raise StateError(f"{self.path}: snapshot {name!r} does not match its digest; {CHOICE}")
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

    def size(self) -> int:
        """Bytes of the file, free pages included."""
        return int(self._all("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0][0])

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
