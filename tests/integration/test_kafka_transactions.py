"""Transactions on a real broker that takes the offsets, but not in time the records."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import kafka
import pytest
from kafka_broker import KafkaBroker
from workers import committed_records

from monitor.errors import SourceError
from monitor.sources import KafkaConfig, KafkaSource, KafkaTransactions, TopicPartition

pytestmark = pytest.mark.integration


def reading(broker: KafkaBroker, topic: str) -> tuple[KafkaConfig, KafkaSource]:
    """A member of a group that has read the topic's one record."""
    producer = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap)
    producer.send(topic, b"an exchange").get(timeout=30)
    producer.close()
    config = KafkaConfig(
        bootstrap_servers=(broker.bootstrap,), topics=(topic,), group_id=topic, fetch_max_wait_ms=100,
        request_timeout_ms=1_500,
    )  # fmt: skip
    source = KafkaSource(config)
    source.start({})
    deadline = time.monotonic() + 60
    while not source.poll(10, 0.5):
        assert time.monotonic() < deadline, "the topic was not read within 60 s"
    return config, source


def test_offsets_stay_behind_records_that_expired(kafka_broker: KafkaBroker, fresh_topic: Callable[..., str]) -> None:
    traffic, labels = fresh_topic(), fresh_topic()
    config, source = reading(kafka_broker, traffic)
    transactions = KafkaTransactions(config, "test")
    transactions._connector._options["delivery_timeout_ms"] = 2_000
    woken: list[threading.Timer] = []
    try:
        transactions.send(labels, None, b"first")
        transactions.commit({TopicPartition(traffic, 0): 1}, source.membership())
        producer = transactions._connector.get()
        # As if the partition's leader were away: the coordinators answer, the records wait until their time is up.
        producer._accumulator.muted.add(kafka.TopicPartition(labels, 0))
        # Whatever happens on a connection wakes the client's thread, which then finds nothing left to wait for.
        woken.append(threading.Timer(3.0, producer._sender.wakeup))
        woken[0].start()
        transactions.send(labels, None, b"second")
        with pytest.raises(SourceError, match=r"transaction not committed: KafkaTimeoutError: .*Expiring 1 record"):
            transactions.commit({TopicPartition(traffic, 0): 2}, source.membership())
        transactions.recover()
        assert source.committed(TopicPartition(traffic, 0)) == 1
        transactions.send(labels, None, b"second")
        transactions.commit({TopicPartition(traffic, 0): 2}, source.membership())
        assert source.committed(TopicPartition(traffic, 0)) == 2
        assert [one.value for one in committed_records(kafka_broker.bootstrap, labels)] == [b"first", b"second"]
    finally:
        for timer in woken:
            timer.cancel()
        transactions.close()
        source.close()
