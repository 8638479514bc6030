"""Settings of each kind of sink."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from alerts.episodes import Updates
from alerts.settings import Refused, Seconds, Section, SinkName, TlsConfig, Url, at_most_one, exactly_one
from alignwatch import Severity, Verdict

PAGERDUTY_ENDPOINT: Final = "https://events.pagerduty.com/v2/enqueue"
"""The US service region; in the EU region it is https://events.eu.pagerduty.com/v2/enqueue."""
Pattern = Annotated[str, Field(min_length=1, max_length=512)]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]


class SinkBase(Section):
    """What every sink has."""

    name: SinkName = ""
    """Unique; the kind when unset. Undelivered alerts are kept under it."""
    min_severity: Severity = "error"
    """Incidents below it open nothing here; one that is open is followed to its end."""
    deployments: tuple[Pattern, ...] = ()
    """Only these, by name or shell pattern (`chat-*`); all when empty."""
    verdicts: tuple[Verdict, ...] = ()
    """Only these; all when empty."""
    send_resolved: bool = True
    updates: Updates = "figures"
    """`figures`: an open alert follows its figures; `material`: it is updated when there is news for a person alone."""
    update_interval_seconds: Seconds = 300.0
    """Between updates in which only figures changed; a change of status, severity or verdict goes out at once."""
    rate_per_minute: Annotated[float, Field(gt=0, le=6000, allow_inf_nan=False)] = 60.0
    burst: Annotated[int, Field(ge=1, le=1000)] = 10

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        return {"name": data["kind"]} | data if isinstance(data, dict) and "kind" in data else data


class HttpSinkBase(SinkBase):
    """What every sink that speaks HTTP has. A proxy is taken from HTTPS_PROXY and its kin."""

    timeout_seconds: Seconds = 10.0
    """For each of connecting, sending and waiting for the answer."""
    tls: TlsConfig = Field(default_factory=TlsConfig)


class PagerDutySinkConfig(HttpSinkBase):
    """PagerDuty, Events API v2; the routing key is an integration key of 32 characters."""

    kind: Literal["pagerduty"]
    updates: Updates = "material"
    routing_key_file: Path | None = None
    routing_key_env: str | None = None
    routing_key: Refused = None
    endpoint: Url = PAGERDUTY_ENDPOINT
    change_endpoint: Url | None = None
    """Where change events go; `change/` before the last part of `endpoint` when unset."""
    change_events: bool = True
    """Tell of changes of weights, baselines and settings, so that they stand beside an incident in PagerDuty."""

    @model_validator(mode="after")
    def _one_key(self) -> PagerDutySinkConfig:
        exactly_one("routing_key_file", self.routing_key_file, "routing_key_env", self.routing_key_env)
        return self


class WebhookSinkConfig(HttpSinkBase):
    """Any receiver of Alertmanager's webhook, version 4."""

    kind: Literal["webhook"]
    min_severity: Severity = "warning"
    url: Url | None = None
    url_file: Path | None = None
    """Holds the URL, where the URL itself is the secret."""
    url_env: str | None = None
    bearer_token_file: Path | None = None
    bearer_token_env: str | None = None
    bearer_token: Refused = None
    hmac_secret_file: Path | None = None
    """Signs each request: see `X-Alignwatch-Signature-256` in the guide."""
    hmac_secret_env: str | None = None
    hmac_secret: Refused = None

    @model_validator(mode="after")
    def _sources(self) -> WebhookSinkConfig:
        if sum(value is not None for value in (self.url, self.url_file, self.url_env)) != 1:
            raise ValueError("exactly one of url, url_file and url_env is needed")
        at_most_one("bearer_token_file", self.bearer_token_file, "bearer_token_env", self.bearer_token_env)
        at_most_one("hmac_secret_file", self.hmac_secret_file, "hmac_secret_env", self.hmac_secret_env)
        return self


class AlertmanagerSinkConfig(HttpSinkBase):
    """Prometheus Alertmanager, API v2; it groups, inhibits and routes by its own rules."""

    kind: Literal["alertmanager"]
    min_severity: Severity = "warning"
    urls: Annotated[tuple[Url, ...], Field(min_length=1)]
    """Every member of a cluster, without `/api/v2`: each is told, and one that takes the alert is enough."""
    refresh_seconds: Seconds = 60.0
    """Open alerts are told again this often, because Alertmanager keeps none over a restart."""
    expire_seconds: Seconds = 900.0
    """An alert that is no longer told ends after so long: what is left behind by a monitor that was removed."""
    labels: dict[LabelName, str] = Field(default_factory=dict)
    """Added to every alert, e.g. `{team = "ml-platform"}`."""
    bearer_token_file: Path | None = None
    bearer_token_env: str | None = None
    bearer_token: Refused = None

    @model_validator(mode="after")
    def _sound(self) -> AlertmanagerSinkConfig:
        at_most_one("bearer_token_file", self.bearer_token_file, "bearer_token_env", self.bearer_token_env)
        if self.expire_seconds < 2 * self.refresh_seconds:
            raise ValueError("expire_seconds must be at least twice refresh_seconds, or one lost refresh ends an alert")
        taken = sorted(set(self.labels) & {"alertname", "deployment", "incident", "severity", "verdict"})
        if taken:
            raise ValueError(f"labels: {', '.join(taken)} is set by alignwatch itself")
        return self


class SlackSinkConfig(HttpSinkBase):
    """A Slack incoming webhook; its URL is the secret. A message can't be edited, so updates are few."""

    kind: Literal["slack"]
    min_severity: Severity = "warning"
    updates: Updates = "material"
    update_interval_seconds: Seconds = 900.0
    url_file: Path | None = None
    url_env: str | None = None
    url: Refused = None
    mention: Annotated[str, Field(max_length=80, pattern=r"^(<!(here|channel|subteam\^[A-Z0-9]+)>|<@[A-Z0-9]+>)?$")] = (
        ""
    )
    """Who is called by name when an alert of severity critical or error opens, e.g. `<!here>`."""

    @model_validator(mode="after")
    def _one_url(self) -> SlackSinkConfig:
        exactly_one("url_file", self.url_file, "url_env", self.url_env)
        return self


class LogSinkConfig(SinkBase):
    """One JSON line an event."""

    kind: Literal["log"]
    min_severity: Severity = "info"
    stream: Literal["stderr", "stdout"] = "stderr"


class MemorySinkConfig(SinkBase):
    """Keeps events in the process, for tests and the demo."""

    kind: Literal["memory"]
    min_severity: Severity = "info"


SinkConfig = Annotated[
    PagerDutySinkConfig
    | AlertmanagerSinkConfig
    | WebhookSinkConfig
    | SlackSinkConfig
    | LogSinkConfig
    | MemorySinkConfig,
    Field(discriminator="kind"),
]
