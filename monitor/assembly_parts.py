"""Parts that several roles share: the outbox with what carries it to the sinks, and who hears of the loop's steps."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal

from alerts.dispatcher import Dispatcher
from alerts.outbox import Outbox
from alerts.sinks import open_sinks
from monitor.clock import Clock
from monitor.config import Settings
from monitor.dead_letters import DeadLetters
from monitor.errors import StateError
from monitor.intake import ExchangeIntake
from monitor.metrics import Metrics
from monitor.relief import Relief
from monitor.sources import Source, TopicPartition
from monitor.state import State
from monitor.worker import Membership, OnTime, Stage, Worker

log = logging.getLogger(__name__)


def open_alerts(settings: Settings, state: State, metrics: Metrics) -> tuple[Outbox, Dispatcher]:
    """Outbox and dispatcher of a state file; nothing is sent before the dispatcher starts.

    Raises:
        ConfigError: a sink's secret is missing.
        StateError: the state is in memory, where a dispatcher's threads can't read it.
    """
    if state.path is None:
        raise StateError("alerts need a state file")

    def delivered(sink: str, outcome: Literal["sent", "retry", "rejected"]) -> None:
        if outcome == "sent":
            metrics.alert_sent(sink)
        else:
            metrics.alert_failed(sink, rejected=outcome == "rejected")

    outbox = Outbox(state.connection, now=time.time)
    dispatcher = Dispatcher(
        Path(state.path),
        open_sinks(settings.alerts),
        settings.alerts,
        on_delivery=delivered,
        on_notice=lambda sink, text: log.warning(text, extra={"sink": sink}),
    )
    return outbox, dispatcher


def make_worker(
    settings: Settings,
    source: Source,
    stage: Stage,
    *,
    metrics: Metrics,
    dead_letters: DeadLetters,
    clock: Clock,
    intake: ExchangeIntake | None = None,
    positions: dict[TopicPartition, int] | None = None,
    membership: Membership | None = None,
    background: bool = False,
) -> Worker:
    """The loop of any role; `intake` where it labels."""
    return Worker(
        source,
        stage,
        dead_letters=dead_letters,
        clock=clock,
        config=settings.worker,
        positions=positions or {},
        membership=membership,
        background=background,
        on_time=timekeeper(settings, metrics, intake, source),
        held=intake.held if intake is not None else dict,
    )


def timekeeper(settings: Settings, metrics: Metrics, intake: ExchangeIntake | None, source: Source) -> OnTime:
    """Counts the steps of the loop, and lets the sampler work off a long backlog."""
    limit = settings.worker.backlog_seconds
    relief = Relief(intake.sampler, source.lag, limit) if intake is not None and limit is not None else None

    def hear(step: str, seconds: float, records: int) -> None:
        metrics.step(step, seconds)
        if step == "take" and relief is not None:
            relief.took(records, seconds)

    return hear
