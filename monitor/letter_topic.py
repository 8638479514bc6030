"""Reads dead letters from their topic, and the records that they are about from theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import kafka
from kafka.errors import KafkaError

from monitor.errors import SourceError
from monitor.letter_replay import Letter, from_headers
from monitor.sources import KafkaConfig, Record, TopicPartition
from monitor.sources._convert import offsets_of, record_of, theirs

TIMEOUT_MS: Final = 10_000
POLL_MS: Final = 500


def _consumer(config: KafkaConfig, group: str | None) -> Any:
    try:
        return kafka.KafkaConsumer(
            bootstrap_servers=list(config.bootstrap_servers),
            client_id=config.client_id,
            group_id=group,
            bootstrap_timeout_ms=config.bootstrap_timeout_ms,
            request_timeout_ms=config.request_timeout_ms,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            fetch_max_wait_ms=100,
            **config.client_options(),
        )
    except (KafkaError, OSError) as error:
        raise SourceError(f"kafka: {','.join(config.bootstrap_servers)}: {type(error).__name__}: {error}") from error


class LetterTopic:
    """The dead letters that no replay has looked at.

    Args:
        config: the cluster; the place is kept under the group `<group_id>-dead-letters`.
        topic: of the letters.

    Raises:
        SourceError: the cluster can't be reached, or there is no such topic.
    """

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self._topic = topic
        self._timeout_ms = config.commit_timeout_ms
        self._consumer = _consumer(config, f"{config.group_id}-dead-letters")
        self._places: dict[TopicPartition, int] = {}

    def letters(self) -> Iterator[Letter]:
        """Letters up to the end of the topic as it is now.

        Raises:
            SourceError: the topic can't be read.
        """
        try:
            yield from self._read()
        except KafkaError as error:
            raise SourceError(f"dead letters topic {self._topic!r}: {type(error).__name__}: {error}") from error

    def _read(self) -> Iterator[Letter]:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise SourceError(f"dead letters topic {self._topic!r}: there is no such topic")
        parts = theirs(TopicPartition(self._topic, number) for number in sorted(numbers))
        self._consumer.assign(parts)
        ends = self._consumer.end_offsets(parts, timeout_ms=TIMEOUT_MS)
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while any((self._consumer.position(part, timeout_ms=TIMEOUT_MS) or 0) < ends[part] for part in parts):
            batches = self._consumer.poll(timeout_ms=POLL_MS)
            if batches:
                deadline = time.monotonic() + TIMEOUT_MS / 1000
            elif time.monotonic() > deadline:
                raise SourceError(f"dead letters topic {self._topic!r}: nothing came within {TIMEOUT_MS // 1000} s")
            for messages in batches.values():
                for message in messages:
                    self._places[TopicPartition(message.topic, message.partition)] = message.offset + 1
                    letter = from_headers((name, value or b"") for name, value in message.headers)
                    if letter is not None:
                        yield letter

    def done(self) -> None:
        """Remember the place: the next replay begins behind it.

        Raises:
            SourceError: it can't be remembered; the next replay looks at the same letters again.
        """
        if not self._places:
            return
        try:
            self._consumer.commit(offsets_of(self._places), timeout_ms=self._timeout_ms)
        except KafkaError as error:
            raise SourceError(f"kafka: offsets not committed: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False, timeout_ms=TIMEOUT_MS)


class RecordFetcher:
    """Single records by their place."""

    def __init__(self, config: KafkaConfig) -> None:
        self._consumer = _consumer(config, None)

    def fetch(self, letter: Letter) -> Record | None:
        """The record that a letter is about; None when retention has removed it, or the topic is gone.

        Raises:
            SourceError: the cluster does not answer.
        """
        (part,) = theirs([letter.where])
        try:
            if letter.where.partition not in (self._consumer.partitions_for_topic(letter.where.topic) or ()):
                return None
            self._consumer.assign([part])
            if self._consumer.beginning_offsets([part], timeout_ms=TIMEOUT_MS)[part] > letter.offset:
                return None
            if self._consumer.end_offsets([part], timeout_ms=TIMEOUT_MS)[part] <= letter.offset:
                return None
            self._consumer.seek(part, letter.offset)
            return self._next(part, letter)
        except KafkaError as error:
            raise SourceError(
                f"{letter.where.topic}[{letter.where.partition}]: {type(error).__name__}: {error}"
            ) from error

    def _next(self, part: Any, letter: Letter) -> Record | None:
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while time.monotonic() < deadline:
            for message in self._consumer.poll(timeout_ms=POLL_MS, max_records=1).get(part, ()):
                # Compaction or an aborted transaction may have taken the record: the next one is another.
                return record_of(letter.where, message) if message.offset == letter.offset else None
        raise SourceError(f"{letter.where.topic}[{letter.where.partition}]: offset {letter.offset} did not come")

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False, timeout_ms=TIMEOUT_MS)
