"""Builds the parts of a service from settings; all is checked and opened here, before the first record is read."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alerts.dispatcher import Dispatcher
from alerts.outbox import Outbox
from alignwatch import Incident
from monitor.announcer import Announcer
from monitor.assembly_parts import make_worker, open_alerts
from monitor.assembly_roles import build_detect, build_label
from monitor.clock import Clock, SystemClock
from monitor.config import Settings
from monitor.dead_letters import open_dead_letters
from monitor.engine import Engine
from monitor.errors import ConfigError, SourceError, StateError
from monitor.ingest import open_door
from monitor.metrics import Metrics
from monitor.outlets import SNAPSHOT, DetectOutlet, Enqueue
from monitor.recorded import exchange_intake, guards, load, make_engine, seen_ids
from monitor.service import Parts, Role, Service
from monitor.sources import Source, TopicPartition, open_producer, open_source
from monitor.state import CHOICE, State
from monitor.worker import Worker

log = logging.getLogger(__name__)


@dataclass
class Given:
    """What a caller brings instead of having it opened from the settings: the demo's and the tests' twins."""

    source: Source | None = None
    clock: Clock = field(default_factory=SystemClock)
    engine: Engine | None = None
    on_incidents: Callable[[Sequence[Incident]], None] | None = None


def assemble(
    settings: Settings, role: Role = "all", given: Given | None = None, *, accept_new_state: bool = False
) -> Service:
    """A service, ready to start.

    Args:
        settings: checked settings.
        role: `all` is the sidecar; `label` writes labels to a topic, `detect` reads them from one.
        given: parts to use instead of opening them.
        accept_new_state: start from no evidence where the state is missing or damaged, instead of refusing.

    Raises:
        AlignwatchError: an artefact, baseline, state or setting is not as it must be; nothing was started.
    """
    given = given or Given()
    if given.source is None and role != "detect" and (faults := settings.source.faults()):
        raise ConfigError(faults)
    if role == "label":
        return build_label(settings, given.clock)
    if role == "detect":
        return build_detect(settings, given.clock, accept_new=accept_new_state, on_incidents=given.on_incidents)
    return _Sidecar(settings, given, accept_new=accept_new_state).build()


class _Sidecar:
    def __init__(self, settings: Settings, given: Given, *, accept_new: bool) -> None:
        self.settings = settings
        self.given = given
        self.accept_new = accept_new
        self.metrics = Metrics()
        self.worker: Worker | None = None

    def build(self) -> Service:
        settings, given = self.settings, self.given
        producer = open_producer(settings.source) if settings.source.kind == "kafka" else None
        dead_letters = open_dead_letters(settings.dead_letters, producer)
        seen = seen_ids(settings)
        classifier = load(settings)
        checks = guards(settings, self.metrics, dead_letters, given.clock, seen)
        intake = exchange_intake(settings, checks, classifier, given.clock)
        state = State(settings.state.path, accept_new=self.accept_new)
        engine = self._engine(state)
        seen.restore(state.seen())
        outbox, dispatcher = open_alerts(settings, state, self.metrics)
        source = given.source or open_source(
            settings.source, position_of=self._position_of, check_new=self._check_new(state)
        )
        outlet = DetectOutlet(
            intake,
            engine,
            state,
            seen,
            metrics=self.metrics,
            enqueue=self._enqueue(outbox),
            clock=given.clock,
            on_incidents=self._told(dispatcher),
        )
        door, close_door = open_door(settings, source)
        self.worker = make_worker(
            settings,
            source,
            outlet,
            metrics=self.metrics,
            dead_letters=dead_letters,
            clock=given.clock,
            intake=intake,
            positions=state.positions(),
            background=given.source is None and settings.source.kind == "kafka",
        )

        def release() -> None:
            close_door()
            dead_letters.close()
            if producer is not None:
                producer.close()

        return Service(
            Parts(
                settings=settings,
                worker=self.worker,
                source=source,
                source_kind=settings.source.kind if given.source is None else "memory",
                metrics=self.metrics,
                state=state,
                engine=engine,
                outbox=outbox,
                dispatcher=dispatcher,
                announcer=Announcer(state.connection, settings.alerts.routes, time.time, lasting=True),
                classifier=classifier.digest,
                clock=given.clock,
                share=lambda: intake.sampler.keep,
                state_bytes=state.size,
                door=door,
                close=release,
            )
        )

    def _position_of(self, where: TopicPartition) -> int | None:
        return self.worker.position_of(where) if self.worker is not None else None

    def _check_new(self, state: State) -> Callable[[TopicPartition, int | None], None] | None:
        if not state.fresh or self.accept_new:
            return None

        def refuse(part: TopicPartition, committed: int | None) -> None:
            if committed:
                raise SourceError(
                    f"the state file {state.path} is new, but its consumer group has counted"
                    f" {part.topic}[{part.partition}] up to offset {committed}: {CHOICE}"
                )

        return refuse

    def _engine(self, state: State) -> Engine:
        engine = self.given.engine or make_engine(self.settings, self.settings.baseline.path)
        try:
            body = state.snapshot(SNAPSHOT)
            if body is not None:
                engine.restore(body)
                log.info("resumed", extra={"state": str(state.path), "positions": len(state.positions())})
        except StateError as error:
            if not self.accept_new:
                raise
            state.set_aside(error)
        if state.fresh:
            log.warning("new state file: detection starts from nothing", extra={"state": str(state.path)})
        return engine

    def _enqueue(self, outbox: Outbox) -> Enqueue:
        routes = self.settings.alerts.routes

        def enqueue(connection: sqlite3.Connection, incidents: Sequence[Incident]) -> None:
            del connection  # the outbox was opened on the state's own connection
            for incident in incidents:
                outbox.enqueue(incident, routes)

        return enqueue

    def _told(self, dispatcher: Dispatcher) -> Callable[[Sequence[Incident]], None]:
        def told(incidents: Sequence[Incident]) -> None:
            dispatcher.wake()
            if self.given.on_incidents is not None:
                self.given.on_incidents(incidents)

        return told
