"""A Kafka consumer group member as a source: manual commits, cooperative rebalancing, never a crash for a broker."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, RetriableError
from kafka.structs import MemberState, OffsetAndMetadata

from monitor.errors import SourceError
from monitor.sources._base import PositionOf, Record, TopicPartition
from monitor.sources._client import Connector
from monitor.sources._config import KafkaConfig
from monitor.sources._joins import keep_finished_joins
from monitor.sources._rebalance import Rebalances

log = logging.getLogger(__name__)

OBSERVE_SECONDS: Final = 5.0
"""Between two looks at the ends of our partitions, which measure lag and prove that the brokers answer."""
OBSERVE_TIMEOUT_MS: Final = 1_500
CLOSE_TIMEOUT_MS: Final = 5_000


class KafkaSource:
    """One member of a consumer group.

    Args:
        config: cluster, topics, limits, security.
        position_of: asked on the polling thread for the next offset of each partition that a rebalance brings; None
            (the callback or its answer) leaves it to `start`'s positions at the first assignment, then to the group's
            committed offset, then to `auto_offset_reset`.

    Offsets that lie beyond the end of their partition (a topic deleted and made again) are refused rather than reset,
    because everything up to the old position would be skipped in silence.

    Raises:
        ConfigError: a secret's file or variable is missing or empty.
    """

    def __init__(self, config: KafkaConfig, *, position_of: PositionOf | None = None) -> None:
        self._config = config
        self._position_of = position_of
        self._rebalances = Rebalances()
        self._connector = Connector(kafka.KafkaConsumer, _consumer_options(config))
        self._consumer: Any = None
        self._first: dict[TopicPartition, int] = {}
        self._unsettled: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._lag: dict[TopicPartition, int] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._paused = self._ready = False
        self._observed_at = float("-inf")
        self._missing: list[str] = []
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
            raise _source_error(error) from error
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
        records = [
            _record(TopicPartition(*part), message)
            for part, messages in batches.items()
            if TopicPartition(*part) not in moved and TopicPartition(*part) in held
            for message in messages
        ]
        for record in records:
            self._next[record.where] = record.offset + 1
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
        if targets:
            starts, ends = self._bounds(consumer, targets)
            for part, target in targets.items():
                self._seek(consumer, part, target, starts[part], ends[part])
        self._unsettled.clear()
        # Positions given at the start are for the first assignment: later, another member may have been further.
        self._first.clear()
        self._observed_at = float("-inf")
        return set(targets)

    def _bounds(
        self, consumer: Any, parts: Iterable[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """First and next-to-come offset of each partition, from the brokers."""
        theirs = _theirs(parts)
        starts = consumer.beginning_offsets(theirs, timeout_ms=OBSERVE_TIMEOUT_MS)
        return _ours(starts), _ours(consumer.end_offsets(theirs, timeout_ms=OBSERVE_TIMEOUT_MS))

    def _seek(self, consumer: Any, part: TopicPartition, target: int, start: int, end: int) -> None:
        if target > end:
            raise SourceError(
                f"kafka: {part.topic}[{part.partition}] ends at {end}, before our position {target}: the topic was made"
                " again or cut off; forget its position in the state, or name a new topic"
            )
        self._note_expired(part, target, start)
        self._next[part] = max(target, start)
        consumer.seek(_theirs([part])[0], self._next[part])

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
            if (end := consumer.highwater(_theirs([part])[0])) is not None:
                self._lag[part] = max(0, end - self._next[part])
        if len(self._lag) > len(self._assigned):
            self._lag = {part: lag for part, lag in self._lag.items() if part in self._assigned}

    def _observe(self, consumer: Any) -> None:
        """Ask the brokers for the bounds of our partitions: a real answer is what "ready" means."""
        if time.monotonic() - self._observed_at < (OBSERVE_SECONDS if self._ready else 0.0):
            return
        if self._assigned:
            starts, ends = self._bounds(consumer, self._assigned)
            for part in self._assigned - self._next.keys():
                place = consumer.position(_theirs([part])[0], timeout_ms=OBSERVE_TIMEOUT_MS)
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
        if stable and missing and self._missing != missing:
            log.warning("topics do not exist yet", extra={"topics": missing})
        self._missing = missing if stable else []
        return stable and not missing

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
        # Three fields, and always a time-out: without one the client's commit loop has no end.
        offsets = {_theirs([part])[0]: OffsetAndMetadata(offset, "", -1) for part, offset in mine.items()}
        try:
            self._consumer.commit(offsets, timeout_ms=self._config.commit_timeout_ms)
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


def _consumer_options(config: KafkaConfig) -> dict[str, Any]:
    same = {
        "group_id", "group_instance_id", "client_id", "client_rack", "auto_offset_reset", "isolation_level",
        "max_poll_records", "max_poll_interval_ms", "session_timeout_ms", "heartbeat_interval_ms", "request_timeout_ms",
        "bootstrap_timeout_ms", "fetch_max_wait_ms", "fetch_min_bytes", "fetch_max_bytes", "max_partition_fetch_bytes",
        "check_crcs", "metadata_max_age_ms",
    }  # fmt: skip
    return {
        **config.model_dump(include=same),
        "bootstrap_servers": list(config.bootstrap_servers),
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        # The client's defaults are eager: every rebalance would stop every member.
        "partition_assignment_strategy": [CooperativeStickyAssignor],
        **config.client_options(),
    }


def _source_error(error: KafkaError) -> SourceError:
    return SourceError(f"kafka: {type(error).__name__}: {error}")


def _record(where: TopicPartition, message: Any) -> Record:
    timestamp = message.timestamp / 1000 if message.timestamp is not None and message.timestamp >= 0 else None
    headers = tuple((name, value or b"") for name, value in message.headers)
    return Record(message.value or b"", where, message.offset, headers, message.key, timestamp)


def _theirs(parts: Iterable[TopicPartition]) -> list[Any]:
    return [kafka.TopicPartition(*part) for part in parts]


def _ours(offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(*part): offset for part, offset in offsets.items()}
