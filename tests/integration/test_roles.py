"""Label workers and detectors as processes of their own on a real broker: transactions, hand-over, lost state."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka_broker import KafkaBroker
from workers import (
    COMMAND,
    Process,
    committed_records,
    config_text,
    doubled,
    exchange,
    group_positions,
    labels_on,
    wait_until,
)

from monitor.detection.codec import unpack
from monitor.outlets import SNAPSHOT
from monitor.partition_state import ENGINE, META, decompressed, next_offset
from monitor.state import State

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOYMENTS = [f"chat-{number}" for number in range(6)]
EACH = 150


class Cluster:
    """Topics, a config, and the processes that a test has started."""

    def __init__(self, broker: KafkaBroker, name: str, folder: Path, partitions: int) -> None:
        self.broker, self.name, self.folder = broker, name, folder
        for topic in (name, f"{name}.labels"):
            broker.create_topic(topic, partitions)
        broker.create_topic(f"{name}.dead-letters", 1)
        self.config = folder / "alignwatch.toml"
        self.config.write_text(config_text(broker.bootstrap, name, folder))
        self.processes: list[Process] = []

    def start(self, role: str, *arguments: str) -> Process:
        one = Process(role, self.config, self.folder, f"{role}-{len(self.processes)}", *arguments)
        one.start()
        self.processes.append(one)
        return one

    def produce(self, first: int, count: int, garbage: int = 0) -> None:
        producer = KafkaProducer(bootstrap_servers=self.broker.bootstrap, enable_idempotence=True, acks="all")
        now = time.time() - 3600
        for number in range(first, first + count):
            for name in DEPLOYMENTS:
                body = exchange(number, name, now + number, harm=0.9, compliance=float(number % 5 == 0))
                producer.send(self.name, key=name.encode(), value=body)
        for number in range(garbage):
            producer.send(self.name, value=b"not json %d" % number)
        producer.flush()
        producer.close()

    def labelled(self) -> int:
        return len(committed_records(self.broker.bootstrap, f"{self.name}.labels"))

    def detected(self) -> int:
        return sum(group_positions(self.broker, f"{self.name}-detect").values())

    def labels_end(self) -> int:
        records = committed_records(self.broker.bootstrap, f"{self.name}.labels")
        last: dict[int, int] = {}
        for one in records:
            last[one.partition] = max(last.get(one.partition, 0), one.offset + 1)
        return sum(last.values())


@pytest.fixture
def cluster(kafka_broker: KafkaBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Four partitions, or as many as the test asks for."""
    one = Cluster(kafka_broker, f"roles-{time.monotonic_ns():x}", tmp_path, getattr(request, "param", 4))
    yield one
    for process in one.processes:
        if process.running:
            process.end(signal.SIGKILL)


def test_labels_are_written_once_although_workers_come_and_go(cluster: Cluster) -> None:
    cluster.produce(0, EACH, garbage=7)
    first = cluster.start("label")
    wait_until(lambda: cluster.labelled() > 0, 180, "the first labels")
    cluster.start("label")
    cluster.produce(EACH, EACH)
    first.end(signal.SIGKILL)
    cluster.start("label")
    wanted = 2 * EACH * len(DEPLOYMENTS)
    wait_until(lambda: cluster.labelled() >= wanted, 180, "all labels")

    labels = labels_on(cluster.broker.bootstrap, f"{cluster.name}.labels")
    assert doubled(one.id for one in labels) == []
    assert len(labels) == wanted
    for name in DEPLOYMENTS:
        mine = [int(one.id.rsplit("-", 1)[1]) for one in labels if one.deployment == name]
        assert mine == list(range(2 * EACH)), "the order within a deployment is that of the traffic"
    letters = committed_records(cluster.broker.bootstrap, f"{cluster.name}.dead-letters")
    assert len(letters) == 7
    assert dict(letters[0].headers)["__connect.errors.topic"] == cluster.name.encode()
    assert b"not json" not in letters[0].value
    for process in cluster.processes[1:]:
        assert process.end() == 0, process.log.read_text()[-2000:]


def test_a_detector_hands_its_partitions_over_with_their_state(cluster: Cluster) -> None:
    cluster.produce(0, EACH)
    label = cluster.start("label")
    first = cluster.start("detect")
    wait_until(lambda: 0 < cluster.labels_end() <= cluster.detected() + 50, 180, "detection")
    second = cluster.start("detect")
    cluster.produce(EACH, EACH)
    wait_until(lambda: "took over a partition" in second.log.read_text(), 180, "a hand-over")
    first.end(signal.SIGKILL)
    wanted = 2 * EACH * len(DEPLOYMENTS)
    wait_until(lambda: cluster.labelled() >= wanted, 180, "all labels")
    end = cluster.labels_end()
    wait_until(lambda: cluster.detected() >= end - 8, 180, "all labels counted")
    assert label.end() == 0
    assert second.end() == 0, second.log.read_text()[-2000:]

    counts = detected_labels(cluster)
    assert counts == dict.fromkeys(DEPLOYMENTS, 2 * EACH)


def detected_labels(cluster: Cluster) -> dict[str, int]:
    """Labels counted by each deployment's detectors, from the state topic."""
    latest = {
        (one.partition, one.key): one.value
        for one in committed_records(cluster.broker.bootstrap, f"{cluster.name}.state")
    }
    found = {}
    for (_, key), value in latest.items():
        if key.startswith(ENGINE) and value is not None:
            state = json.loads(decompressed(value))
            found[state["name"]] = state["labels"]
    return found


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_lost_state_is_refused_until_it_is_accepted(cluster: Cluster) -> None:
    cluster.produce(0, 40)
    cluster.start("label")
    first = cluster.start("detect")
    wait_until(lambda: cluster.labelled() >= 40 * len(DEPLOYMENTS), 180, "labels")
    end = cluster.labels_end()
    wait_until(lambda: cluster.detected() >= end - 8, 180, "counts")
    assert first.end() == 0
    cluster.broker.delete_topic(f"{cluster.name}.state")

    refusing = cluster.start("detect")
    wait_until(lambda: "--accept-new-state" in refusing.log.read_text(), 180, "a refusal that names the choice")
    assert "took over a partition" not in refusing.log.read_text().split("lost or cut off")[-1]
    refusing.end()
    accepting = cluster.start("detect", "--accept-new-state")
    wait_until(lambda: "starting anew" in accepting.log.read_text(), 180, "a new state")
    cluster.produce(40, 40)

    def written() -> bool:
        records = committed_records(cluster.broker.bootstrap, f"{cluster.name}.state")
        return sum(next_offset({META: one.value}) > 0 for one in records if one.key == META) > 0

    wait_until(written, 180, "a commit of the new state")
    assert accepting.end() == 0


def test_dead_letters_are_replayed_once_they_decode(cluster: Cluster) -> None:
    """A record without a deployment is no exchange, until the settings say whose it is."""
    cluster.start("label")
    producer = KafkaProducer(bootstrap_servers=cluster.broker.bootstrap)
    body = json.loads(exchange(0, "later", time.time() - 60, harm=0.9, compliance=0.0))
    del body["deployment"]
    producer.send(cluster.name, key=b"k", value=json.dumps(body).encode())
    producer.send(cluster.name, value=b"never an exchange")
    producer.close()

    def letters() -> int:
        return len(committed_records(cluster.broker.bootstrap, f"{cluster.name}.dead-letters"))

    wait_until(lambda: letters() == 2, 180, "two letters")
    assert cluster.processes[0].end() == 0
    mended = cluster.folder / "mended.toml"
    mended.write_text(cluster.config.read_text().replace("[intake]", '[intake]\ndefault_deployment = "later"'))
    for arguments, sent in ((["--dry-run"], 1), ([], 1), ([], 0)):
        done = subprocess.run(
            [*COMMAND, "dead-letters", "replay", "-c", str(mended), "--json", *arguments],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout)
        assert (found["sent"], done.returncode) == (sent, 1 if sent else 0), done.stderr
        assert found["refused"] == ({"not-json": 1} if sent else {})
    again = Process("label", mended, cluster.folder, "mended")
    again.start()
    cluster.processes.append(again)
    wait_until(lambda: cluster.labelled() == 1, 180, "a label")
    (label,) = labels_on(cluster.broker.bootstrap, f"{cluster.name}.labels")
    assert label.deployment == "later"
    assert again.end() == 0


def test_a_sidecar_whose_file_is_lost_refuses_until_it_is_accepted(cluster: Cluster) -> None:
    cluster.produce(0, 10)
    total = 10 * len(DEPLOYMENTS)
    first = cluster.start("all")
    wait_until(lambda: sum(group_positions(cluster.broker, cluster.name).values()) >= total, 180, "everything counted")
    assert first.end() == 0
    for file in cluster.folder.glob("state.sqlite3*"):
        file.unlink()

    for _ in range(2):
        refusing = cluster.start("all")
        wait_until(lambda log=refusing.log: "has counted" in log.read_text(), 180, "a refusal")
        assert "--accept-new-state" in refusing.log.read_text()
        refusing.end()
    accepting = cluster.start("all", "--accept-new-state")
    cluster.produce(10, 10)
    wait_until(lambda: sum(group_positions(cluster.broker, cluster.name).values()) >= 2 * total, 180, "new traffic")
    assert accepting.end() == 0
    with State(cluster.folder / "state.sqlite3") as state:
        body = state.snapshot(SNAPSHOT)
    assert body is not None
    counted = {one["name"]: one["labels"] for one in unpack(body) if "name" in one}
    assert counted == dict.fromkeys(DEPLOYMENTS, 10), "counted from the group's offset on, and nothing before it"
