"""Where the sidecar's labels go: into the detectors, whose state commits with everything else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from alerts.incidents import with_summary
from alignwatch import Incident, Label
from monitor.clock import Clock
from monitor.dedup import SeenIds
from monitor.engine import Engine
from monitor.intake import Intake
from monitor.metrics import Metrics
from monitor.sources import Record, TopicPartition
from monitor.state import State

SNAPSHOT = "engine"


class Enqueue(Protocol):
    """The outbox's side of a commit; runs inside the transaction and never commits itself."""

    def __call__(self, connection: sqlite3.Connection, incidents: Sequence[Incident]) -> None:
        """Queue what has to be sent about these incidents."""


class DetectOutlet:
    """Stages A and B in one process: records to labels, labels to evidence, incidents and pages, in one state file.

    Args:
        intake: records to labels.
        engine: the detectors, already restored.
        state: where they commit.
        seen: the intake's memory of ids, committed with them.
        enqueue: puts alerts into the outbox within the transaction; None where nobody is told.
        clock: given for live traffic, where time passes without labels; None for recorded traffic.
        on_incidents: told after each commit, once per new or changed incident.
    """

    def __init__(
        self,
        intake: Intake,
        engine: Engine,
        state: State,
        seen: SeenIds,
        *,
        metrics: Metrics,
        enqueue: Enqueue | None = None,
        clock: Clock | None = None,
        on_incidents: Callable[[Sequence[Incident]], None] | None = None,
    ) -> None:
        self._intake = intake
        self._engine = engine
        self._state = state
        self._seen = seen
        self._metrics = metrics
        self._enqueue = enqueue
        self._clock = clock
        self._on_incidents = on_incidents
        self._pending: dict[str, Incident] = {}
        self._told = {one.id: one for one in engine.open_incidents()}
        """Each open incident as of the last commit."""
        self._newest = (float("-inf"), 0.0)
        self._late = engine.late_labels

    def take(self, records: Sequence[Record]) -> bool:
        """Label and count the records; True when an incident opened or changed."""
        return self.count(self._intake.read(records))

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        """The state file keeps its own positions, whoever else has read the partition meanwhile."""
        del parts
        return False

    def recover(self) -> None:
        """A state file's commit has either happened or not."""

    def count(self, labels: Sequence[Label]) -> bool:
        """Feed labels to the detectors."""
        found = self._engine.process(labels)
        if labels and self._clock is not None:
            newest = max(label.timestamp.timestamp() for label in labels)
            self._newest = (max(newest, self._newest[0]), self._clock.now())
        late = self._engine.late_labels
        self._metrics.late(late - self._late)
        self._late = late
        self._remember(found)
        return bool(found)

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        """One transaction: detectors, positions, incidents, ids, outbox.

        Raises:
            StateError: nothing was committed.
        """
        if self._clock is not None and self._newest[1] > 0.0:
            # Not the clock itself: while a backlog is read, event time lags behind it, and all of it would be late.
            event, arrived = self._newest
            self._remember(self._engine.advance(event + self._clock.now() - arrived))
        still = {one.id: one for one in self._engine.open_incidents()}
        # As they are now: an incident may have changed since it was reported.
        incidents = [with_summary(still.get(one.id, one)) for one in self._pending.values()]
        figures = self._moved_figures(still.values())

        def within(connection: sqlite3.Connection) -> None:
            if self._enqueue is not None and (incidents or figures):
                self._enqueue(connection, [*incidents, *figures])

        self._state.commit(
            {SNAPSHOT: self._engine.snapshot()},
            positions,
            [*incidents, *figures],
            self._seen.fresh(),
            forget_before=self._seen.horizon if len(self._seen) else None,
            within=within,
        )
        self._seen.committed()
        self._pending.clear()
        self._told = still
        if incidents and self._on_incidents is not None:
            self._on_incidents(incidents)

    def _moved_figures(self, still: Iterable[Incident]) -> list[Incident]:
        """Open incidents of which nothing changed but the figures: the sinks decide whether that is worth a word."""
        return [with_summary(one) for one in still if one.id not in self._pending and self._told.get(one.id) != one]

    def _remember(self, found: Sequence[Incident]) -> None:
        for bare in found:
            incident = with_summary(bare)
            self._pending.pop(incident.id, None)
            self._pending[incident.id] = incident
            self._metrics.incident(incident)
