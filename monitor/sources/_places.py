"""Questions to the brokers about places in partitions; each has a time-out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from monitor.sources._base import TopicPartition
from monitor.sources._config import KafkaConfig
from monitor.sources._convert import ours, theirs

OBSERVE_TIMEOUT_MS: Final = 1_500


class Places:
    """Asks through a consumer; every method raises the client's KafkaError."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config

    def bounds(
        self, consumer: Any, parts: Iterable[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """First and next-to-come offset of each partition."""
        names = theirs(parts)
        starts = consumer.beginning_offsets(names, timeout_ms=OBSERVE_TIMEOUT_MS)
        return ours(starts), ours(consumer.end_offsets(names, timeout_ms=OBSERVE_TIMEOUT_MS))

    def committed(self, consumer: Any, part: TopicPartition) -> int | None:
        """The group's offset, None when it has none; waits while a transaction may still change it."""
        found = consumer.committed(theirs([part])[0], timeout_ms=self._config.commit_timeout_ms)
        return int(found) if found is not None and found >= 0 else None

    def group_position(self, consumer: Any, part: TopicPartition) -> int:
        """Where the group goes on: its offset, or the end that `auto_offset_reset` names."""
        found = self.committed(consumer, part)
        if found is not None:
            return found
        starts, ends = self.bounds(consumer, [part])
        return starts[part] if self._config.auto_offset_reset == "earliest" else ends[part]
