"""Fixtures on real servers: one Kafka broker for the whole run, fresh topics for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from kafka_broker import BrokerUnavailableError, KafkaBroker


def unavailable(reason: str) -> None:
    """Skip, saying why; on CI (`CI=true`) a missing server is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker: `bootstrap`, `create_topic(name, partitions)`, `kill()`, `restart()`."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
    except BrokerUnavailableError as error:
        broker.kill_if_running()
        unavailable(f"Kafka can't be started here: {error}")
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def fresh_topic(kafka_broker: KafkaBroker) -> Callable[..., str]:
    """Creates a topic with a name of its own: `fresh_topic(partitions=3)`."""

    def create(partitions: int = 1, **settings: str) -> str:
        return kafka_broker.create_topic(f"test-{uuid.uuid4().hex[:12]}", partitions, **settings)

    return create
