"""Builds the two roles that share the work of many replicas over Kafka: `label` and `detect`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kafka.partitioner.default import murmur2

from alignwatch import Incident
from monitor.announcer import Announcer
from monitor.assembly_parts import make_worker, open_alerts
from monitor.baseline import load as load_baselines
from monitor.clock import Clock
from monitor.config import Settings
from monitor.dead_letters import DeadLetters, open_dead_letters
from monitor.detect_stage import DetectStage, MakeTask
from monitor.engine import Engine
from monitor.errors import ConfigError
from monitor.ingest import open_door
from monitor.intake import LabelIntake
from monitor.label_stage import LabelStage
from monitor.metrics import Metrics
from monitor.partition_task import PartitionTask
from monitor.recorded import detection_config, exchange_intake, guards, load, seen_ids
from monitor.service import Parts, Service
from monitor.sources import KafkaConfig, KafkaSource, KafkaTransactions
from monitor.state import State, transaction
from monitor.state_topic import KafkaStateTopic


def build_label(settings: Settings, clock: Clock) -> Service:
    """Traffic to the labels topic.

    Raises:
        AlignwatchError: a setting or the artefact is not as it must be.
    """
    kafka = _kafka(settings, "label")
    metrics = Metrics()
    transactions = KafkaTransactions(kafka, "label")
    # Dead letters share the transaction, so that a batch that is read again leaves no second letter.
    dead_letters = open_dead_letters(settings.dead_letters, transactions)
    seen = seen_ids(settings)
    classifier = load(settings)
    checks = guards(settings, metrics, dead_letters, clock, seen)
    source = KafkaSource(kafka)
    intake = exchange_intake(settings, checks, classifier, clock)
    door, close_door = open_door(settings, source)
    stage = LabelStage(intake, seen, transactions, settings.labels.topic, source.membership)

    def release() -> None:
        close_door()
        dead_letters.close()
        transactions.close()

    return Service(
        Parts(
            settings=settings,
            worker=make_worker(
                settings,
                source,
                stage,
                metrics=metrics,
                dead_letters=dead_letters,
                clock=clock,
                intake=intake,
                membership=source,
                background=True,
            ),
            source=source,
            source_kind="kafka",
            metrics=metrics,
            classifier=classifier.digest,
            share=lambda: intake.sampler.keep,
            door=door,
            clock=clock,
            close=release,
        )
    )


def build_detect(
    settings: Settings,
    clock: Clock,
    *,
    accept_new: bool,
    on_incidents: Callable[[Sequence[Incident]], None] | None = None,
) -> Service:
    """The labels topic to incidents, sharing its partitions with other detectors.

    Raises:
        AlignwatchError: a setting or a baseline is not as it must be.
    """
    kafka = _labels_topic(settings)
    metrics = Metrics()
    transactions = KafkaTransactions(kafka, "detect")
    dead_letters = open_dead_letters(settings.dead_letters, transactions)
    # The queue of alerts is this process's working copy: what counts lies on the state topic.
    folder = tempfile.TemporaryDirectory(prefix="alignwatch-")
    scratch = State(Path(folder.name) / "alerts.sqlite3")
    outbox, dispatcher = open_alerts(settings, scratch, metrics)
    routes = settings.alerts.routes

    def enqueue(incidents: Sequence[Incident]) -> None:
        with transaction(scratch.connection):
            for incident in incidents:
                outbox.enqueue(incident, routes)

    def told(incidents: Sequence[Incident]) -> None:
        dispatcher.wake()
        if on_incidents is not None:
            on_incidents(incidents)

    store = KafkaStateTopic(kafka, settings.state.topic)
    stage = DetectStage(
        _task_maker(settings, metrics, dead_letters, scratch),
        store,
        transactions,
        metrics=metrics,
        enqueue=enqueue,
        accept_new=accept_new,
        on_incidents=told,
    )
    source = KafkaSource(kafka, position_of=stage.position_of)
    stage.group = source

    def release() -> None:
        dead_letters.close()
        transactions.close()
        store.close()
        scratch.close()
        folder.cleanup()

    return Service(
        Parts(
            settings=settings,
            worker=make_worker(
                settings, source, stage, metrics=metrics, dead_letters=dead_letters, clock=clock, membership=source
            ),
            source=source,
            source_kind="kafka",
            metrics=metrics,
            engine=stage,
            outbox=outbox,
            announcer=Announcer(scratch.connection, routes, time.time, lasting=False),
            dispatcher=dispatcher,
            state_bytes=lambda: stage.size,
            clock=clock,
            close=release,
        )
    )


def _kafka(settings: Settings, role: str) -> KafkaConfig:
    source = settings.source
    if source.kind != "kafka":
        raise ConfigError([f"source.kind = {source.kind!r}: `run --role {role}` needs kafka"])
    if role == "label" and (faults := source.faults()):
        raise ConfigError(faults)
    return source.kafka


def _labels_topic(settings: Settings) -> KafkaConfig:
    kafka = _kafka(settings, "detect")
    return kafka.model_copy(
        # Another isolation would count labels of transactions that were given up.
        update={
            "topics": (settings.labels.topic,),
            "topic_pattern": None,
            "group_id": f"{kafka.group_id}-detect",
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",
        }
    )


def _task_maker(settings: Settings, metrics: Metrics, dead_letters: DeadLetters, scratch: State) -> MakeTask:
    path = settings.baseline.path
    baselines = load_baselines(path) if path is not None else {}
    config = detection_config(settings)
    approved = sum(one.approved for one in baselines.values())
    # Each partition's engine sees its own deployments, and all of them share one budget of false alarms.
    config = config.model_copy(update={"fleet_deployments": config.fleet_deployments or max(approved, 1)})

    def make(number: int, count: int) -> PartitionTask:
        mine = {name: one for name, one in baselines.items() if partition_of(name, count) == number}
        seen = seen_ids(settings)
        # The label workers have looked at the clock: a backlog must not be refused for its age here.
        intake = LabelIntake(guards(settings, metrics, dead_letters, None, seen))
        return PartitionTask(Engine(config, mine), intake, seen, scratch.connection)

    return make


def partition_of(deployment: str, count: int) -> int:
    """Where a deployment's labels lie among `count` partitions: Kafka's own hash of the key.

    >>> partition_of("chat-prod", 6) == partition_of("chat-prod", 6)
    True
    """
    number: int = murmur2(deployment.encode())
    return (number & 0x7FFFFFFF) % count
