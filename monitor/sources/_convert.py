"""Between kafka-python's types and ours, and our settings as the consumer's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from monitor.errors import SourceError
from monitor.sources._base import Record, TopicPartition
from monitor.sources._config import KafkaConfig


def consumer_options(config: KafkaConfig) -> dict[str, Any]:
    """Options of a group member: manual commits, cooperative rebalancing."""
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


def source_error(error: KafkaError) -> SourceError:
    """The client's error as ours."""
    return SourceError(f"kafka: {type(error).__name__}: {error}")


def record_of(where: TopicPartition, message: Any) -> Record:
    """One message, undecoded."""
    timestamp = message.timestamp / 1000 if message.timestamp is not None and message.timestamp >= 0 else None
    headers = tuple([(name, value or b"") for name, value in message.headers]) if message.headers else ()
    return Record(message.value or b"", where, message.offset, headers, message.key, timestamp)


def theirs(parts: Iterable[TopicPartition]) -> list[Any]:
    """Partitions as the client names them."""
    return [kafka.TopicPartition(*part) for part in parts]


def ours(offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
    """Offsets by our name of the partition."""
    return {TopicPartition(*part): offset for part, offset in offsets.items()}


def offsets_of(positions: Mapping[TopicPartition, int]) -> dict[Any, Any]:
    """Next offsets as the client commits them: three fields, since version 2.1 of the protocol."""
    return {kafka.TopicPartition(*part): OffsetAndMetadata(offset, "", -1) for part, offset in positions.items()}
