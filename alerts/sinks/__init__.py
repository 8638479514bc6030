"""Where alerts go, one sink a file; every delivery comes to `Delivered`, `Retry` or `Rejected`."""

from __future__ import annotations

import sys

from alerts.config import (
    AlertmanagerSinkConfig,
    AlertsConfig,
    LogSinkConfig,
    MemorySinkConfig,
    PagerDutySinkConfig,
    SinkConfig,
    SlackSinkConfig,
    WebhookSinkConfig,
)
from alerts.sinks._base import Delivered, Outcome, Rejected, Retry, Sink, attempt
from alerts.sinks.alertmanager import AlertmanagerSink
from alerts.sinks.log import LogSink
from alerts.sinks.memory import MemorySink
from alerts.sinks.pagerduty import PagerDutySink
from alerts.sinks.slack import SlackSink
from alerts.sinks.webhook import WebhookSink

__all__ = [
    "AlertmanagerSink",
    "Delivered",
    "LogSink",
    "MemorySink",
    "Outcome",
    "PagerDutySink",
    "Rejected",
    "Retry",
    "Sink",
    "SlackSink",
    "WebhookSink",
    "attempt",
    "open_sink",
    "open_sinks",
]


def open_sink(config: SinkConfig, alerts: AlertsConfig) -> Sink:
    """Build a sink from its settings.

    Raises:
        AlertConfigError: its secret or its TLS files can't be used.
    """
    match config:
        case PagerDutySinkConfig():
            return PagerDutySink(config, alerts)
        case AlertmanagerSinkConfig():
            return AlertmanagerSink(config, alerts)
        case SlackSinkConfig():
            return SlackSink(config, alerts)
        case WebhookSinkConfig():
            return WebhookSink(config, alerts)
        case LogSinkConfig():
            return LogSink(config.name, sys.stderr if config.stream == "stderr" else sys.stdout, alerts)
        case MemorySinkConfig():
            return MemorySink(config.name)


def open_sinks(alerts: AlertsConfig) -> tuple[Sink, ...]:
    """Build every configured sink.

    Raises:
        AlertConfigError: one of them can't be built.
    """
    return tuple(open_sink(config, alerts) for config in alerts.sinks)
