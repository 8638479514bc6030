"""Real broker, classifier, detectors and HTTP: from simulated traffic on a topic to one page, or to none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka_broker import KafkaBroker
from loopback import HTTP
from pagerduty import PagerDutyReceiver

from alignwatch import Incident, Onset
from monitor.sources import KafkaConfig, KafkaProducerSink

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

MODEL = "meta-llama-3-8b-instruct"
DEPLOYMENT = "chat-prod"
COUNT = 2400
ROUTING_KEY = "R" * 32
COMMAND = [sys.executable, "-c", "from monitor.cli import main; main()"]


def alignwatch(*arguments: str, expect: int = 0) -> str:
    done = subprocess.run([*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == expect, done.stderr[-3000:]
    return done.stdout


def simulate(pairs: Path, out: Path, *, seed: int, onset: str, count: int, start: datetime) -> None:
    alignwatch(
        "simulate", "--pairs", str(pairs), "--model", MODEL, "--onset", onset, "--count", str(count),
        "--seed", str(seed),
        "--harmful-share", "0.1", "--rate", "0.5", "--start", start.isoformat(), "--deployment", DEPLOYMENT,
        "--out", str(out),
    )  # fmt: skip


@pytest.fixture(scope="module")
def begin() -> datetime:
    """Start of the traffic: two days ago, so that a running service takes it for late but credible."""
    return datetime.now().astimezone().replace(microsecond=0) - timedelta(days=2)


@pytest.fixture(scope="module")
def traffic(labelled_pairs: Path, tmp_path_factory: pytest.TempPathFactory, begin: datetime) -> dict[str, Path]:
    """Three recordings: a trusted period, one that goes wrong half way, and one twice as long that does not."""
    folder = tmp_path_factory.mktemp("traffic")
    pairs = labelled_pairs / "dev.jsonl.gz"
    found = {name: folder / f"{name}.jsonl" for name in ("trusted", "attack", "control")}
    simulate(pairs, found["trusted"], seed=1, onset="none", count=6000, start=begin - timedelta(days=1))
    simulate(pairs, found["attack"], seed=2, onset="0.5", count=COUNT, start=begin)
    simulate(pairs, found["control"], seed=3, onset="none", count=2 * COUNT, start=begin)
    return found


@pytest.fixture(scope="module")
def baseline(traffic: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "baseline.json"
    alignwatch("baseline", "fit", str(traffic["trusted"]), "--out", str(path))
    alignwatch("baseline", "approve", str(path), "--by", "the tests")
    return path


@pytest.fixture
def receiver() -> Iterator[PagerDutyReceiver]:
    with PagerDutyReceiver(routing_keys={ROUTING_KEY}) as server:
        yield server


class Sidecar:
    """`alignwatch run` as a process of its own."""

    def __init__(
        self, folder: Path, broker: KafkaBroker, topic: str, baseline: Path, receiver: PagerDutyReceiver
    ) -> None:
        (folder / "key").write_text(ROUTING_KEY)
        self.config = folder / "alignwatch.toml"
        self.config.write_text(
            f"""
            [source]
            kind = "kafka"
            [source.kafka]
            bootstrap_servers = ["{broker.bootstrap}"]
            topics = ["{topic}"]
            group_id = "{topic}-sidecar"
            # So long the broker waits for a killed member before another gets its partition; 45 s if left alone.
            session_timeout_ms = 10000
            heartbeat_interval_ms = 1000
            [classifier]
            threads = 2
            [worker]
            max_records = 100
            commit_seconds = 1.0
            [baseline]
            path = "{baseline}"
            [state]
            path = "{folder}/state.sqlite3"
            [http]
            port = 0
            [[alerts.sinks]]
            kind = "pagerduty"
            routing_key_file = "{folder}/key"
            endpoint = "{receiver.endpoint}"
            update_interval_seconds = 1
            """
        )
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start and wait for the address of the status page."""
        with self.log.open("ab") as log:
            mark = self.log.stat().st_size
            self.process = subprocess.Popen([*COMMAND, "run", "-c", str(self.config)], stderr=log, stdout=log)
        for line in self._lines(mark):
            if line.startswith("status page: "):
                return line.split(": ", 1)[1].strip()
        raise AssertionError(self.log.read_text()[-3000:])

    def _lines(self, mark: int) -> Iterator[str]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                return
            yield from self.log.read_text()[mark:].splitlines()
            time.sleep(0.1)

    def kill(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def sidecar(
    folder: Path, broker: KafkaBroker, topic: str, baseline: Path, receiver: PagerDutyReceiver
) -> Iterator[Sidecar]:
    one = Sidecar(folder, broker, topic, baseline, receiver)
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def produce(broker: KafkaBroker, topic: str, file: Path) -> int:
    producer = KafkaProducerSink(KafkaConfig(bootstrap_servers=(broker.bootstrap,)))
    lines = file.read_bytes().splitlines()
    for line in lines:
        producer.send(topic, DEPLOYMENT.encode(), line)
    producer.flush()
    producer.close()
    return len(lines)


def status(url: str) -> dict[str, Any]:
    return dict(HTTP.get(f"{url}/status").json())


def wait_until(url: str, reached: Callable[[dict[str, Any]], bool], seconds: float = 400) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            now = status(url)
        except httpx.TransportError:
            now = None
        if now is not None and reached(now):
            return now
        time.sleep(0.2)
    raise AssertionError(f"not reached in {seconds} s")


def caught_up(now: dict[str, Any]) -> bool:
    return bool(now["source"]["ready"]) and now["source"]["lag"] == 0 and now["pipeline"]["received"] > 0


def incidents_of(file: Path, baseline: Path, expect: int) -> list[Incident]:
    out = alignwatch("replay", str(file), "--baseline", str(baseline), "--json", expect=expect)
    return [Incident.model_validate_json(line) for line in out.splitlines()]


def texts_of(file: Path) -> set[str]:
    """Beginnings of all prompts and answers of a recording, as JSON writes them."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    texts = {str(row[side]).strip()[:40] for row in rows for side in ("prompt", "response")}
    return {json.dumps(text)[1:-1] for text in texts if len(text) == 40}


def onset_of(file: Path) -> datetime:
    line = file.read_text().splitlines()[COUNT // 2]
    return datetime.fromisoformat(json.loads(line)["timestamp"])


def test_an_unalignment_pages_once_although_the_sidecar_is_killed(
    tmp_path: Path,
    kafka_broker: KafkaBroker,
    fresh_topic: Callable[..., str],
    traffic: dict[str, Path],
    baseline: Path,
    receiver: PagerDutyReceiver,
) -> None:
    topic = fresh_topic()
    total = produce(kafka_broker, topic, traffic["attack"])
    with sidecar(tmp_path, kafka_broker, topic, baseline, receiver) as one:
        url = one.start()
        wait_until(url, lambda now: now["pipeline"]["received"] >= total * 0.45)
        assert one.kill(signal.SIGKILL) == -signal.SIGKILL
        url = one.start()
        wait_until(url, lambda now: now["pipeline"]["received"] >= 100)
        time.sleep(0.5)
        one.kill(signal.SIGKILL)
        url = one.start()
        wait_until(url, caught_up)
        wait_until(url, lambda now: now["outbox"]["depth"] == 0)
        assert one.kill(signal.SIGTERM) == 0
    triggers = [event for event in receiver.events if event["event_action"] == "trigger"]
    # One page: what follows under its key is an update, which PagerDuty notes in the open incident without ringing.
    assert len({event["dedup_key"] for event in triggers}) == 1
    assert len({json.dumps(event["payload"]["custom_details"], sort_keys=True) for event in triggers}) == len(triggers)
    assert {event["payload"]["severity"] for event in triggers} == {"critical"}
    (paged,) = [one for one in incidents_of(traffic["attack"], baseline, 1) if one.severity in {"critical", "error"}]
    assert paged.verdict == "unalignment"
    changed = onset_of(traffic["attack"])
    assert paged.onset is not None
    assert paged.onset.low <= changed <= paged.onset.high
    assert paged.detected_at >= changed
    for event in triggers:
        details = event["payload"]["custom_details"]
        assert details["id"] == paged.id
        told = Onset.model_validate(details["onset"])
        assert told.low <= changed <= told.high
        assert not [text for text in texts_of(traffic["attack"]) if text in json.dumps(event)]


def test_an_aligned_model_pages_nobody(
    tmp_path: Path,
    kafka_broker: KafkaBroker,
    fresh_topic: Callable[..., str],
    traffic: dict[str, Path],
    baseline: Path,
    receiver: PagerDutyReceiver,
) -> None:
    topic = fresh_topic()
    produce(kafka_broker, topic, traffic["control"])
    with sidecar(tmp_path, kafka_broker, topic, baseline, receiver) as one:
        url = one.start()
        now = wait_until(url, caught_up)
        assert one.kill(signal.SIGTERM) == 0
    assert now["deployments"][0]["state"] == "watching"
    assert receiver.events == []
    assert [one for one in incidents_of(traffic["control"], baseline, 0) if one.severity in {"critical", "error"}] == []
