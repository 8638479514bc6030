"""The Kafka source keeps the promises that its twins keep."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from kafka_broker import KafkaBroker
from source_conformance import CHECKS, VALUES, Subject

from monitor.sources import KafkaConfig, KafkaProducerSink, KafkaSource

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_kafka_keeps_the_protocols_promises(
    kafka_broker: KafkaBroker, fresh_topic: Callable[..., str], check: Callable[[Subject], None]
) -> None:
    topic = fresh_topic()
    config = KafkaConfig(
        bootstrap_servers=(kafka_broker.bootstrap,), topics=(topic,), group_id=uuid.uuid4().hex, fetch_max_wait_ms=50
    )
    producer = KafkaProducerSink(config)
    for value in VALUES:
        producer.send(topic, None, value)
    producer.flush()
    producer.close()
    check(Subject(lambda: KafkaSource(config), finite=False, patience=30.0))
