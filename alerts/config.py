"""Settings of alert delivery: who is told, from which severity on, how fast, and where secrets are read from.

    [alerts]
    dashboard_url = "https://grafana.example/d/alignwatch?var-deployment={deployment}&from={from_ms}&to={to_ms}"

    [[alerts.sinks]]
    kind = "pagerduty"
    routing_key_file = "/run/secrets/pagerduty-routing-key"

Every model refuses unknown keys. Secrets are named by file or environment variable; one written into the settings is
refused, and its value is kept out of the message that says so.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from alerts.episodes import Route
from alerts.pacing import Backoff
from alerts.settings import HIDDEN, INLINE_SECRETS, PLACEHOLDERS, Seconds, Section, Template, TlsConfig, Url, redacted
from alerts.sink_config import (
    PAGERDUTY_ENDPOINT,
    AlertmanagerSinkConfig,
    HttpSinkBase,
    LogSinkConfig,
    MemorySinkConfig,
    PagerDutySinkConfig,
    SinkBase,
    SinkConfig,
    SlackSinkConfig,
    WebhookSinkConfig,
)

__all__ = [
    "HIDDEN", "INLINE_SECRETS", "PAGERDUTY_ENDPOINT", "PLACEHOLDERS", "AlertmanagerSinkConfig", "AlertsConfig",
    "HttpSinkBase", "LogSinkConfig", "MemorySinkConfig", "PagerDutySinkConfig", "SinkBase", "SinkConfig",
    "SlackSinkConfig", "TlsConfig", "WebhookSinkConfig",
]  # fmt: skip


class AlertsConfig(Section):
    """The `[alerts]` table."""

    sinks: tuple[SinkConfig, ...] = (LogSinkConfig(kind="log"),)
    """Who is told; the log alone when unset."""
    dashboard_url: Template | None = None
    """Link in every alert; `{deployment}` and the other placeholders are filled in, URL-quoted."""
    runbook_url: Template | None = None
    """Link in every alert, e.g. `https://wiki.example/alignwatch/{verdict}`."""
    status_url: Url | None = None
    """Where the status page is reachable for a responder."""
    replay_command: Template = "alignwatch replay TRAFFIC --baseline BASELINE --report incident.html"
    """What a responder runs to see the evidence again; `{deployment}`, `{from_utc}` ... are filled in, shell-quoted."""
    backoff_initial_seconds: Seconds = 1.0
    backoff_max_seconds: Seconds = 60.0
    """Also how late, at most, a page may be once its receiver is back."""
    retention_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 30.0
    """How long delivered and refused events stay in the outbox."""

    @model_validator(mode="before")
    @classmethod
    def _hide_secrets(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("sinks"), list | tuple):
            return data
        return data | {"sinks": [redacted(sink) for sink in data["sinks"]]}

    @model_validator(mode="after")
    def _consistent(self) -> AlertsConfig:
        names = [sink.name for sink in self.sinks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sinks: name {', '.join(twice)} is used twice; give each sink a name of its own")
        if self.backoff_initial_seconds > self.backoff_max_seconds:
            raise ValueError("backoff_initial_seconds must not be above backoff_max_seconds")
        return self

    @property
    def backoff(self) -> Backoff:
        """How failed deliveries are spaced."""
        return Backoff(self.backoff_initial_seconds, self.backoff_max_seconds)

    @property
    def routes(self) -> tuple[Route, ...]:
        """What each sink wants to hear, for `Outbox.enqueue`."""
        return tuple(
            Route(
                sink.name,
                sink.min_severity,
                sink.send_resolved,
                sink.update_interval_seconds,
                deployments=sink.deployments,
                verdicts=sink.verdicts,
                updates=sink.updates,
                changes=isinstance(sink, PagerDutySinkConfig) and sink.change_events,
            )
            for sink in self.sinks
        )
