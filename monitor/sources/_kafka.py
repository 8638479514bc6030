"""A Kafka consumer group member as a source: manual commits, cooperative rebalancing, never a crash for a broker."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import kafka
from kafka.errors import KafkaError, RetriableError
from kafka.structs import MemberState

from monitor.errors import SourceError
from monitor.sources._base import CheckNew, PositionOf, Record, TopicPartition
from monitor.sources._client import Connector
from monitor.sources._config import KafkaConfig
from monitor.sources._convert import consumer_options, offsets_of, record_of, source_error, theirs
from monitor.sources._joins import keep_finished_joins
from monitor.sources._places import OBSERVE_TIMEOUT_MS, Places
from monitor.sources._rebalance import Rebalances

log = logging.getLogger(__name__)

OBSERVE_SECONDS: Final = 5.0
"""Between two looks at the ends of our partitions, which measure lag and prove that the brokers answer."""
CLOSE_TIMEOUT_MS: Final = 5_000


class KafkaSource:
    """One member of a consumer group.

    Args:
        config: cluster, topics, limits, security.
        position_of: asked on the polling thread for the next offset of each partition that a rebalance brings; None
            (the callback or its answer) leaves it to `start`'s positions at the first assignment, then to the group's
            committed offset, then to `auto_offset_reset`.
        check_new: told of each partition that no position of ours is known for, with the group's offset; may raise a
            SourceError to refuse it.

    Offsets that lie beyond the end of their partition (a topic deleted and made again) are refused rather than reset,
    because everything up to the old position would be skipped in silence.

    Raises:
        ConfigError: a secret's file or variable is missing or empty.
    """

    def __init__(
        self,
        config: KafkaConfig,
        *,
        position_of: PositionOf | None = None,
        check_new: CheckNew | None = None,
    ) -> None:
        self._config = config
        self._check_new = check_new
        self._position_of = position_of
        self._rebalances = Rebalances()
        self._places = Places(config)
        self._connector = Connector(kafka.KafkaConsumer, consumer_options(config))
        self._consumer: Any = None
        self._first: dict[TopicPartition, int] = {}
        self._unsettled: set[TopicPartition] = set()
        self._rewound: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._lag: dict[TopicPartition, int] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._paused = self._ready = False
        self._observed_at = float("-inf")
        self._missing: list[str] = []
        self._missing_since = 0.0
        self.expired = 0
        """Records that retention had removed before we came back for them."""

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Remember where to go on; the cluster is contacted by the first `poll`."""
        self._first = dict(positions)

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Records of our partitions; [] while paused, rebalancing or without a broker.

        Raises:
            SourceError: not authorised, an unreadable batch or codec, or a position beyond the end of its partition.
        """
        consumer = self._connect(timeout)
        if consumer is None:
            return []
        batches: Mapping[Any, list[Any]] = {}
        try:
            limit = min(max_records, self._config.max_poll_records)
            batches = consumer.poll(timeout_ms=int(timeout * 1000), max_records=limit)
            records = self._accept(consumer, batches)
        except (KafkaError, SourceError) as error:
            self._put_back(consumer, batches)
            self._not_ready(error)
            if isinstance(error, RetriableError):
                return []
            if isinstance(error, SourceError):
                raise
            raise source_error(error) from error
        try:
            self._observe(consumer)
        except KafkaError as error:
            self._not_ready(error)
        return records

    def _connect(self, timeout: float) -> Any:
        if self._consumer is not None:
            return self._consumer
        consumer = self._connector.get()
        if consumer is None:
            time.sleep(min(timeout, self._connector.seconds_left))
            return None
        keep_finished_joins(consumer)
        if self._config.topic_pattern:
            consumer.subscribe(pattern=re.compile(self._config.topic_pattern), listener=self._rebalances)
        else:
            consumer.subscribe(topics=list(self._config.topics), listener=self._rebalances)
        self._consumer = consumer
        return consumer

    def _accept(self, consumer: Any, batches: Mapping[Any, list[Any]]) -> list[Record]:
        """Settle new partitions, then convert what was fetched from settled ones."""
        self._unsettled |= self._rebalances.take_gained()
        held = {TopicPartition(*one) for one in consumer.assignment()}
        self._unsettled &= held
        self._assigned = frozenset(held)
        # Batches fetched from a partition before it was sought to our own position are dropped, and fetched again.
        moved = self._settle(consumer) if self._unsettled else set()
        if self._paused:
            # A rebalance may just have brought partitions that were not there to be paused.
            consumer.pause(*consumer.assignment())
            self._put_back(consumer, batches)
            return []
        records: list[Record] = []
        for part, messages in batches.items():
            where = TopicPartition(*part)
            if messages and where not in moved and where in held:
                records += [record_of(where, message) for message in messages]
                self._next[where] = records[-1].offset + 1
        self._count_waiting(consumer)
        return records

    def _target(self, part: TopicPartition) -> int | None:
        asked = self._position_of(part) if self._position_of is not None else None
        return asked if asked is not None else self._first.get(part)

    def _settle(self, consumer: Any) -> set[TopicPartition]:
        """Seek gained partitions to our own positions and return those; what fails stays for the next poll."""
        for part in self._unsettled:
            self._next.pop(part, None)
        targets = {part: target for part in self._unsettled if (target := self._target(part)) is not None}
        targets |= {
            part: self._places.group_position(consumer, part)
            for part in self._rewound & self._unsettled - targets.keys()
        }
        if self._check_new is not None:
            for part in self._unsettled - targets.keys():
                self._check_new(part, self._places.committed(consumer, part))
        if targets:
            starts, ends = self._places.bounds(consumer, targets)
            for part, target in targets.items():
                self._seek(consumer, part, target, starts[part], ends[part])
        self._unsettled.clear()
        self._rewound.clear()
        # Positions given at the start are for the first assignment: later, another member may have been further.
        self._first.clear()
        self._observed_at = float("-inf")
        return set(targets)

    def _seek(self, consumer: Any, part: TopicPartition, target: int, start: int, end: int) -> None:
        if target > end:
            raise SourceError(
                f"kafka: {part.topic}[{part.partition}] ends at {end}, before our position {target}: the topic was made"
                " again or cut off; forget its position in the state, or name a new topic"
            )
        self._note_expired(part, target, start)
        self._next[part] = max(target, start)
        consumer.seek(theirs([part])[0], self._next[part])

    def _note_expired(self, part: TopicPartition, position: int, start: int) -> None:
        if position < start:
            self.expired += start - position
            log.error(
                "records expired before they were read",
                extra={"topic": part.topic, "partition": part.partition, "records": start - position},
            )

    def _put_back(self, consumer: Any, batches: Mapping[Any, list[Any]]) -> None:
        """Undo a fetch whose records are not handed out."""
        for part, messages in batches.items():
            ours = TopicPartition(*part)
            if messages and part in consumer.assignment():
                consumer.seek(part, self._next.get(ours, messages[0].offset))

    def _count_waiting(self, consumer: Any) -> None:
        for part in self._assigned & self._next.keys():
            if (end := consumer.highwater(theirs([part])[0])) is not None:
                self._lag[part] = max(0, end - self._next[part])
        if len(self._lag) > len(self._assigned):
            self._lag = {part: lag for part, lag in self._lag.items() if part in self._assigned}

    def _observe(self, consumer: Any) -> None:
        """Ask the brokers for the bounds of our partitions: a real answer is what "ready" means."""
        if time.monotonic() - self._observed_at < (OBSERVE_SECONDS if self._ready else 0.0):
            return
        if self._assigned:
            starts, ends = self._places.bounds(consumer, self._assigned)
            for part in self._assigned - self._next.keys():
                place = consumer.position(theirs([part])[0], timeout_ms=OBSERVE_TIMEOUT_MS)
                if place is not None:
                    self._next[part] = place
            for part in self._assigned & self._next.keys():
                self._note_expired(part, self._next[part], starts[part])
                self._next[part] = max(self._next[part], starts[part])
            self._lag = {part: max(0, end - self._next.get(part, end)) for part, end in ends.items()}
            self._ready = True
        else:
            self._ready = self._spare(consumer)
        self._observed_at = time.monotonic()

    def _spare(self, consumer: Any) -> bool:
        """Whether having no partition is in order: the group is stable and the topics exist."""
        # The public call may wait for ever for metadata of a missing topic; this is the copy that the client keeps.
        known = consumer._client.cluster  # noqa: SLF001
        missing = [topic for topic in self._config.topics if not known.partitions_for_topic(topic)]
        stable = bool(consumer.group_metadata().state == MemberState.STABLE)
        self._note_missing(missing if stable else [])
        return stable and not missing

    def _note_missing(self, topics: list[str]) -> None:
        """Say so once, and not in the moment after joining, when the client may not have asked yet."""
        if topics != self._missing:
            self._missing, self._missing_since = topics, time.monotonic()
        elif topics and time.monotonic() - self._missing_since >= OBSERVE_SECONDS:
            log.warning("topics do not exist yet", extra={"topics": topics})
            self._missing_since = float("inf")

    def _not_ready(self, error: Exception) -> None:
        if self._ready:
            log.warning("kafka does not answer", extra={"error": type(error).__name__})
        self._ready = False

    def ack(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets to the group, so that lag displays and new members see them.

        Raises:
            SourceError: the group did not take them; harmless, our state leads.
        """
        mine = {part: offset for part, offset in positions.items() if part in self._assigned}
        if self._consumer is None or not mine:
            return
        try:
            # Always a time-out: without one the client's commit loop has no end.
            self._consumer.commit(offsets_of(mine), timeout_ms=self._config.commit_timeout_ms)
        except KafkaError as error:
            raise SourceError(f"kafka: offsets not committed: {type(error).__name__}: {error}") from error

    def pause(self) -> None:
        """Stop fetching; `poll` keeps the membership."""
        self._paused = True
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again; what was buffered is still there."""
        self._paused = False
        if self._consumer is not None:
            self._consumer.resume(*self._consumer.assignment())

    def lost(self) -> frozenset[TopicPartition]:
        """Partitions taken from us since the last call, even if they came back: the group's offset leads there."""
        return self._rebalances.take_lost()

    def rewind(self) -> None:
        """Go back to our positions, or else to the group's, in every partition before the next record is handed out."""
        self._unsettled |= self._assigned
        self._rewound |= self._assigned

    def committed(self, part: TopicPartition) -> int | None:
        """The group's offset of a partition; polling thread only.

        Raises:
            SourceError: the group does not answer, or a transaction is still open.
        """
        if self._consumer is None:
            raise SourceError("kafka: not connected")
        try:
            return self._places.committed(self._consumer, part)
        except KafkaError as error:
            raise source_error(error) from error

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has, as far as the client knows; 0 when it is unknown."""
        if self._consumer is None:
            return 0
        # The public call may wait for ever for metadata of a missing topic; this is the copy that the client keeps.
        return len(self._consumer._client.cluster.partitions_for_topic(topic) or ())  # noqa: SLF001

    def membership(self) -> Any:
        """Proof of membership for a transaction that commits offsets; None while we are no member of a generation.

        Without a generation the broker would take offsets from anyone.
        """
        found = self._consumer.group_metadata() if self._consumer is not None else None
        return found if found is not None and found.generation_id >= 0 and found.member_id else None

    @property
    def rebalances(self) -> int:
        """How often partitions came or went."""
        return self._rebalances.count

    def lag(self) -> dict[TopicPartition, int]:
        """Records behind the last one handed out, for each partition that is ours."""
        return dict(self._lag)

    def assigned(self) -> frozenset[TopicPartition]:
        """Partitions that were ours at the last poll."""
        return self._assigned

    @property
    def exhausted(self) -> bool:
        """Never: a topic has no end."""
        return False

    def ready(self) -> bool:
        """True while the brokers of our partitions answer."""
        return self._ready

    def close(self) -> None:
        """Leave the group without committing."""
        self._ready = False
        self._assigned = frozenset()
        self._consumer = None
        self._connector.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
