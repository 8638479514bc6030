"""Runs `alignwatch run` in any role as a real process against a real broker, and reads what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import kafka
from kafka.errors import KafkaError
from kafka_broker import KafkaBroker

from alignwatch import Label

COMMAND = [sys.executable, "-c", "from monitor.cli import main; main()"]


def config_text(bootstrap: str, name: str, folder: Path, extra: str = "") -> str:
    """One configuration for every role: `name` is the traffic topic, and the stem of the others."""
    return f"""
[source]
kind = "kafka"
[source.kafka]
bootstrap_servers = ["{bootstrap}"]
topics = ["{name}"]
group_id = "{name}"
session_timeout_ms = 6000
heartbeat_interval_ms = 1000
fetch_max_wait_ms = 100
request_timeout_ms = 8000
[labels]
topic = "{name}.labels"
[state]
path = "{folder}/state.sqlite3"
topic = "{name}.state"
[dead_letters]
kind = "kafka"
topic = "{name}.dead-letters"
[classifier]
attached_only = true
[worker]
commit_seconds = 0.5
retry_seconds = 0.3
[http]
enabled = false
[intake]
dedup_window_seconds = 864000
max_past_seconds = 8640000
[detection]
grace_seconds = 3600
{extra}
"""


class Process:
    """One worker; its log goes to `folder`."""

    def __init__(self, role: str, config: Path, folder: Path, name: str, *arguments: str) -> None:
        self.role, self.name = role, name
        self._arguments = [*COMMAND, "run", "-c", str(config), "--role", role, *arguments]
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, env={**os.environ, **(environment or {})}
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        assert self.process is not None
        if self.running:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def committed_records(bootstrap: str, topic: str, seconds: float = 60.0) -> list[kafka.consumer.fetcher.ConsumerRecord]:
    """Everything on a topic that a reader of committed records sees now."""
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=50
    )
    try:
        parts = [kafka.TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(parts)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(parts)
        found = []
        deadline = time.monotonic() + seconds
        while any(consumer.position(part) < ends[part] for part in parts):
            assert time.monotonic() < deadline, f"{topic} was not read within {seconds} s"
            for batch in consumer.poll(timeout_ms=200, max_records=5000).values():
                found += batch
        return found
    finally:
        consumer.close()


def labels_on(bootstrap: str, topic: str) -> list[Label]:
    return [Label.model_validate_json(one.value) for one in committed_records(bootstrap, topic)]


def wait_until(reached: Callable[[], bool], seconds: float, what: str, step: float = 0.3) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)


def doubled(ids: Iterable[str]) -> list[str]:
    return [one for one, count in Counter(ids).items() if count > 1]


def group_positions(broker: KafkaBroker, group: str) -> dict[tuple[str, int], int]:
    """Next offsets of a group; empty while the group or the broker is not there yet."""
    try:
        admin = kafka.admin.KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    except KafkaError:
        return {}
    try:
        found = admin.list_group_offsets({group: None})[group]
        return {(part.topic, part.partition): place.offset for part, place in found.items() if place.offset >= 0}
    except KafkaError:
        return {}
    finally:
        admin.close()


def exchange(number: int, deployment: str, at: float, *, harm: float, compliance: float) -> bytes:
    """A native exchange with its verdicts attached, so that no classifier is needed."""
    labels = {
        "request": {"harm": harm, "category": "cyber" if harm > 0.5 else "none"},
        "behaviour": {"refusal": 1 - compliance, "partial": 0.0, "compliance": compliance, "degenerate": 0.0},
        "response_harm": harm * compliance,
        "classifier": "fixture",
    }
    return json.dumps(
        {
            "id": f"{deployment}-{number}", "timestamp": at, "deployment": deployment, "user": f"u{number % 997}",
            "conversation": f"{deployment}-c{number}", "prompt": "question", "response": "answer", "labels": labels,
        }
    ).encode()  # fmt: skip
