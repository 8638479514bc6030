"""Moves what an outbox holds about one incident to another process, with the incident's place in a shared state.

Several detectors share the deployments, and any of them may have to go on telling the sinks what another began to tell.
What a row says about deliveries is as old as its last copy: after a crash an event may go out once more, under the same
key.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from alerts._tables import query

SEQUENCE: Final = "seq"
"""A database's own numbering: it keeps the order and is not copied."""

Rows = dict[str, list[dict[str, Any]]]
"""Rows of each outbox table, oldest first, as JSON values by column."""


def copy_of(connection: sqlite3.Connection, incident: str) -> Rows:
    """Everything the outbox holds about an incident."""
    found: Rows = {}
    for table, columns in _tables(connection).items():
        # Names of tables and columns come from the schema.
        order = SEQUENCE if SEQUENCE in columns else columns[0]
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE incident=? ORDER BY {order}"  # noqa: S608 - as above
        rows = query(connection, sql, (incident,))
        found[table] = [
            {name: value for name, value in zip(columns, row, strict=True) if name != SEQUENCE} for row in rows
        ]
    return found


def is_settled(rows: Rows) -> bool:
    """Whether no event waits to be delivered."""
    return all(row["state"] != "pending" for row in rows.get("outbox_messages", []))


def take_up(connection: sqlite3.Connection, incident: str, rows: Rows) -> None:
    """Put a copy in the place of whatever is there about the incident."""
    let_go(connection, incident)
    known = _tables(connection)
    for table, items in rows.items():
        for item in items:
            # A column or table that only the other version has is left out: the rest still keeps alerts together.
            names = [name for name in item if name in known.get(table, ())]
            if names:
                marks = ", ".join("?" * len(names))
                sql = f"INSERT OR REPLACE INTO {table}({', '.join(names)}) VALUES({marks})"
                connection.execute(sql, [item[name] for name in names])


def let_go(connection: sqlite3.Connection, incident: str) -> None:
    """Forget an incident: another process tells the sinks about it from now on."""
    for table in _tables(connection):
        connection.execute(f"DELETE FROM {table} WHERE incident=?", (incident,))  # noqa: S608 - from the schema


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Columns of the outbox tables that speak of an incident."""
    names = query(
        connection, "SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 'outbox\\_%' ESCAPE '\\'"
    )
    columns = {name: [row[1] for row in query(connection, f"PRAGMA table_info({name})")] for (name,) in names}
    return {name: found for name, found in columns.items() if "incident" in found}
