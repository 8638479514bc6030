"""Three replicated brokers, one of which dies under label workers and detectors: nothing lost, nothing twice."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import unavailable
from kafka import KafkaProducer
from kafka_broker import BrokerUnavailableError
from kafka_cluster import KafkaCluster
from workers import Process, committed_records, config_text, doubled, exchange, group_positions, labels_on, wait_until

from monitor.partition_state import ENGINE, decompressed

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOYMENTS = [f"chat-{number}" for number in range(8)]
PARTITIONS = 4
EACH = 60
NAME = "replicated"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    one = KafkaCluster(tmp_path / "kafka")
    try:
        one.start()
    except BrokerUnavailableError as error:
        one.stop()
        unavailable(f"Kafka can't be started here: {error}")
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def workers(cluster: KafkaCluster, tmp_path: Path) -> Iterator[list[Process]]:
    """Two label workers and two detectors; all know all brokers."""
    first = cluster.nodes[1]
    for topic, partitions in ((NAME, PARTITIONS), (f"{NAME}.labels", PARTITIONS), (f"{NAME}.dead-letters", 1)):
        first.create_topic(topic, partitions)
    config = tmp_path / "alignwatch.toml"
    config.write_text(config_text('", "'.join(cluster.addresses), NAME, tmp_path))
    found = [Process(role, config, tmp_path, f"{role}-{n}") for role in ("label", "detect") for n in range(2)]
    for one in found:
        one.start()
    yield found
    for one in found:
        if one.running:
            one.end(signal.SIGKILL)


class Sender:
    """Sends exchanges in order and waits for the brokers' word that two of them have each."""

    def __init__(self, bootstrap: list[str]) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5)
        self._start = time.time() - 3600
        self.each = 0

    def send(self, each: int = EACH) -> None:
        for number in range(self.each, self.each + each):
            for name in DEPLOYMENTS:
                body = exchange(number, name, self._start + number, harm=0.9, compliance=float(number % 5 == 0))
                self._producer.send(NAME, key=name.encode(), value=body)
        self.each += each

    def confirm(self) -> None:
        self._producer.flush(timeout=60)

    def close(self) -> None:
        self._producer.close(timeout=10)


def counted(bootstrap: list[str]) -> dict[str, int]:
    """Labels that each deployment's detectors have counted, from the state topic."""
    latest = {(one.partition, one.key): one.value for one in committed_records(bootstrap, f"{NAME}.state")}
    states = [json.loads(decompressed(value)) for (_, key), value in latest.items() if key.startswith(ENGINE) and value]
    return {one["name"]: one["labels"] for one in states}


def test_a_killed_broker_costs_nothing_and_stops_nothing(cluster: KafkaCluster, workers: list[Process]) -> None:
    sender = Sender(cluster.addresses)
    sender.send()
    sender.confirm()
    wait_until(lambda: sum(group_positions(cluster.nodes[1], f"{NAME}-detect").values()) > 0, 180, "detection")

    # The node whose loss hurts most: it coordinates both groups and all transactions.
    victim = cluster.leader_of("__consumer_offsets")
    alive = [one for node, one in cluster.nodes.items() if node != victim]
    sender.send()
    cluster.kill(victim)
    sender.send()
    sender.confirm()
    sent = sender.each * len(DEPLOYMENTS)

    def labelled() -> int:
        return sum(group_positions(alive[0], NAME).values())

    wait_until(lambda: labelled() >= sent, 240, "all labelled without the third broker")
    sender.send()
    sender.confirm()
    sender.close()
    sent = sender.each * len(DEPLOYMENTS)
    wait_until(lambda: labelled() >= sent, 180, "the service goes on")

    bootstrap = [one.bootstrap for one in alive]
    labels = labels_on(bootstrap, f"{NAME}.labels")
    assert doubled(one.id for one in labels) == []
    assert len(labels) == sent
    wait_until(lambda: sum(counted(bootstrap).values()) >= sent, 180, "all counted")
    assert counted(bootstrap) == dict.fromkeys(DEPLOYMENTS, sender.each)
    assert len(committed_records(bootstrap, f"{NAME}.dead-letters")) == 0
    for one in workers:
        assert one.end() == 0, one.log.read_text()[-2000:]
