"""The running service: puts source, stages, state, alerts and HTTP together, and takes them down in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from alerts.dispatcher import Dispatcher
from alerts.guidance import links
from alerts.outbox import Outbox
from monitor.announcer import Announcer, facts_of
from monitor.clock import Clock
from monitor.config import Settings
from monitor.errors import MonitorError
from monitor.http import LOOPBACK_HOSTS, Door, HttpServer, create_app
from monitor.metrics import Metrics
from monitor.service_status import (
    ClassifierSummary,
    OutboxSummary,
    PartitionLag,
    ServiceStatus,
    SourceStatus,
    StateSummary,
)
from monitor.sources import Source
from monitor.state import State
from monitor.status import DeploymentStatus
from monitor.worker import Worker

Role = Literal["all", "label", "detect"]

STATUS_SECONDS: Final = 1.0
"""Real seconds between looks at the detectors for `/status`; the page polls about as often."""
LIVE_SECONDS: Final = 120.0
"""A loop that has not turned for this long is stuck: far above any batch, below Kafka's max.poll.interval of 300 s."""


class Watching(Protocol):
    """The detectors, as far as the status needs them."""

    def status(self) -> list[DeploymentStatus]:
        """One for each deployment, by name."""


@dataclass(frozen=True)
class Parts:
    """What a service is made of; `monitor.assembly` builds it from settings, the demo and tests by hand."""

    settings: Settings
    worker: Worker
    source: Source
    source_kind: str
    metrics: Metrics
    clock: Clock
    state: State | None = None
    engine: Watching | None = None
    outbox: Outbox | None = None
    dispatcher: Dispatcher | None = None
    classifier: str | None = None
    door: Door | None = None
    """Where gateways deliver traffic; None where it comes another way."""
    announcer: Announcer | None = None
    """Tells of changes; None where nobody is told."""
    share: Callable[[], float] | None = None
    """Share of the sample that is being labelled, where anything is."""
    state_bytes: Callable[[], int] | None = None
    close: Callable[[], None] = lambda: None
    """Releases what else was opened (dead letters, producers)."""


class Service:
    """One process of alignwatch.

    The worker turns in the thread that calls `run`; HTTP and alert delivery have threads of their own and see the
    detectors only through a status that the worker publishes, so that nothing is shared that may change under them.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = parts.clock.now()
        self._stopping = False
        self._rate = _Rate()
        self._published_at = float("-inf")
        self._status = self._look()
        self._tell_start()
        self._http = self._make_http()
        parts.worker.on_turn = self.publish

    def _make_http(self) -> HttpServer | None:
        config = self._parts.settings.http
        if not config.enabled:
            return None
        hosts = LOOPBACK_HOSTS if config.loopback else None
        alerts = self._parts.settings.alerts
        app = create_app(
            self,
            self._parts.metrics,
            allowed_hosts=hosts,
            door=self._parts.door,
            # Not the link to the page itself.
            links=lambda one: [link for link in links(one, alerts) if link.name != "status"],
        )
        return HttpServer(app, config.host, config.port)

    @property
    def url(self) -> str | None:
        """Where the status page is; None when HTTP is off."""
        return self._http.url if self._http is not None else None

    def start(self) -> None:
        """Open the HTTP port and start delivering alerts.

        Raises:
            MonitorError: the port is taken.
        """
        if self._http is not None:
            self._http.start()
        if self._parts.dispatcher is not None:
            self._parts.dispatcher.start()

    def run(self) -> None:
        """Work until `stop` or the end of the source, then take everything down.

        Raises:
            MonitorError: what was read last could not be committed; the next start reads it again.

        The order matters. Not ready first, so that nothing new is routed here; the loop then finishes its batch,
        commits and acknowledges; only then does the source leave its group, so that another replica starts exactly
        where we ended; alerts go out last, because the last commit may have queued one.
        """
        parts = self._parts
        try:
            parts.worker.run()
            # The last labels may have brought other weights.
            self._status = self._look()
            self._tell_changes()
        finally:
            self._stopping = True
            parts.source.close()
            if parts.dispatcher is not None:
                parts.dispatcher.drain(parts.settings.worker.drain_seconds)
            if self._http is not None:
                self._http.stop()
            parts.close()
            if parts.state is not None:
                parts.state.close()
        if parts.worker.fault is not None:
            raise MonitorError(f"stopped without a last commit: {parts.worker.fault}")

    def stop(self) -> None:
        """Ask for an orderly end; may be called from a signal handler."""
        self._stopping = True
        self._parts.worker.stop()

    def _tell_start(self) -> None:
        parts = self._parts
        if parts.announcer is not None:
            settings = parts.settings.model_dump(mode="json")
            self._heard(parts.announcer.started_with(facts_of(settings, parts.classifier, self._status.deployments)))

    def _heard(self, queued: int) -> None:
        if queued and self._parts.dispatcher is not None:
            self._parts.dispatcher.wake()

    def publish(self) -> None:
        """Look at the detectors, at most once a second; called by the worker between batches."""
        now = time.monotonic()
        if now - self._published_at >= STATUS_SECONDS:
            self._published_at = now
            self._status = self._look()
            self._tell_changes()

    def _tell_changes(self) -> None:
        if self._parts.announcer is not None:
            self._heard(self._parts.announcer.look(self._status.deployments))

    def live(self) -> tuple[bool, str]:
        """False when the loop hangs: a restart would help."""
        idle = self._parts.clock.now() - self._parts.worker.ticked_at
        limit = LIVE_SECONDS * self._speed
        return (True, "ok") if idle <= limit else (False, f"the loop has not turned for {idle:.0f} s")

    def ready(self) -> tuple[bool, str]:
        """False while starting, stopping, cut off from the source, or unable to commit."""
        if self._stopping:
            return False, "stopping"
        if self._parts.worker.fault is not None:
            return False, self._parts.worker.fault
        if not self._parts.source.ready():
            return False, f"source {self._parts.source_kind}: not connected"
        return True, "ok"

    def status(self) -> ServiceStatus:
        """The status last published, with the current time."""
        return self._status.model_copy(update={"now": _time(self._parts.clock.now())})

    @property
    def _speed(self) -> float:
        return float(getattr(self._parts.clock, "speed", 1.0))

    def _look(self) -> ServiceStatus:
        parts = self._parts
        counters = parts.metrics.counters()
        now = parts.clock.now()
        deployments = parts.engine.status() if parts.engine is not None else []
        lag = parts.source.lag()
        return ServiceStatus(
            started_at=_time(self._started),
            now=_time(now),
            clock_speed=self._speed,
            source=SourceStatus(
                kind=parts.source_kind,
                ready=parts.source.ready(),
                lag=sum(lag.values()) if lag else None,
                paused=parts.worker.fault is not None,
                partitions=tuple(
                    PartitionLag(topic=part.topic, partition=part.partition, lag=behind)
                    for part, behind in sorted(lag.items())
                ),
                rebalances=getattr(parts.source, "rebalances", 0),
            ),
            pipeline=counters,
            classifier=ClassifierSummary(
                digest=parts.classifier,
                labels_per_second=self._rate(counters.labelled, time.monotonic()),
                share=parts.share() if parts.share is not None else None,
            ),
            state=StateSummary(
                path=str(parts.state.path) if parts.state is not None and parts.state.path is not None else None,
                bytes=parts.state_bytes() if parts.state_bytes is not None else None,
                last_commit_at=_time(parts.worker.committed_at),
            ),
            outbox=_outbox(parts.outbox),
            false_pages_per_90_days=parts.settings.detection.false_pages_per_90_days,
            deployments=tuple(deployments),
        )


class _Rate:
    """Labels a real second, over the last looks."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []

    def __call__(self, count: int, now: float) -> float | None:
        self._points = [*self._points[-10:], (now, count)]
        (first, before), (last, after) = self._points[0], self._points[-1]
        return round((after - before) / (last - first), 2) if last > first else None


def _outbox(outbox: Outbox | None) -> OutboxSummary:
    if outbox is None:
        return OutboxSummary()
    return OutboxSummary(
        depth=outbox.depth(), oldest_seconds=outbox.oldest_seconds(), standings=dict(outbox.standings())
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
