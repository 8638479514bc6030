"""The sinks over real HTTP on loopback, and the shapes that they send."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_samples import incident
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pagerduty import ROUTING_KEY, PagerDutyReceiver
from pagerduty_schema import faults_of

from alerts.config import AlertsConfig, PagerDutySinkConfig, WebhookSinkConfig
from alerts.episodes import dedup_key
from alerts.errors import AlertConfigError
from alerts.message import Message
from alerts.sinks import Delivered, LogSink, MemorySink, PagerDutySink, Rejected, Retry, WebhookSink, open_sinks
from alerts.sinks.pagerduty import MAX_BYTES, event
from alerts.sinks.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER, payload, signature
from alignwatch import SEVERITIES, Incident, StreamFinding


def message(action: str = "trigger", one: Incident | None = None, **changes: Any) -> Message:
    one = one or incident()
    fields = {
        "action": action, "cause": "opened" if action == "trigger" else "recovered", "dedup_key": dedup_key(one),
        "level": one.severity, "opened_as": one.verdict, "incident": one,
    }  # fmt: skip
    return Message.model_validate(fields | changes)


@pytest.fixture
def receiver() -> Iterator[PagerDutyReceiver]:
    with PagerDutyReceiver() as one:
        yield one


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(ROUTING_KEY + "\n")
    return path


def pagerduty(receiver: PagerDutyReceiver, key: Path, **changes: Any) -> PagerDutySink:
    fields = {"kind": "pagerduty", "routing_key_file": key, "endpoint": receiver.endpoint, "timeout_seconds": 2.0}
    config = AlertsConfig(status_url="https://status.example", runbook_url="https://wiki.example/{verdict}")
    return PagerDutySink(PagerDutySinkConfig.model_validate(fields | changes), config)


def test_a_trigger_carries_what_a_responder_needs(receiver: PagerDutyReceiver, key: Path) -> None:
    assert pagerduty(receiver, key).deliver(message()) == Delivered()
    (sent,) = receiver.events
    assert sent["payload"]["summary"].startswith(
        "chat-prod: un-alignment: compliance with sensitive requests 12 % -> 71 %"
    )
    assert sent["payload"]["severity"] == "critical"
    assert sent["payload"]["source"] == sent["payload"]["group"] == "chat-prod"
    assert sent["payload"]["class"] == "un-alignment"
    assert sent["payload"]["timestamp"] == "2026-11-23T10:55:00.000Z"
    assert sent["payload"]["custom_details"]["model_digest"].startswith("sha256:")
    assert sent["links"][0] == {"href": "https://wiki.example/unalignment", "text": "Runbook: unalignment"}
    assert (sent["client"], sent["client_url"]) == (
        "alignwatch",
        "https://status.example/deployment?name=chat-prod",
    )


def test_a_resolve_closes_what_the_trigger_opened(receiver: PagerDutyReceiver, key: Path) -> None:
    sink = pagerduty(receiver, key)
    assert [sink.deliver(message(action)) for action in ("trigger", "resolve")] == [Delivered(), Delivered()]
    assert [alert.status for alert in receiver.incidents] == ["resolved"]
    assert receiver.events[1] == {
        "routing_key": ROUTING_KEY,
        "event_action": "resolve",
        "dedup_key": dedup_key(incident()),
    }


@pytest.mark.parametrize(
    ("status", "after", "outcome"),
    [
        (400, None, Rejected('HTTP 400: {"status": "error"}')),
        (404, None, Rejected('HTTP 404: {"status": "error"}')),
        (413, None, Rejected('HTTP 413: {"status": "error"}')),
        (429, "7", Retry('HTTP 429: {"status": "throttle exceeded"}', 7.0)),
        (429, "Thu, 01 Jan 1970 00:00:00 GMT", Retry('HTTP 429: {"status": "throttle exceeded"}', 0.0)),
        (429, None, Retry('HTTP 429: {"status": "throttle exceeded"}')),
        (408, None, Retry('HTTP 408: {"status": "error"}')),
        (500, None, Retry('HTTP 500: {"status": "error"}')),
        (503, "30", Retry('HTTP 503: {"status": "error"}', 30.0)),
        (200, None, Retry('HTTP 200: {"status": "error"}')),
        (302, None, Retry('HTTP 302: {"status": "error"}')),
    ],
)
def test_each_answer_means_what_the_api_says(
    receiver: PagerDutyReceiver, key: Path, status: int, after: str | None, outcome: Any
) -> None:
    receiver.fail(status, retry_after=after)
    sink = pagerduty(receiver, key)
    assert sink.deliver(message()) == outcome
    assert sink.deliver(message()) == Delivered(), "the connection is fit for the next event"


def test_no_answer_no_connection_and_a_dropped_one_are_tried_again(receiver: PagerDutyReceiver, key: Path) -> None:
    sink = pagerduty(receiver, key, timeout_seconds=0.2)
    receiver.hang(5.0)
    receiver.drop()
    reasons = [sink.deliver(message()) for _ in range(2)]
    assert [reason.reason.split(":")[0] for reason in reasons if isinstance(reason, Retry)] == [
        "no answer in time (ReadTimeout)",
        "RemoteProtocolError",
    ]
    nobody = pagerduty(receiver, key, endpoint="http://127.0.0.1:1/v2/enqueue")
    assert isinstance(nobody.deliver(message()), Retry)


def test_an_event_that_got_through_without_an_answer_joins_itself(receiver: PagerDutyReceiver, key: Path) -> None:
    sink = pagerduty(receiver, key)
    receiver.drop(after_accepting=True)
    assert isinstance(sink.deliver(message()), Retry)
    assert sink.deliver(message()) == Delivered()
    assert len(receiver.incidents) == receiver.notifications == 1


def test_an_unknown_key_is_refused_without_being_repeated(receiver: PagerDutyReceiver, key: Path) -> None:
    key.write_text("k" * 32)
    outcome = pagerduty(receiver, key).deliver(message())
    assert isinstance(outcome, Rejected)
    assert "not an existing integration key" in outcome.reason
    assert "k" * 32 not in outcome.reason


def test_a_rotated_key_needs_no_restart(receiver: PagerDutyReceiver, key: Path) -> None:
    sink = pagerduty(receiver, key)
    receiver.routing_keys = {"n" * 32}
    key.write_text("n" * 32)
    assert sink.deliver(message()) == Delivered()
    key.unlink()
    outcome = sink.deliver(message())
    assert isinstance(outcome, Retry), "the page waits until the secret is back"
    assert "can't be read" in outcome.reason


@pytest.mark.parametrize("content", ["", "short", "x" * 33, "ü" * 32, "a b" * 11])
def test_what_is_no_routing_key_stops_the_start_without_being_repeated(
    receiver: PagerDutyReceiver, key: Path, content: str
) -> None:
    key.write_text(content)
    with pytest.raises(AlertConfigError) as raised:
        pagerduty(receiver, key)
    assert not content or content not in str(raised.value)


def test_a_missing_secret_names_the_file_or_variable(receiver: PagerDutyReceiver, tmp_path: Path) -> None:
    with pytest.raises(
        AlertConfigError, match=r"sink 'pagerduty': routing key: file .*none can't be read: No such file"
    ):
        pagerduty(receiver, tmp_path / "none")
    with pytest.raises(AlertConfigError, match="environment variable NOT_SET_HERE is empty or unset"):
        pagerduty(receiver, tmp_path, routing_key_file=None, routing_key_env="NOT_SET_HERE")


def test_an_event_that_is_too_large_loses_details_and_not_the_page(receiver: PagerDutyReceiver, key: Path) -> None:
    stream = {"direction": "up", "evidence_log10": 9.0, "threshold_log10": 6.0, "labels": 1}
    streams = tuple(StreamFinding(name=f"{n}" + "x" * 5000, **stream) for n in range(150))
    assert pagerduty(receiver, key).deliver(message(one=incident(streams=streams))) == Delivered()
    (sent,) = receiver.events
    assert len(json.dumps(sent, ensure_ascii=False).encode()) <= MAX_BYTES
    assert sent["payload"]["custom_details"]["left_out"] == ["streams"]
    assert sent["payload"]["custom_details"]["categories"]


@given(
    st.text(min_size=1, max_size=512).filter(str.strip), st.sampled_from(SEVERITIES), st.booleans(), st.integers(0, 30)
)
def test_every_event_passes_the_apis_schema(deployment: str, severity: str, test: bool, ids: int) -> None:
    one = incident(deployment=deployment, severity=severity, evidence_ids=tuple(f"{deployment}{n}" for n in range(ids)))
    for action in ("trigger", "resolve"):
        body = {"routing_key": ROUTING_KEY} | event(message(action, one, test=test), AlertsConfig())
        assert faults_of(json.loads(json.dumps(body))) == []


WEBHOOK_KEYS = {
    "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
    "commonAnnotations", "externalURL", "alerts",
}  # fmt: skip


def test_a_webhook_has_alertmanagers_shape() -> None:
    body = payload(message(), AlertsConfig(runbook_url="https://w.example/{verdict}"), "chat")
    assert set(body) == WEBHOOK_KEYS
    assert (body["version"], body["status"], body["receiver"], body["truncatedAlerts"]) == ("4", "firing", "chat", 0)
    (alert,) = body["alerts"]
    assert set(alert) == {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    assert alert["labels"] == {
        "alertname": "AlignwatchIncident", "deployment": "chat-prod", "incident": "inc-1", "severity": "critical",
        "verdict": "unalignment",
    }  # fmt: skip
    assert all(isinstance(value, str) for value in alert["annotations"].values())
    assert alert["annotations"]["runbook_url"] == "https://w.example/unalignment"
    assert Incident.model_validate_json(alert["annotations"]["incident"]) == incident()


def test_a_webhooks_fingerprint_is_that_of_the_alert_and_not_of_its_figures() -> None:
    config = AlertsConfig()
    first = payload(message(), config, "chat")["alerts"][0]
    later = incident(severity="error", verdict="degenerate", labels_since_onset=999, status="recovered")
    last = payload(message("resolve", later, level="critical", opened_as="unalignment"), config, "chat")["alerts"][0]
    assert last["fingerprint"] == first["fingerprint"]
    assert (last["status"], last["annotations"]["severity_now"]) == ("resolved", "error")
    assert last["endsAt"] != first["endsAt"]


def test_a_webhook_signs_and_authenticates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Any) -> None:
    (tmp_path / "secret").write_text("shared\n")
    monkeypatch.setenv("HOOK_TOKEN", "token")
    seen: list[tuple[Any, bytes]] = []
    fields = {
        "kind": "webhook",
        "url": receiver.url,
        "hmac_secret_file": tmp_path / "secret",
        "bearer_token_env": "HOOK_TOKEN",
    }
    sink = WebhookSink(WebhookSinkConfig.model_validate(fields), AlertsConfig(), now=lambda: 1_800_000_000.5)
    receiver.fail(200, 1)
    original = sink._poster._client.send
    monkeypatch.setattr(
        sink._poster._client,
        "send",
        lambda request, **options: (seen.append((request.headers, request.content)), original(request, **options))[1],
    )
    assert sink.deliver(message()) == Delivered()
    headers, body = seen[0]
    assert headers["Authorization"] == "Bearer token"
    assert headers[TIMESTAMP_HEADER] == "1800000000"
    expected = hmac.new(b"shared", b"1800000000." + body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE_HEADER] == f"sha256={expected}" == signature("shared", "1800000000", body)


def test_a_webhook_that_is_down_or_refuses(receiver: PagerDutyReceiver) -> None:
    sink = WebhookSink(WebhookSinkConfig(kind="webhook", url=receiver.url), AlertsConfig())
    receiver.fail(502)
    assert sink.deliver(message()) == Retry('HTTP 502: {"status": "error"}')
    receiver.fail(401)
    assert sink.deliver(message()) == Rejected('HTTP 401: {"status": "error"}')
    receiver.fail(204)
    assert sink.deliver(message()) == Delivered()


def test_a_secret_url_is_neither_logged_nor_told(
    receiver: PagerDutyReceiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "url"
    path.write_text(f"{receiver.url}/t0p-s3cr3t")
    sink = WebhookSink(WebhookSinkConfig(kind="webhook", url_file=path), AlertsConfig())
    outcomes = [sink.deliver(message())]
    path.write_text("http://127.0.0.1:1/t0p-s3cr3t")
    outcomes.append(sink.deliver(message()))
    path.write_text("not a url t0p-s3cr3t")
    outcomes.append(sink.deliver(message()))
    assert [type(outcome) for outcome in outcomes] == [Rejected, Retry, Retry]
    assert "t0p-s3cr3t" not in caplog.text + repr(outcomes)


def test_the_log_sink_writes_one_json_line_an_event() -> None:
    stream = io.StringIO()
    sink = LogSink("log", stream, AlertsConfig())
    for action in ("trigger", "resolve"):
        assert sink.deliver(message(action)) == Delivered()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["action"]) for line in lines] == [("alert", "trigger"), ("alert", "resolve")]
    assert lines[0]["incident"]["id"] == "inc-1"
    stream.close()
    assert isinstance(sink.deliver(message()), Retry)


def test_the_memory_sink_does_as_it_is_told() -> None:
    sink = MemorySink(outcomes=[Retry("down")])
    assert [sink.deliver(message()), sink.deliver(message())] == [Retry("down"), Delivered()]
    assert (len(sink.messages), sink.attempts) == (1, 2)


def test_all_configured_sinks_are_opened(key: Path) -> None:
    sinks = [
        {"kind": "pagerduty", "routing_key_file": str(key)},
        {"kind": "webhook", "name": "chat", "url": "https://c.example"},
        {"kind": "log"},
        {"kind": "memory"},
    ]
    opened = open_sinks(AlertsConfig.model_validate({"sinks": sinks}))
    assert [sink.name for sink in opened] == ["pagerduty", "chat", "log", "memory"]
    for sink in opened:
        sink.close()


def test_tls_files_that_cannot_be_loaded_stop_the_start(key: Path, receiver: PagerDutyReceiver, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(AlertConfigError, match="TLS files can't be loaded"):
            pagerduty(receiver, key, tls={"ca_file": tmp_path / name})


@given(status=st.integers(100, 599), text=st.text(max_size=2000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_breaks_a_sink_or_its_reason(status: int, text: str) -> None:
    from alerts.sinks._base import Reply, judge  # noqa: PLC0415

    outcome = judge(Reply(status, text, None), accepted=(202,))
    assert isinstance(outcome, Delivered) == (status == 202)
    if not isinstance(outcome, Delivered):
        assert len(outcome.reason) <= 300
        assert outcome.reason.isprintable()


def test_a_receiver_that_cannot_do_tls_gets_nothing_in_the_clear(receiver: PagerDutyReceiver, key: Path) -> None:
    outcome = pagerduty(receiver, key, endpoint=receiver.endpoint.replace("http:", "https:")).deliver(message())
    assert isinstance(outcome, Retry)
    assert receiver.events == []
