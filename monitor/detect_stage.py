"""`run --role detect`: labels to evidence and incidents, a partition at a time, with the state on a compacted topic.

A commit is one Kafka transaction: the changed parts of each partition's state, its incidents with what the sinks have
been told, and the offsets in the labels topic. The broker refuses it from a process whose membership has ended, so two
detectors never both count a partition. Who is given a partition reads its state and goes on at the offset in it; what
the former owner had not committed is simply read again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from alignwatch import Incident
from monitor.errors import SourceError, StateError
from monitor.metrics import Metrics
from monitor.partition_state import CHOICE, META, Entries, PartitionState, compressed, next_offset, opened, read
from monitor.partition_task import PartitionTask
from monitor.sources import Record, TopicPartition, Transactions
from monitor.state_topic import StateStore
from monitor.status import DeploymentStatus
from monitor.worker import ReadAgainError

log = logging.getLogger(__name__)

CATCH_UP_SECONDS: Final = 5.0
"""A commit shows in the group a moment before it shows on the state topic; what takes longer is no such moment.

All partitions that one rebalance brings share it: they are taken over one after the other, and nothing is polled
meanwhile. A partition for which nothing is left is refused, and tried again with the next poll.
"""
CATCH_UP_STEP: Final = 0.1

MakeTask = Callable[[int, int], PartitionTask]
"""An empty task for partition `number` of `count`."""
Enqueue = Callable[[Sequence[Incident]], None]
"""Queues what the sinks must hear of; may raise sqlite3.Error, and may be called again with the same incidents."""


class Group(Protocol):
    """What the stage asks of the source that brings its labels."""

    def committed(self, part: TopicPartition) -> int | None:
        """The group's offset."""

    def partitions_of(self, topic: str) -> int:
        """How many partitions the topic has; 0 when unknown."""

    def membership(self) -> Any:
        """Proof of membership for a transaction."""


class DetectStage:
    """Detectors of the partitions that this process owns.

    Args:
        group: set before the first poll.
        make_task: an empty task.
        store: reads the state topic.
        transactions: writes it.
        metrics: counts incidents.
        enqueue: queues alerts; None where nobody is told.
        accept_new: start anew where the state is missing or damaged, instead of refusing.
        on_incidents: told after each commit, once per new or changed incident.
    """

    group: Group

    def __init__(
        self,
        make_task: MakeTask,
        store: StateStore,
        transactions: Transactions,
        *,
        metrics: Metrics,
        enqueue: Enqueue | None = None,
        accept_new: bool = False,
        on_incidents: Callable[[Sequence[Incident]], None] | None = None,
    ) -> None:
        self._make_task = make_task
        self._store = store
        self._transactions = transactions
        self._metrics = metrics
        self._enqueue = enqueue
        self._accept_new = accept_new
        self._on_incidents = on_incidents
        self._tasks: dict[TopicPartition, PartitionTask] = {}
        self._born: set[TopicPartition] = set()
        self._found: dict[TopicPartition, dict[str, Incident]] = {}
        self._waited = 0.0
        """Seconds of `CATCH_UP_SECONDS` that are used up; records or a commit start them anew."""
        self._queue: dict[str, Incident] = {}
        """Committed, and still to be queued for the sinks."""
        self._figures: dict[str, Incident] = {}
        """The same, of which the figures alone changed."""

    def position_of(self, part: TopicPartition) -> int | None:
        """Take a partition over: its state, from the topic; called by the source before it hands out its records.

        Raises:
            SourceError: the state can't be read, or is missing or damaged. Nothing starts from nothing by itself.
        """
        self._drop(part)
        began = time.monotonic()
        try:
            count = self.group.partitions_of(part.topic)
            self._store.prepare(count)
            task = self._make_task(part.partition, count)
            self._restore(part, task, count)
        except StateError as error:
            raise SourceError(str(error)) from error
        self._tasks[part] = task
        self._born.add(part)
        log.info(
            "took over a partition",
            extra={"partition": part.partition, "offset": task.position, "seconds": round(time.monotonic() - began, 3)},
        )
        return task.position or None

    def _restore(self, part: TopicPartition, task: PartitionTask, count: int) -> None:
        where = f"state topic {self._store.topic!r}[{part.partition}]"
        # In this order: what the group has is on its way to the state topic, never the other way round.
        committed = self.group.committed(part)
        raw = self._read(part.partition, committed)
        try:
            entries = opened(raw)
            state = read(entries, where)
            _check(state, where, committed=committed, topic=part.topic, count=count)
        except StateError as error:
            if not self._accept_new:
                raise
            log.warning("starting anew", extra={"partition": part.partition, "reason": str(error)})
            task.begin(committed or 0, count, stale=raw)
            return
        if state is None:
            task.begin(0, count)
        else:
            self._queue |= {one.id: one for one in task.restore(entries, state)}

    def _read(self, partition: int, committed: int | None) -> Entries:
        # Whoever would start anew does not get a second look: such a partition has all the time for itself.
        waited = 0.0 if self._accept_new else self._waited
        began = time.monotonic() - waited
        while True:
            entries = self._store.read(partition)
            caught_up = next_offset(entries) >= (committed or 0)
            if caught_up or time.monotonic() - began >= CATCH_UP_SECONDS:
                break
            waited = time.monotonic() - began
            time.sleep(CATCH_UP_STEP)
        self._waited = waited if caught_up else CATCH_UP_SECONDS
        return entries

    def take(self, records: Sequence[Record]) -> bool:
        """Count the labels; True when an incident opened or changed."""
        self._waited = 0.0
        by_part: dict[TopicPartition, list[Record]] = {}
        for record in records:
            by_part.setdefault(record.where, []).append(record)
        urgent = False
        for part, batch in by_part.items():
            task = self._tasks[part]
            late = task.engine.late_labels
            for incident in task.take(batch):
                self._found.setdefault(part, {})[incident.id] = incident
                urgent = True
            self._metrics.late(task.engine.late_labels - late)
        return urgent

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        """Drop tasks that others own now, but for those that came back in the same poll and were restored since."""
        for part in parts - self._born:
            self._drop(part)
        self._born.clear()
        return True

    def _drop(self, part: TopicPartition) -> None:
        self._found.pop(part, None)
        task = self._tasks.pop(part, None)
        if task is None:
            return
        for identifier in task.incidents:
            self._queue.pop(identifier, None)
            self._figures.pop(identifier, None)
        try:
            task.let_go()
        except sqlite3.Error as error:
            log.warning("alerts of a lost partition may go out once more", extra={"reason": str(error)})

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        """One transaction over all partitions that changed; then the incidents are queued for the sinks.

        Raises:
            ReadAgainError: it failed.
            StateError: it succeeded, and the local queue of alerts can't be written; tried again at the next commit.
        """
        del positions  # each task knows its own
        self._waited = 0.0
        changed: dict[TopicPartition, PartitionTask] = {}
        for part, task in self._tasks.items():
            changes = task.changes()
            if not changes:
                continue
            changed[part] = task
            for key, value in changes.items():
                body = value if value is None or key == META else compressed(value)
                self._transactions.send(self._store.topic, key, body, partition=part.partition)
        if changed:
            self._transact(changed)
        self._tell()

    def _transact(self, changed: dict[TopicPartition, PartitionTask]) -> None:
        try:
            self._transactions.commit({part: task.position for part, task in changed.items()}, self.group.membership())
        except SourceError as error:
            self._transactions.discard()
            for part in list(self._tasks):
                self._drop(part)
            raise ReadAgainError(f"state topic {self._store.topic!r}: {error}") from error
        for part, task in changed.items():
            task.committed()
            found = self._found.pop(part, {})
            for incident in found.values():
                self._metrics.incident(incident)
            self._queue |= found
            self._figures |= {name: one for name, one in task.refreshed.items() if name not in self._queue}
            task.refreshed.clear()

    def _tell(self) -> None:
        if not self._queue and not self._figures:
            return
        incidents = list(self._queue.values())
        if self._enqueue is not None:
            try:
                self._enqueue([*incidents, *self._figures.values()])
            except sqlite3.Error as error:
                # They lie committed on the topic: whoever restores the partition queues them, if we can't.
                raise StateError(f"alerts can't be queued: {error}") from error
        self._queue.clear()
        for task in self._tasks.values():
            task.told([*incidents, *self._figures.values()])
        self._figures.clear()
        if self._on_incidents is not None and incidents:
            self._on_incidents(incidents)

    def recover(self) -> None:
        """Shut out what an unfinished transaction still has under way."""
        self._transactions.recover()

    def status(self) -> list[DeploymentStatus]:
        """One for each deployment of our partitions, by name."""
        return sorted((one for task in self._tasks.values() for one in task.engine.status()), key=lambda one: one.name)

    @property
    def size(self) -> int:
        """Bytes of state, before compression."""
        return sum(task.size for task in self._tasks.values())


def _check(state: PartitionState | None, where: str, *, committed: int | None, topic: str, count: int) -> None:
    reached = 0 if state is None else state.next_offset
    if reached < (committed or 0):
        raise StateError(
            f"{where} ends at offset {reached}, and the group has counted up to {committed}: the state is lost or cut"
            f" off; {CHOICE}"
        )
    if state is not None and state.partitions != count:
        raise StateError(
            f"{where} was written when {topic!r} had {state.partitions} partitions; it has {count} now, and deployments"
            f" lie in others; {CHOICE}"
        )
