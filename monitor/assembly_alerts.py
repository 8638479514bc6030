"""The outbox in a state file, and what carries it to the sinks."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal

from alerts.dispatcher import Dispatcher
from alerts.outbox import Outbox
from alerts.sinks import open_sinks
from monitor.config import Settings
from monitor.errors import StateError
from monitor.metrics import Metrics
from monitor.state import State

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
