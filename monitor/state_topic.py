"""The compacted topic that holds the detectors' state, one partition beside each partition of the labels topic."""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Protocol

import kafka
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from monitor.errors import SourceError, StateError
from monitor.partition_state import Entries
from monitor.sources import KafkaConfig
from monitor.sources._client import Connector

log = logging.getLogger(__name__)

READ_SECONDS: Final = 60.0
"""Longest wait for the end of a partition: more than a transaction can stay open whose process has died."""
ADMIN_TIMEOUT_MS: Final = 10_000
SETTINGS: Final = {"cleanup.policy": "compact", "max.message.bytes": str(8 << 20)}


class StateStore(Protocol):
    """Reads what transactions have written."""

    topic: str

    def prepare(self, partitions: int) -> None:
        """Make sure that the topic is there, compacted, with this many partitions.

        Raises:
            StateError: it is there and is not like that.
            SourceError: the cluster does not answer.
        """

    def read(self, partition: int) -> Entries:
        """The latest value of every key in committed records, as it lies there.

        Raises:
            SourceError: the cluster does not answer, or a transaction stays open.
        """

    def close(self) -> None:
        """Disconnect."""


class KafkaStateTopic:
    """Reads the state topic with a consumer of its own, outside any group.

    Args:
        config: the cluster and its security.
        topic: made when it does not exist.
    """

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self.topic = topic
        self._config = config
        self._common = {
            "bootstrap_servers": list(config.bootstrap_servers),
            "client_id": config.client_id,
            "bootstrap_timeout_ms": config.bootstrap_timeout_ms,
            "request_timeout_ms": config.request_timeout_ms,
            **config.client_options(),
        }
        options = {
            "group_id": None,
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "fetch_max_wait_ms": 100,
            "max_partition_fetch_bytes": 8 << 20,
        }
        self._connector = Connector(kafka.KafkaConsumer, self._common | options)
        self._prepared = 0

    def prepare(self, partitions: int) -> None:
        """Look once, and make the topic when it is missing."""
        if self._prepared == partitions:
            return
        try:
            admin = KafkaAdminClient(**self._common)
        except (KafkaError, OSError) as error:
            raise SourceError(f"kafka: {type(error).__name__}: {error}") from error
        try:
            self._create(admin, partitions)
            found = len(admin.describe_topics([self.topic])[0]["partitions"])
            policy = self._policy(admin)
        except (KafkaError, OSError) as error:
            raise SourceError(f"kafka: state topic {self.topic!r}: {type(error).__name__}: {error}") from error
        finally:
            admin.close()
        if found == 0:
            # Made a moment ago, and the broker that was asked has not heard of it.
            raise SourceError(f"kafka: state topic {self.topic!r} is being made")
        if found != partitions:
            raise StateError(
                f"state topic {self.topic!r} has {found} partitions and the labels topic {partitions}; they must be"
                " equal: name another state topic and start with --accept-new-state, or make the topics anew"
            )
        if "compact" not in policy:
            raise StateError(
                f"state topic {self.topic!r} has cleanup.policy={policy}, which would let the state expire;"
                " set it to compact"
            )
        self._prepared = partitions

    def _create(self, admin: Any, partitions: int) -> None:
        if self.topic in admin.list_topics():
            return
        try:
            admin.create_topics({self.topic: {"num_partitions": partitions, "configs": SETTINGS}}, ADMIN_TIMEOUT_MS)
            log.info("made the state topic", extra={"topic": self.topic, "partitions": partitions})
        except TopicAlreadyExistsError:
            log.debug("another detector has made the state topic")

    def _policy(self, admin: Any) -> str:
        resource = kafka.admin.ConfigResource("TOPIC", self.topic, configs={"cleanup.policy": None})
        return str(admin.describe_configs([resource], config_filter="all"))

    def read(self, partition: int) -> Entries:
        """Read from the beginning to where the last transaction ended."""
        consumer = self._connector.get()
        if consumer is None:
            raise SourceError(f"kafka: {self._connector.fault}")
        part = kafka.TopicPartition(self.topic, partition)
        try:
            return self._scan(consumer, part)
        except (KafkaError, OSError) as error:
            self._connector.close(timeout_ms=1_000)
            raise SourceError(f"kafka: state topic {self.topic!r}: {type(error).__name__}: {error}") from error

    def _scan(self, consumer: Any, part: Any) -> Entries:
        consumer.assign([part])
        consumer.seek_to_beginning(part)
        end = consumer.end_offsets([part], timeout_ms=ADMIN_TIMEOUT_MS)[part]
        found: Entries = {}
        deadline = time.monotonic() + READ_SECONDS
        while consumer.position(part, timeout_ms=ADMIN_TIMEOUT_MS) < end:
            if time.monotonic() > deadline:
                raise SourceError(
                    f"kafka: state topic {self.topic!r}[{part.partition}]: not read within {READ_SECONDS:g} s"
                )
            for message in consumer.poll(timeout_ms=200, max_records=5_000).get(part, ()):
                if message.value is None:
                    found.pop(message.key, None)
                else:
                    # The order of keys is that of their latest value, which the ids' memory relies on.
                    found.pop(message.key, None)
                    found[message.key] = message.value
        return found

    def close(self) -> None:
        """Disconnect."""
        self._connector.close(timeout_ms=1_000)
