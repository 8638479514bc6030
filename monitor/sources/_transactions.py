"""Sends records and consumer offsets to Kafka in one transaction: all of it is there for readers, or none of it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.errors import SourceError
from monitor.sources._base import Header, TopicPartition
from monitor.sources._client import Connector
from monitor.sources._config import KafkaConfig
from monitor.sources._convert import offsets_of

log = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_MS: Final = 15_000
"""The broker ends a transaction that its process left open after this long; until then readers wait behind it."""
COMMIT_SECONDS: Final = 12.0
MAX_REQUEST_BYTES: Final = 8 << 20


class Transactions(Protocol):
    """Collects records, and makes them durable together with consumer offsets."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
    ) -> None:
        """Add a record to the coming transaction; None as a value deletes the key from a compacted topic."""

    def flush(self) -> None:
        """Nothing: records are durable with the transaction."""

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Any) -> None:
        """All that was sent, and these next offsets of the group that `membership` proves we are in.

        Raises:
            SourceError: it is not known to be there. What was sent is dropped: `recover`, then ask the group for its
                offsets, and read from there again.
        """

    def recover(self) -> None:
        """After a failed commit: make sure that nothing of it can still arrive.

        Raises:
            SourceError: the cluster does not answer; to be tried again.
        """

    def discard(self) -> None:
        """Drop what was sent since the last commit."""

    def close(self) -> None:
        """Disconnect; what was not committed is dropped."""


class _Message(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    partition: int | None


class KafkaTransactions:
    """A transactional producer that connects at the first commit and starts anew after every failure.

    Records are held until `commit`, so that a transaction is open for as long as the broker needs and no longer: while
    it is open, everybody who reads committed records waits behind it.

    Args:
        config: the cluster and its security. With `group_instance_id` the transactional id is stable, and a process
            that starts again ends what it left open at once; without one the broker does, after 15 s.
        purpose: part of the transactional id.
    """

    def __init__(self, config: KafkaConfig, purpose: str) -> None:
        identity = config.group_instance_id or uuid.uuid4().hex
        self._connector = Connector(
            KafkaProducer,
            {
                "bootstrap_servers": list(config.bootstrap_servers),
                "client_id": config.client_id,
                "bootstrap_timeout_ms": config.bootstrap_timeout_ms,
                "request_timeout_ms": min(config.request_timeout_ms, 10_000),
                "delivery_timeout_ms": 11_000,
                "acks": "all",
                "transactional_id": f"{config.group_id}-{purpose}-{identity}",
                "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
                "linger_ms": 5,
                "compression_type": "lz4",
                "max_block_ms": 10_000,
                "max_request_size": MAX_REQUEST_BYTES,
                **config.client_options(),
            },
        )
        self._messages: list[_Message] = []
        self._begun = False

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
    ) -> None:
        """Hold a record for the coming transaction."""
        self._messages.append(_Message(topic, key, value, tuple(headers), partition))

    def flush(self) -> None:
        """Nothing: records are durable with the transaction."""

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Any) -> None:
        """Begin, send, add the offsets, wait for the confirmation of every record, commit.

        Raises:
            SourceError: at any step; the producer is closed, which lets the broker abort what was begun.
        """
        messages, self._messages = self._messages, []
        if membership is None:
            raise SourceError("kafka: the group no longer counts us as a member; nothing was committed")
        producer = self._connector.get()
        if producer is None:
            raise SourceError(f"kafka: {len(messages)} records not sent: {self._connector.fault}")
        try:
            self._transact(producer, messages, offsets, membership)
        except (KafkaError, SourceError, OSError, AssertionError, ValueError) as error:
            self._abandon(producer)
            raise SourceError(f"kafka: transaction not committed: {type(error).__name__}: {error}") from error

    def _transact(
        self, producer: Any, messages: Sequence[_Message], offsets: Mapping[TopicPartition, int], membership: Any
    ) -> None:
        self._initialise(producer)
        producer.begin_transaction()
        futures = [
            producer.send(one.topic, key=one.key, value=one.value, headers=list(one.headers), partition=one.partition)
            for one in messages
        ]
        # The public methods wait without an end; what they wait for is here.
        manager = producer._transaction_manager  # noqa: SLF001
        if offsets:
            self._wait(producer, manager.send_offsets_to_transaction(offsets_of(offsets), membership), "offsets")
        # Every record first: when some expire while a commit is under way, the client (kafka-python 3.0, to 3.0.12 at
        # least) commits all the same, and the group's offsets go past records that are nowhere.
        deadline = time.monotonic() + COMMIT_SECONDS
        for future in futures:
            future.get(timeout=max(0.0, deadline - time.monotonic()))
        self._wait(producer, manager.begin_commit(), "commit")

    def recover(self) -> None:
        """Take the transactional id anew, which shuts out whatever an earlier producer still has under way.

        Without it a late request could commit offsets after we had asked the group for them.
        """
        producer = self._connector.get()
        if producer is None:
            raise SourceError(f"kafka: {self._connector.fault}")
        try:
            self._initialise(producer)
        except (KafkaError, OSError) as error:
            self._abandon(producer)
            raise SourceError(f"kafka: no transactions: {type(error).__name__}: {error}") from error

    def _initialise(self, producer: Any) -> None:
        if not self._begun:
            producer.init_transactions()
            self._begun = True

    def _abandon(self, producer: Any) -> None:
        """Stop its thread by force: closing in peace would go on sending what we have given up."""
        self._begun = False
        producer._sender.force_close()  # noqa: SLF001
        producer._sender.join(5)  # noqa: SLF001
        self._connector.close(timeout=0)

    @staticmethod
    def _wait(producer: Any, result: Any, step: str) -> None:
        producer._sender.wakeup()  # noqa: SLF001
        if not result.wait(timeout_ms=COMMIT_SECONDS * 1000):
            raise SourceError(f"kafka: no answer to the transaction's {step} within {COMMIT_SECONDS:g} s")

    def discard(self) -> None:
        """Drop what was sent since the last commit; nothing of it has left."""
        self._messages.clear()

    def close(self) -> None:
        """Disconnect."""
        self._messages.clear()
        self._connector.close(timeout=5)
