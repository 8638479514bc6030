"""Slack and Alertmanager: the shapes they are sent, their limits, and alerts that outlive a forgetful receiver."""

from __future__ import annotations

import doctest
import importlib
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_samples import DETECTED, Clock, change, database, incident
from hypothesis import given
from hypothesis import strategies as st
from pagerduty import ROUTING_KEY, PagerDutyReceiver
from receivers import AlertmanagerReceiver, SlackReceiver, _slack

from alerts._courier import Courier
from alerts.config import AlertmanagerSinkConfig, AlertsConfig, PagerDutySinkConfig, SlackSinkConfig
from alerts.episodes import Route, dedup_key, plan
from alerts.message import Message
from alerts.outbox import Outbox
from alerts.sinks import AlertmanagerSink, Delivered, MemorySink, PagerDutySink, Rejected, Retry, SlackSink
from alerts.sinks.slack import payload
from alerts.standing import acknowledge
from alerts.trial import send_test
from alignwatch import SEVERITIES, VERDICTS, Incident

ALERTS = AlertsConfig(runbook_url="https://wiki.example/{verdict}", status_url="https://status.example")


def message(action: str = "trigger", one: Incident | None = None, **changes: Any) -> Message:
    one = one or incident()
    cause = {"trigger": "opened", "acknowledge": "acknowledged", "resolve": "recovered"}[action]
    fields = {
        "action": action, "cause": cause, "dedup_key": dedup_key(one), "level": one.severity,
        "opened_as": one.verdict, "incident": one,
    }  # fmt: skip
    return Message.model_validate(fields | changes)


@pytest.fixture
def slack() -> Iterator[SlackReceiver]:
    with SlackReceiver() as one:
        yield one


@pytest.fixture
def alertmanager() -> Iterator[AlertmanagerReceiver]:
    with AlertmanagerReceiver() as one:
        yield one


def slack_sink(receiver: SlackReceiver, folder: Path, **changes: Any) -> SlackSink:
    (folder / "slack").write_text(f"{receiver.url}/services/T0/B0/x\n")
    fields = {"kind": "slack", "url_file": folder / "slack"} | changes
    return SlackSink(SlackSinkConfig.model_validate(fields), ALERTS)


def test_a_slack_message_says_what_how_much_since_when_and_what_to_do(slack: SlackReceiver, tmp_path: Path) -> None:
    one = incident(nearest_change=change(5))
    assert slack_sink(slack, tmp_path, mention="<!here>").deliver(message(one=one)) == Delivered()
    ((path, body),) = slack.requests
    assert path == "/services/T0/B0/x"
    assert body["text"].startswith(
        "<!here> chat-prod: un-alignment: compliance with sensitive requests 12 % -&gt; 71 %"
    )
    (attachment,) = body["attachments"]
    assert attachment["color"] == "#a8121d"
    said = str(attachment["blocks"])
    for part in (
        "critical: un-alignment, chat-prod", "12 % → *71 %* (64-78 %)", "2026-11-23 10:42 UTC", "checkpoint, 10:37 UTC",
        "1. Contain: go back to the last approved", "<https://wiki.example/unalignment|Runbook: unalignment>", "inc-1",
        "Take it: `alignwatch alert ack inc-1 --by YOU`",
    ):  # fmt: skip
        assert part in said, part


def test_slack_hears_of_the_end_and_of_who_took_it_but_not_of_book_keeping(
    slack: SlackReceiver, tmp_path: Path
) -> None:
    sink = slack_sink(slack, tmp_path, mention="<!here>")
    for one in (
        message("acknowledge", acknowledged_by="jo"),
        message("resolve", cause="escalated"),
        message("resolve", incident(status="recovered")),
    ):
        assert sink.deliver(one) == Delivered()
    headers = [body["attachments"][0]["blocks"][0]["text"]["text"] for _, body in slack.requests]
    assert [text[2:] for text in headers] == [
        "taken by jo: un-alignment, chat-prod",
        "recovered: un-alignment, chat-prod",
    ]
    assert not any("<!here>" in text for text in slack.texts), "nobody is called for good news"


@pytest.mark.parametrize(
    ("status", "after", "kind", "seconds"),
    [
        (400, None, Rejected, None),
        (404, None, Rejected, None),
        (410, None, Rejected, None),
        (429, "30", Retry, 30.0),
        (503, None, Retry, None),
    ],
)
def test_slacks_answers_mean_what_they_say(
    slack: SlackReceiver, tmp_path: Path, status: int, after: str | None, kind: type, seconds: float | None
) -> None:
    slack.fail(status, retry_after=after)
    outcome = slack_sink(slack, tmp_path).deliver(message())
    assert isinstance(outcome, kind)
    assert getattr(outcome, "after", None) == seconds


texts = st.text(min_size=1, max_size=512)


@given(texts, st.sampled_from(VERDICTS), st.sampled_from(SEVERITIES), st.text(max_size=5000))
def test_every_slack_message_fits_and_calls_nobody_by_accident(
    name: str, verdict: str, severity: str, text: str
) -> None:
    one = incident(
        deployment=name, id=name, verdict=verdict, severity=severity, model_digest=text or None,
        nearest_change=change(5, kind=(text or "x") + "<!channel>").model_copy(update={"summary": text}),
    )  # fmt: skip
    for action in ("trigger", "acknowledge", "resolve"):
        body = payload(message(action, one, acknowledged_by="jo"), ALERTS)
        assert _slack(body) == (200, "ok")
        assert "<!" not in str(body)


def test_a_slack_url_is_a_secret_and_is_told_to_nobody(slack: SlackReceiver, tmp_path: Path) -> None:
    sink = slack_sink(slack, tmp_path)
    slack.fail(404)
    assert "services" not in repr(sink.deliver(message()))
    config = {"sinks": [{"kind": "slack", "url": "https://hooks.slack.example/services/s3cr3t"}]}
    with pytest.raises(ValueError, match="a secret is never written") as raised:
        AlertsConfig.model_validate(config)
    assert "s3cr3t" not in str(raised.value) + repr(raised.value.errors(include_url=False))


def alertmanager_sink(*urls: str, now: Any = lambda: DETECTED.timestamp() + 60, **changes: Any) -> AlertmanagerSink:
    fields = {"kind": "alertmanager", "urls": urls, "labels": {"team": "ml"}} | changes
    return AlertmanagerSink(AlertmanagerSinkConfig.model_validate(fields), ALERTS, now=now)


def test_alertmanager_gets_an_alert_that_ends_when_nobody_tells_it_any_more(alertmanager: AlertmanagerReceiver) -> None:
    sink = alertmanager_sink(alertmanager.url)
    assert sink.deliver(message()) == Delivered()
    ((_, (alert,)),) = alertmanager.requests
    assert alert["labels"] == {
        "alertname": "AlignwatchIncident", "deployment": "chat-prod", "incident": "inc-1", "severity": "critical",
        "verdict": "unalignment", "team": "ml",
    }  # fmt: skip
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T10:55:00.000Z", "2026-11-23T11:11:00.000Z")
    assert alert["annotations"]["runbook_url"] == "https://wiki.example/unalignment"
    assert alert["generatorURL"] == "https://status.example"


def test_a_resolve_ends_the_very_alert_and_an_escalation_is_another_one(alertmanager: AlertmanagerReceiver) -> None:
    sink, now = alertmanager_sink(alertmanager.url), DETECTED + timedelta(minutes=1)
    route, episode = Route("am", "warning"), None
    for severity, status, active in (
        ("error", "open", ["error"]),
        ("critical", "open", ["critical"]),
        ("critical", "recovered", []),
    ):
        one = incident(severity=severity, status=status)
        episode, steps = plan(episode, one, route)
        for step in steps:
            told = message(
                step.action, one, cause=step.cause, level=step.level, opened_as=episode.opened_as if episode else None
            )
            assert sink.deliver(told) == Delivered()
        assert [alert["labels"]["severity"] for alert in alertmanager.active(now)] == active


def test_a_clock_behind_the_gateways_and_an_instant_resolve_are_still_valid(alertmanager: AlertmanagerReceiver) -> None:
    early = alertmanager_sink(alertmanager.url, now=lambda: DETECTED.timestamp() - 600)
    assert [early.deliver(message(action)) for action in ("trigger", "resolve")] == [Delivered()] * 2
    assert alertmanager.active(DETECTED) == []


def test_one_member_of_a_cluster_that_takes_it_is_enough(alertmanager: AlertmanagerReceiver) -> None:
    dead = "http://127.0.0.1:1"
    assert alertmanager_sink(dead, alertmanager.url).deliver(message()) == Delivered()
    assert isinstance(alertmanager_sink(dead).deliver(message()), Retry)
    alertmanager.fail(400)
    assert isinstance(alertmanager_sink(alertmanager.url).deliver(message()), Rejected)
    alertmanager.fail(400)
    assert isinstance(alertmanager_sink(alertmanager.url, dead).deliver(message()), Retry), "the other may take it yet"


def courier(path: Path, sink: Any, clock: Clock) -> Courier:
    return Courier(
        path, sink, AlertsConfig(), known=[sink.name], on_delivery=lambda *_: None, on_notice=lambda *_: None,
        now=clock, rng=random.Random(1),
    )  # fmt: skip


def outbox_of(path: Path, clock: Clock) -> tuple[sqlite3.Connection, Outbox]:
    connection = database(path)
    return connection, Outbox(connection, now=clock)


def settle(one: Courier) -> None:
    while one.step() == 0.0:
        pass


def test_an_alertmanager_that_forgot_is_told_again_until_the_incident_is_over(
    alertmanager: AlertmanagerReceiver, tmp_path: Path
) -> None:
    clock = Clock(DETECTED.timestamp())
    _, outbox = outbox_of(tmp_path / "s.db", clock)
    sink = alertmanager_sink(alertmanager.url, now=clock, name="alertmanager")
    worker, routes = courier(tmp_path / "s.db", sink, clock), [Route("alertmanager", "warning")]

    def active() -> int:
        return len(alertmanager.active(datetime.fromtimestamp(clock(), UTC)))

    outbox.enqueue(incident(), routes)
    settle(worker)
    assert active() == 1
    for _ in range(40):
        clock.advance(61)
        settle(worker)
    assert active() == 1, "forty minutes on, far beyond the end that it was told at first"
    alertmanager.forget()
    clock.advance(61)
    settle(worker)
    assert active() == 1
    outbox.enqueue(incident(status="recovered"), routes)
    settle(worker)
    clock.advance(61)
    settle(worker)
    assert active() == 0
    assert outbox.open_triggers("alertmanager") == []


def test_a_sink_without_a_wish_for_it_is_not_told_again(tmp_path: Path) -> None:
    clock, sink = Clock(), MemorySink()
    _, outbox = outbox_of(tmp_path / "s.db", clock)
    worker = courier(tmp_path / "s.db", sink, clock)
    outbox.enqueue(incident(), [Route("memory", "info")])
    for _ in range(5):
        settle(worker)
        clock.advance(400)
    assert sink.attempts == 1


@pytest.mark.parametrize(
    ("route", "opens"),
    [
        (Route("x", "info"), True),
        (Route("x", "info", deployments=("chat-*",)), True),
        (Route("x", "info", deployments=("batch", "chat-prod")), True),
        (Route("x", "info", deployments=("batch-*",)), False),
        (Route("x", "info", verdicts=("unalignment", "degenerate")), True),
        (Route("x", "info", verdicts=("data-quality",)), False),
        (Route("x", "info", deployments=("chat-*",), verdicts=("data-quality",)), False),
    ],
)
def test_routes_choose_by_deployment_and_verdict(route: Route, opens: bool) -> None:
    episode, steps = plan(None, incident(), route)
    assert bool(steps) == opens
    assert (episode is not None) == opens


def test_a_deployment_whose_name_looks_like_a_pattern_is_meant_as_it_stands() -> None:
    assert Route("x", "info", deployments=("chat[eu]",)).opens(incident(deployment="chat[eu]"))


def test_what_is_open_is_followed_to_its_end_whatever_the_verdict_becomes() -> None:
    route = Route("x", "info", verdicts=("unalignment",))
    episode, _ = plan(None, incident(), route)
    episode, steps = plan(episode, incident(verdict="degenerate", status="recovered"), route)
    assert [step.action for step in steps] == ["resolve"]


def test_the_settings_bring_routes_to_the_outbox() -> None:
    sinks = [{"kind": "memory", "deployments": ["chat-*"], "verdicts": ["unalignment"]}]
    (route,) = AlertsConfig.model_validate({"sinks": sinks}).routes
    assert (route.deployments, route.verdicts) == (("chat-*",), ("unalignment",))


@pytest.fixture
def pager() -> Iterator[PagerDutyReceiver]:
    with PagerDutyReceiver() as one:
        yield one


def pagerduty_sink(pager: PagerDutyReceiver, folder: Path, **changes: Any) -> PagerDutySink:
    (folder / "key").write_text(ROUTING_KEY)
    fields = {"kind": "pagerduty", "routing_key_file": folder / "key", "endpoint": pager.endpoint} | changes
    return PagerDutySink(PagerDutySinkConfig.model_validate(fields), ALERTS)


def test_a_page_brings_the_change_before_it_along(pager: PagerDutyReceiver, tmp_path: Path) -> None:
    clock = Clock()
    _, outbox = outbox_of(tmp_path / "s.db", clock)
    worker = courier(tmp_path / "s.db", pagerduty_sink(pager, tmp_path), clock)
    routes = [Route("pagerduty", "error", changes=True)]
    one = incident(nearest_change=change(20).model_copy(update={"reference": "rollout/7"}), severity="error")
    outbox.enqueue(one, routes)
    settle(worker)
    outbox.enqueue(one.model_copy(update={"severity": "critical"}), routes)
    outbox.enqueue(one.model_copy(update={"status": "recovered"}), routes)
    settle(worker)
    (sent,) = pager.changes
    assert sent["payload"]["timestamp"] == "2026-11-23T10:22:00.000Z"
    assert sent["payload"]["custom_details"]["reference"] == "rollout/7"


def test_somebody_takes_the_incident_and_only_a_worse_one_rings_again(pager: PagerDutyReceiver, tmp_path: Path) -> None:
    clock = Clock()
    connection, outbox = outbox_of(tmp_path / "s.db", clock)
    worker = courier(tmp_path / "s.db", pagerduty_sink(pager, tmp_path), clock)
    routes = [Route("pagerduty", "error", update_interval=1.0)]
    outbox.enqueue(incident(severity="error"), routes)
    settle(worker)
    assert acknowledge(connection, "inc-1", "jo", clock) == ["pagerduty"]
    settle(worker)
    assert [alert.status for alert in pager.incidents] == ["acknowledged"]
    clock.advance(400)
    outbox.enqueue(incident(severity="error", labels_since_onset=99), routes)
    settle(worker)
    assert pager.notifications == 1
    outbox.enqueue(incident(severity="critical"), routes)
    settle(worker)
    assert pager.notifications == 2
    assert [alert.status for alert in pager.incidents] == ["resolved", "triggered"]


def test_a_test_alert_goes_through_every_kind(
    slack: SlackReceiver, alertmanager: AlertmanagerReceiver, pager: PagerDutyReceiver, tmp_path: Path
) -> None:
    (tmp_path / "slack").write_text(slack.url)
    (tmp_path / "key").write_text(ROUTING_KEY)
    config = AlertsConfig.model_validate(
        {
            "sinks": [
                {"kind": "slack", "url_file": tmp_path / "slack"},
                {"kind": "alertmanager", "urls": [alertmanager.url]},
                {"kind": "pagerduty", "routing_key_file": tmp_path / "key", "endpoint": pager.endpoint},
                {"kind": "log", "stream": "stderr"},
            ]
        }
    )
    results = send_test(config)
    assert [(one.kind, one.ok) for one in results] == [
        ("slack", True), ("alertmanager", True), ("pagerduty", True), ("log", True),
    ]  # fmt: skip
    assert all("TEST of the alert route" in text for text in slack.texts)
    assert {alert["labels"]["alertname"] for alert in alertmanager.alerts.values()} == {"AlignwatchTest"}
    assert alertmanager.active(datetime.now(UTC) + timedelta(seconds=1)) == []
    assert [alert.status for alert in pager.incidents] == ["resolved"]
    slack.fail(403)
    (failed, *_) = send_test(config, "slack")
    assert not failed.ok


@pytest.mark.parametrize("name", ["slack", "pagerduty"])
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"alerts.sinks.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
