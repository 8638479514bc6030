"""Settings of alert delivery: what is allowed, what is refused, and that a refusal never repeats a secret."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from alerts.config import AlertsConfig, LogSinkConfig
from alerts.episodes import Route

PAGERDUTY = {"kind": "pagerduty", "routing_key_file": "/run/secrets/key"}
SECRET = "s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr"


def load(*sinks: dict[str, Any], **other: Any) -> AlertsConfig:
    return AlertsConfig.model_validate({"sinks": list(sinks)} | other)


def faults(*sinks: dict[str, Any], **other: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        load(*sinks, **other)
    return str(raised.value) + json.dumps(raised.value.errors(include_url=False), default=str)


def test_nothing_set_still_logs_every_incident() -> None:
    (sink,) = AlertsConfig().sinks
    assert isinstance(sink, LogSinkConfig)
    assert (sink.name, sink.min_severity, sink.stream) == ("log", "info", "stderr")


def test_routes_follow_the_sinks() -> None:
    config = load(PAGERDUTY, {"kind": "webhook", "name": "chat", "url": "https://c.example/x", "send_resolved": False})
    assert config.routes == (
        Route("pagerduty", "error", True, 300.0, updates="material", changes=True),
        Route("chat", "warning", False, 300.0),
    )


def test_defaults_are_the_documented_ones() -> None:
    (sink,) = load(PAGERDUTY).sinks
    assert sink.model_dump(include={"endpoint", "rate_per_minute", "timeout_seconds"}) == {
        "endpoint": "https://events.pagerduty.com/v2/enqueue", "rate_per_minute": 60.0, "timeout_seconds": 10.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "sink",
    [
        {"kind": "pagerduty", "routing_key": SECRET},
        PAGERDUTY | {"routing_key": SECRET},
        {"kind": "webhook", "url": "https://c.example", "hmac_secret": SECRET},
        {"kind": "webhook", "url": "https://c.example", "bearer_token": SECRET},
        {"kind": "webhook", "url": f"https://user:{SECRET}@c.example/x"},
        {"kind": "misspelt", "routing_key": SECRET},
        {"routing_key": SECRET},
        PAGERDUTY | {"routing_key": SECRET, "min_severity": "loud"},
    ],
)
def test_a_secret_in_the_settings_is_refused_and_not_repeated(sink: dict[str, Any]) -> None:
    assert SECRET not in faults(sink)


def test_the_refusal_says_where_a_secret_belongs() -> None:
    assert "a secret is never written into the settings; name a file or an environment variable" in faults(
        PAGERDUTY | {"routing_key": SECRET}
    )


@pytest.mark.parametrize(
    ("sinks", "other", "part"),
    [
        ([{"kind": "smoke"}], {}, "'pagerduty', 'alertmanager', 'webhook', 'slack', 'log', 'memory'"),
        ([{"kind": "pagerduty"}], {}, "exactly one of routing_key_file and routing_key_env is needed"),
        ([PAGERDUTY | {"routing_key_env": "X"}], {}, "exactly one of routing_key_file and routing_key_env"),
        ([{"kind": "webhook"}], {}, "exactly one of url, url_file and url_env"),
        ([{"kind": "webhook", "url": "ftp://a/b"}], {}, "must be an http or https URL with a host"),
        ([PAGERDUTY | {"rate_per_minute": 0}], {}, "greater than 0"),
        ([PAGERDUTY | {"timeout_seconds": float("inf")}], {}, "finite"),
        ([PAGERDUTY | {"min_severity": "loud"}], {}, "'critical', 'error', 'warning' or 'info'"),
        ([PAGERDUTY | {"name": "a b"}], {}, "pattern"),
        ([PAGERDUTY | {"tls": {"key_file": "k.pem"}}], {}, "key_file needs cert_file"),
        ([PAGERDUTY, PAGERDUTY], {}, "name pagerduty is used twice"),
        ([PAGERDUTY | {"colour": "red"}], {}, "Extra inputs are not permitted"),
        ([], {"dashboard_url": "https://g/{who}"}, "unknown placeholder who; allowed: {deployment}, {verdict}"),
        ([], {"runbook_url": "https://g/{deployment.__class__}"}, "unknown placeholder deployment.__class__"),
        ([], {"replay_command": "run {"}, "not a template"),
        ([], {"backoff_initial_seconds": 90}, "must not be above backoff_max_seconds"),
    ],
)
def test_each_fault_says_what_is_allowed(sinks: list[dict[str, Any]], other: dict[str, Any], part: str) -> None:
    assert part in faults(*sinks, **other)


def test_shown_settings_and_schema_hold_no_place_for_a_secret() -> None:
    shown = load(PAGERDUTY, {"kind": "webhook", "url": "https://c.example"}).model_dump(mode="json")
    for text in (json.dumps(shown), json.dumps(AlertsConfig.model_json_schema())):
        for name in ("routing_key", "bearer_token", "hmac_secret"):
            assert f'"{name}"' not in text


def test_reading_settings_does_not_load_an_http_client() -> None:
    code = "import sys, alerts.config; raise SystemExit('httpx' in sys.modules or 'sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
