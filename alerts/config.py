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

import string
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from alerts.episodes import Route
from alerts.pacing import Backoff
from alignwatch import Severity

INLINE_SECRETS: Final = ("routing_key", "bearer_token", "hmac_secret")
HIDDEN: Final = "(hidden)"
PLACEHOLDERS: Final = ("deployment", "verdict", "incident", "from_ms", "to_ms", "from_utc", "to_utc")
"""What link and command templates may hold, in braces."""

PAGERDUTY_ENDPOINT: Final = "https://events.pagerduty.com/v2/enqueue"
"""The US service region; in the EU region it is https://events.eu.pagerduty.com/v2/enqueue."""


def _refuse_inline(value: Any) -> NoReturn:
    del value
    raise ValueError(
        "a secret is never written into the settings; name a file or an environment variable that holds it"
    )


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL with a host")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; use bearer_token_file, bearer_token_env, url_file or url_env")
    return url


def _check_template(template: str) -> str:
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"not a template: {error}; write {{{{ and }}}} for plain braces") from error
    unknown = sorted(fields - set(PLACEHOLDERS))
    if unknown:
        allowed = ", ".join("{" + name + "}" for name in PLACEHOLDERS)
        raise ValueError(f"unknown placeholder {', '.join(unknown)}; allowed: {allowed}")
    return template


Refused = Annotated[SkipJsonSchema[None], BeforeValidator(_refuse_inline), Field(exclude=True, repr=False)]
Url = Annotated[str, AfterValidator(_check_url)]
Template = Annotated[str, AfterValidator(_check_template)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
SinkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A table of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsConfig(Section):
    """How a receiver is trusted, and how we show who we are."""

    ca_file: Path | None = None
    """PEM bundle to trust instead of the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> TlsConfig:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        return self


class SinkBase(Section):
    """What every sink has."""

    name: SinkName = ""
    """Unique; the kind when unset. Undelivered alerts are kept under it."""
    min_severity: Severity = "error"
    """Incidents below it open nothing here; one that is open is followed to its end."""
    send_resolved: bool = True
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
    routing_key_file: Path | None = None
    routing_key_env: str | None = None
    routing_key: Refused = None
    endpoint: Url = PAGERDUTY_ENDPOINT

    @model_validator(mode="after")
    def _one_key(self) -> PagerDutySinkConfig:
        _exactly_one("routing_key_file", self.routing_key_file, "routing_key_env", self.routing_key_env)
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
        _at_most_one("bearer_token_file", self.bearer_token_file, "bearer_token_env", self.bearer_token_env)
        _at_most_one("hmac_secret_file", self.hmac_secret_file, "hmac_secret_env", self.hmac_secret_env)
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
    PagerDutySinkConfig | WebhookSinkConfig | LogSinkConfig | MemorySinkConfig, Field(discriminator="kind")
]


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
        return data | {"sinks": [_redacted(sink) for sink in data["sinks"]]}

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
            Route(sink.name, sink.min_severity, sink.send_resolved, sink.update_interval_seconds) for sink in self.sinks
        )


def _redacted(sink: Any) -> Any:
    """The sink's table without secrets, so that no message about it can repeat one."""
    if not isinstance(sink, dict):
        return sink
    hidden = {key: HIDDEN for key in INLINE_SECRETS if sink.get(key) is not None}
    for key in ("url", "endpoint"):
        if isinstance(sink.get(key), str) and "@" in sink[key]:
            hidden[key] = _without_user(sink[key])
    return sink | hidden


def _without_user(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{HIDDEN}@{host}")) if "@" in parts.netloc else url


def _exactly_one(first: str, one: object, second: str, two: object) -> None:
    if (one is None) == (two is None):
        raise ValueError(f"exactly one of {first} and {second} is needed")


def _at_most_one(first: str, one: object, second: str, two: object) -> None:
    if one is not None and two is not None:
        raise ValueError(f"only one of {first} and {second} may be set")
