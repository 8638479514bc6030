"""Builds the parts of a service from settings; all is checked and opened here, before the first record is read."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alerts.dispatcher import Dispatcher
from alerts.outbox import Outbox
from alerts.sinks import open_sinks
from alignwatch import Incident
from monitor.clock import Clock, SystemClock
from monitor.config import Settings
from monitor.dead_letters import DeadLetters, open_dead_letters
from monitor.engine import Engine
from monitor.errors import ConfigError
from monitor.intake import Intake, LabelIntake
from monitor.metrics import Metrics
from monitor.outlets import SNAPSHOT, DetectOutlet, TopicOutlet
from monitor.recorded import exchange_intake, guards, load, make_engine, seen_ids
from monitor.service import Parts, Role, Service
from monitor.sources import Producer, Source, SourceConfig, TopicPartition, open_producer, open_source
from monitor.state import State
from monitor.worker import Outlet, Worker

log = logging.getLogger(__name__)


@dataclass
class Given:
    """What a caller brings instead of having it opened from the settings: the demo's and the tests' twins."""

    source: Source | None = None
    clock: Clock = field(default_factory=SystemClock)
    engine: Engine | None = None
    on_incidents: Callable[[Sequence[Incident]], None] | None = None


def assemble(settings: Settings, role: Role = "all", given: Given | None = None) -> Service:
    """A service, ready to start.

    Args:
        settings: checked settings.
        role: `all` is the sidecar; `label` writes labels to a topic, `detect` reads them from one.
        given: parts to use instead of opening them.

    Raises:
        AlignwatchError: an artefact, baseline, state or setting is not as it must be; nothing was started.
    """
    builder = _Builder(settings, role, given or Given())
    return builder.build()


class _Builder:
    def __init__(self, settings: Settings, role: Role, given: Given) -> None:
        self.settings = settings
        self.role = role
        self.given = given
        self.metrics = Metrics()
        self.seen = seen_ids(settings)
        self.worker: Worker | None = None
        self.classifier: str | None = None

    def build(self) -> Service:
        settings, given = self.settings, self.given
        producer = open_producer(settings.source) if settings.source.kind == "kafka" else None
        dead_letters = open_dead_letters(settings.dead_letters, producer)
        intake = self._intake(dead_letters)
        state = State(settings.state.path) if self.role != "label" else None
        engine = self._engine(state)
        outbox, dispatcher = self._alerts(state)
        outlet = self._outlet(engine, state, outbox, dispatcher, producer)
        source = given.source or open_source(self._source_config(), position_of=self._position_of)
        if state is not None:
            self.seen.restore(state.seen())
        self.worker = Worker(
            source,
            intake,
            outlet,
            dead_letters=dead_letters,
            clock=given.clock,
            config=settings.worker,
            positions=state.positions() if state is not None else {},
            on_turn=lambda: service.publish(),  # noqa: PLW0108 - the service is made below
        )

        def release() -> None:
            dead_letters.close()
            if producer is not None:
                producer.close()

        parts = Parts(
            settings=settings,
            worker=self.worker,
            source=source,
            source_kind=settings.source.kind if given.source is None else "memory",
            metrics=self.metrics,
            state=state,
            engine=engine,
            outbox=outbox,
            dispatcher=dispatcher,
            classifier=self.classifier,
            clock=given.clock,
            close=release,
        )
        service = Service(parts)
        return service

    def _position_of(self, where: TopicPartition) -> int | None:
        return self.worker.position_of(where) if self.worker is not None else None

    def _source_config(self) -> SourceConfig:
        source = self.settings.source
        if self.role != "detect":
            return source
        if source.kind != "kafka":
            raise ConfigError([f"source.kind = {source.kind!r}: `run --role detect` reads the labels topic; use kafka"])
        kafka = source.kafka.model_copy(
            update={"topics": (self.settings.labels.topic,), "group_id": f"{source.kafka.group_id}-detect"}
        )
        return source.model_copy(update={"kafka": kafka})

    def _intake(self, dead_letters: DeadLetters) -> Intake:
        checks = guards(self.settings, self.metrics, dead_letters, self.given.clock, self.seen)
        if self.role == "detect":
            return LabelIntake(checks)
        classifier = load(self.settings)
        self.classifier = classifier.digest
        return exchange_intake(self.settings, checks, classifier, self.given.clock)

    def _engine(self, state: State | None) -> Engine | None:
        if state is None:
            return None
        engine = self.given.engine or make_engine(self.settings, self.settings.baseline.path)
        body = state.snapshot(SNAPSHOT)
        if body is not None:
            engine.restore(body)
            log.info("resumed", extra={"state": str(state.path), "positions": len(state.positions())})
        elif state.fresh:
            log.warning("new state file: detection starts from nothing", extra={"state": str(state.path)})
        return engine

    def _alerts(self, state: State | None) -> tuple[Outbox | None, Dispatcher | None]:
        if state is None or state.path is None:
            return None, None
        outbox = Outbox(state.connection, now=time.time)
        dispatcher = Dispatcher(
            state.path,
            open_sinks(self.settings.alerts),
            self.settings.alerts,
            on_delivery=self._delivered,
            on_notice=lambda sink, text: log.warning(text, extra={"sink": sink}),
        )
        return outbox, dispatcher

    def _delivered(self, sink: str, outcome: Literal["sent", "retry", "rejected"]) -> None:
        if outcome == "sent":
            self.metrics.alert_sent(sink)
        else:
            self.metrics.alert_failed(sink, rejected=outcome == "rejected")

    def _outlet(
        self,
        engine: Engine | None,
        state: State | None,
        outbox: Outbox | None,
        dispatcher: Dispatcher | None,
        producer: Producer | None,
    ) -> Outlet:
        if engine is None or state is None:
            if producer is None:
                raise ConfigError([f"source.kind = {self.settings.source.kind!r}: `run --role label` needs kafka"])
            return TopicOutlet(producer, self.settings.labels.topic)

        routes = self.settings.alerts.routes

        def enqueue(connection: sqlite3.Connection, incidents: Sequence[Incident]) -> None:
            del connection  # the outbox was opened on the state's own connection
            for incident in incidents:
                assert outbox is not None
                outbox.enqueue(incident, routes)

        def told(incidents: Sequence[Incident]) -> None:
            if dispatcher is not None:
                dispatcher.wake()
            if self.given.on_incidents is not None:
                self.given.on_incidents(incidents)

        return DetectOutlet(
            engine,
            state,
            self.seen,
            metrics=self.metrics,
            enqueue=enqueue if outbox is not None else None,
            clock=self.given.clock,
            on_incidents=told,
        )
