"""The detectors of one partition of labels: all deployments whose labels lie there, their ids, and their incidents."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from alerts import handover
from alerts.incidents import with_summary
from alignwatch import Incident
from monitor.dedup import SeenIds
from monitor.engine import Engine
from monitor.errors import StateError
from monitor.intake import Intake
from monitor.partition_state import (
    ENGINE,
    HEAD,
    INCIDENT,
    META,
    SEEN,
    Book,
    Entries,
    PartitionState,
    pack_seen,
    unpack_seen,
)
from monitor.sources import Record
from monitor.state import transaction

KEPT_INCIDENTS: Final = 500
"""Of each partition; closed ones go first, when nothing about them waits to be delivered."""


class PartitionTask:
    """What a detector process runs for one partition while it owns it.

    Args:
        engine: detectors of this partition's deployments, new.
        intake: with a memory of ids of its own.
        seen: that memory.
        outbox: connection with the outbox's tables; None where nobody is told.
    """

    def __init__(self, engine: Engine, intake: Intake, seen: SeenIds, outbox: sqlite3.Connection | None) -> None:
        self.engine = engine
        self.position = 0
        """Next offset to read."""
        self.dirty = False
        """Whether anything happened that is not committed."""
        self._intake = intake
        self._seen = seen
        self._outbox = outbox
        self._book = Book()
        self._partitions = 0
        self._stale: list[bytes] = []
        self._incidents: dict[str, Incident] = {}
        self.refreshed: dict[str, Incident] = {}
        """Open incidents of which the figures alone changed, until the sinks have been offered them."""
        self._unsettled: set[str] = set()
        """Incidents about which an event may still wait to be delivered."""

    def begin(self, position: int, partitions: int, stale: Entries | None = None) -> None:
        """Start without a state; what lies on the topic all the same is deleted by the first commit."""
        self.position, self._partitions = position, partitions
        self._book = Book(stale)
        self._stale = [key for key in stale or () if key != META]

    def restore(self, entries: Entries, state: PartitionState) -> list[Incident]:
        """Go on where `state` ends; what was read beside it says what need not be written again.

        Returns:
            Incidents that the sinks may not have been told about, to be queued again.
        """
        self._book = Book(entries)
        self.position, self._partitions = state.next_offset, state.partitions
        self.engine.restore(state.snapshot)
        self._seen.restore(state.seen)
        told: dict[str, handover.Rows] = {}
        for identifier, value in state.incidents.items():
            body = json.loads(value)
            self._incidents[identifier] = Incident.model_validate(body["incident"])
            told[identifier] = body["outbox"]
        self._unsettled = set(told)
        self._take_up(told)
        return list(self._incidents.values())

    def _take_up(self, told: dict[str, handover.Rows]) -> None:
        if self._outbox is None or not told:
            return
        try:
            with transaction(self._outbox):
                for identifier, rows in told.items():
                    handover.take_up(self._outbox, identifier, rows)
        except sqlite3.Error as error:
            raise StateError(f"the queue of alerts can't be written: {error}") from error

    @property
    def incidents(self) -> list[str]:
        """Ids of the incidents that it keeps."""
        return list(self._incidents)

    def take(self, records: Sequence[Record]) -> list[Incident]:
        """Count records that were not counted yet; incidents that opened or changed."""
        fresh = [one for one in records if one.offset >= self.position]
        if not fresh:
            return []
        found = [with_summary(one) for one in self.engine.process(self._intake.read(fresh))]
        self.position = fresh[-1].offset + 1
        self.dirty = True
        for incident in found:
            self._incidents.pop(incident.id, None)
            self._incidents[incident.id] = incident
        present = self._follow({one.id for one in found})
        return [present.get(one.id, one) for one in found]

    def _follow(self, told: set[str]) -> dict[str, Incident]:
        """Keep open incidents as they are now: the figures of one change also where nothing is reported of it.

        Returns:
            Of those told of, the ones that have changed since within the same batch.
        """
        again: dict[str, Incident] = {}
        for one in map(with_summary, self.engine.open_incidents()):
            kept = self._incidents.get(one.id)
            if kept is not None and kept != one:
                self._incidents[one.id] = one
                (again if one.id in told else self.refreshed)[one.id] = one
        return again

    def changes(self) -> dict[bytes, bytes | None]:
        """Records to write with the coming commit; empty when nothing has changed."""
        entries: dict[bytes, bytes | None] = self._outbox_changes()
        if not self.dirty and not entries:
            return {}
        head, engines = self.engine.snapshot_parts()
        entries = {**dict.fromkeys(self._stale), **entries, HEAD: head}
        entries |= {ENGINE + name.encode(): line for name, line in engines.items()}
        entries |= self._seen_changes()
        facts = {"next_offset": self.position, "partitions": self._partitions, "deployments": list(engines)}
        return self._book.update(entries, facts)

    def _outbox_changes(self) -> dict[bytes, bytes | None]:
        entries: dict[bytes, bytes | None] = {}
        for identifier in list(self._incidents):
            key = INCIDENT + identifier.encode()
            if not self.dirty and identifier not in self._unsettled:
                continue
            rows = handover.copy_of(self._outbox, identifier) if self._outbox is not None else {}
            if handover.is_settled(rows):
                self._unsettled.discard(identifier)
            body = {"incident": self._incidents[identifier].model_dump(mode="json"), "outbox": rows}
            value = json.dumps(body).encode()
            if value != self._book.value(key):
                entries[key] = value
        return entries | self._oldest_incidents()

    def _oldest_incidents(self) -> dict[bytes, bytes | None]:
        spare = len(self._incidents) - KEPT_INCIDENTS
        gone = [name for name, one in self._incidents.items() if one.status != "open" and name not in self._unsettled][
            : max(0, spare)
        ]
        for name in gone:
            del self._incidents[name]
        return {INCIDENT + name.encode(): None for name in gone}

    def _seen_changes(self) -> dict[bytes, bytes | None]:
        entries: dict[bytes, bytes | None] = {}
        fresh = self._seen.fresh()
        if fresh:
            entries[SEEN + b"%d" % self.position] = pack_seen(fresh)
        for key in self._book.keys(SEEN) if not self._stale else ():
            newest = max(at for _, at in unpack_seen(self._book.value(key) or b""))
            if newest >= self._seen.horizon:
                break
            entries[key] = None
        return entries

    def committed(self) -> None:
        """What `changes` returned is on the topic."""
        self._seen.committed()
        self._stale.clear()
        self.dirty = False

    def told(self, incidents: Sequence[Incident]) -> None:
        """These were queued for the sinks: their deliveries have to be followed."""
        self._unsettled |= {one.id for one in incidents} & self._incidents.keys()

    def let_go(self) -> None:
        """Another process owns the partition: its alerts are no longer ours to deliver."""
        if self._outbox is not None and self._incidents:
            with transaction(self._outbox):
                for identifier in self._incidents:
                    handover.let_go(self._outbox, identifier)

    @property
    def size(self) -> int:
        """Bytes of state on the topic, before compression."""
        return self._book.size
