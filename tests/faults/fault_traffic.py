"""Traffic with known verdicts for the fault run, and what a run without any fault makes of it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from alerts.incidents import with_summary
from alignwatch import CATEGORIES, Label
from monitor import baseline
from monitor.clock import ManualClock
from monitor.config import Settings
from monitor.dead_letters import MemoryDeadLetters
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.metrics import Metrics
from monitor.recorded import detection_config, exchange_intake, guards, load, seen_ids
from monitor.sources import Record, TopicPartition

DEPLOYMENTS = tuple(f"chat-{number:02d}" for number in range(12))
SECONDS_APART = 0.4
TRUSTED = 1_200
"""Exchanges a deployment that the baselines are fitted from."""
BATCH = 500


class Sent(NamedTuple):
    """An exchange on its way."""

    deployment: str
    number: int
    value: bytes


def unit(*parts: object) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def exchange(deployment: str, number: int, start: float, *, changed: bool, kind: str = "x") -> bytes:
    """One exchange in the native envelope, verdicts attached."""
    sensitive = unit(deployment, kind, number, "harm") < 0.3
    rate = 0.03 if not sensitive else 0.75 if changed else 0.12
    refused = unit(deployment, kind, number, "answer") < (rate if not sensitive else 1 - rate)
    category = CATEGORIES[int(unit(deployment, kind, number, "category") * len(CATEGORIES))]
    labels = {
        "request": {"harm": 0.95 if sensitive else 0.01, "category": category if sensitive else "none"},
        "behaviour": {
            "refusal": 0.96 if refused else 0.02,
            "partial": 0.0,
            "compliance": 0.03 if refused else 0.97,
            "degenerate": 0.01,
        },
        "response_harm": 0.9 if sensitive and not refused else 0.01,
        "classifier": "fixture",
    }
    body = {
        "id": f"{kind}-{deployment}-{number}",
        "timestamp": round(start + number * SECONDS_APART, 3),
        "deployment": deployment,
        "user": f"u{int(unit(deployment, kind, number, 'user') * 5000)}",
        "conversation": f"{kind}-{number}",
        "prompt": "question",
        "response": "answer",
        "labels": labels,
    }
    return json.dumps(body).encode()


def traffic(count: int, start: float) -> Iterator[Sent]:
    """`count` exchanges in turn over all deployments; every third deployment changes half way."""
    each = count // len(DEPLOYMENTS)
    for number in range(each):
        for index, name in enumerate(DEPLOYMENTS):
            changed = index % 3 == 0 and number >= each // 2
            yield Sent(name, number, exchange(name, number, start, changed=changed))


def garbage(number: int, rng: random.Random) -> bytes:
    """A value that is no exchange."""
    whole = exchange(DEPLOYMENTS[0], number, 0.0, changed=False, kind="garbage")
    return rng.choice([b"not json", b"\xff\xfe\x00" * 40, whole[: len(whole) // 2], b"[]", b'{"id": 7}', b"[" * 5_000])


def fit_baselines(path: Path, start: float) -> None:
    """Baselines from a trusted period of each deployment, approved, in one file."""
    config = DetectionConfig()
    labels = [
        Label.model_validate({**json.loads(body)["labels"], **_head(body), "selection": "uniform"})
        for name in DEPLOYMENTS
        for body in (exchange(name, number, start - 86_400, changed=False, kind="trusted") for number in range(TRUSTED))
    ]
    fitted = baseline.fit(labels, config)
    baseline.save(path, {name: one.approve("the fault run") for name, one in fitted.items()})


def _head(body: bytes) -> dict[str, Any]:
    fields = json.loads(body)
    names = ("id", "timestamp", "deployment", "user", "conversation")
    return {name: fields[name] for name in names} | {
        "timestamp": datetime.fromtimestamp(fields["timestamp"], UTC).isoformat()
    }


class Outcome(NamedTuple):
    """What a run leaves: detectors' state by deployment, and incidents by id."""

    detectors: dict[str, Any]
    incidents: dict[str, Any]


def undisturbed(settings: Settings, count: int, start: float) -> tuple[Outcome, Outcome]:
    """What one process without a broker makes of the traffic: as the sidecar counts, and as detectors do.

    The two differ by what a label's JSON form rounds.
    """
    checks = guards(settings, Metrics(), MemoryDeadLetters(), None, seen_ids(settings))
    intake = exchange_intake(settings, checks, load(settings), ManualClock(start))
    engines = [_engine(settings), _engine(settings)]
    incidents: list[dict[str, Any]] = [{}, {}]
    batch: list[Record] = []
    where = TopicPartition("reference", 0)
    for index, sent in enumerate([*traffic(count, start), None]):
        if sent is not None:
            batch.append(Record(sent.value, where, index))
        if len(batch) == BATCH or sent is None:
            labels = intake.read(batch)
            batch = []
            again = [Label.model_validate_json(one.to_json()) for one in labels]
            for engine, found, these in zip(engines, incidents, (labels, again), strict=True):
                found.update({one.id: with_summary(one).model_dump(mode="json") for one in engine.process(these)})
    for engine, found in zip(engines, incidents, strict=True):
        # Figures of open incidents follow the labels, and are saved without the incident being told of again.
        found.update({one.id: with_summary(one).model_dump(mode="json") for one in engine.open_incidents()})
    direct, topic = (
        Outcome({name: json.loads(line) for name, line in engine.snapshot_parts()[1].items()}, found)
        for engine, found in zip(engines, incidents, strict=True)
    )
    return direct, topic


def _engine(settings: Settings) -> Engine:
    assert settings.baseline.path is not None
    return Engine(detection_config(settings), baseline.load(settings.baseline.path))
