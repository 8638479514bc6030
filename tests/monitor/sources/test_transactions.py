"""Transactions on a scripted client that commits like kafka-python: whatever has become of the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import TopicPartition as TheirPartition
from kafka.errors import KafkaTimeoutError
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.producer.transaction_manager import TransactionalRequestResult

from monitor.errors import SourceError
from monitor.sources import KafkaConfig, KafkaTransactions, TopicPartition

HERE = TopicPartition("traffic", 0)
Fate = Callable[[FutureProduceResult], object]


def written(batch: FutureProduceResult) -> None:
    batch.success((0, -1, None))


def expired(batch: FutureProduceResult) -> None:
    batch.success((-1, -1, lambda _: KafkaTimeoutError("Expiring 1 record(s)")))


def unanswered(_batch: FutureProduceResult) -> None:
    """The broker says nothing about it."""


class Client:
    """A producer whose records meet the given fates, one after the other, and whose commits always succeed."""

    def __init__(self, fates: list[Fate]) -> None:
        self._fates = fates
        self._offsets: dict[Any, int] = {}
        self.group: dict[Any, int] = {}
        """Offsets that a commit has made the group's."""
        self.stopped = False
        self._transaction_manager = self._sender = self

    def init_transactions(self) -> None: ...

    def begin_transaction(self) -> None:
        self._offsets = {}

    def send(self, topic: str, **_record: object) -> FutureRecordMetadata:
        batch = FutureProduceResult(TheirPartition(topic, 0))
        future = FutureRecordMetadata(batch, 0, 0, None, 0, 0, 0)
        self._fates.pop(0)(batch)
        return future

    def send_offsets_to_transaction(self, offsets: dict[Any, Any], _membership: object) -> TransactionalRequestResult:
        self._offsets = {part: one.offset for part, one in offsets.items()}
        return done()

    def begin_commit(self) -> TransactionalRequestResult:
        self.group |= self._offsets
        return done()

    def wakeup(self) -> None: ...

    def force_close(self) -> None:
        self.stopped = True

    def join(self, _seconds: float) -> None: ...

    def close(self, timeout: float) -> None: ...


def done() -> TransactionalRequestResult:
    result = TransactionalRequestResult()
    result.done()
    return result


def committing(monkeypatch: pytest.MonkeyPatch, *fates: Fate) -> tuple[KafkaTransactions, Client]:
    """Transactions with one record for each fate in hand."""
    client = Client(list(fates))
    monkeypatch.setattr("monitor.sources._transactions.KafkaProducer", lambda **_options: client)
    transactions = KafkaTransactions(KafkaConfig(bootstrap_servers=("broker:1",), topics=("traffic",)), "test")
    for _ in fates:
        transactions.send("labels", b"key", b"value")
    return transactions, client


def test_offsets_are_committed_with_records_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    transactions, client = committing(monkeypatch, written, written)
    transactions.commit({HERE: 2}, object())
    assert client.group == {TheirPartition("traffic", 0): 2}
    assert not client.stopped


@pytest.mark.parametrize("fates", [(expired,), (written, expired, written), (expired, written)])
def test_no_offsets_are_committed_past_records_that_expired(
    monkeypatch: pytest.MonkeyPatch, fates: tuple[Fate, ...]
) -> None:
    transactions, client = committing(monkeypatch, *fates)
    with pytest.raises(SourceError, match=r"transaction not committed: KafkaTimeoutError: .*Expiring"):
        transactions.commit({HERE: len(fates)}, object())
    assert client.group == {}
    assert client.stopped


def test_no_offsets_are_committed_past_records_that_nobody_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.sources._transactions.COMMIT_SECONDS", 0.01)
    transactions, client = committing(monkeypatch, written, unanswered)
    with pytest.raises(SourceError, match="transaction not committed"):
        transactions.commit({HERE: 2}, object())
    assert client.group == {}
    assert client.stopped
