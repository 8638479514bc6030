"""The real monitor, scraped by the real Prometheus: every panel, every rule, and an alert that finds its way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dashboards import dashboards, filled, panels
from free_ports import free_ports
from loopback import HTTP
from prometheus_files import rules
from prometheus_server import Prometheus, alertmanager, process, prometheus, until
from receivers import Receiver

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]
QUIET_RECORDS = {"deployment:alignwatch_unlabelable:ratio_rate1h", "job:alignwatch_dead_letters:ratio_rate15m"}
"""Recording rules that have nothing to record while everything can be decoded and read."""


@dataclass
class Stack:
    """What runs."""

    prometheus: Prometheus
    receiver: Receiver
    monitor: Any
    deployment: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Monitor, Prometheus and Alertmanager, once the demo's model has stopped refusing and Prometheus has seen it."""
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_ports(1)[0]
    demo = [sys.executable, "-c", "from monitor.cli import main; main()", "demo", "--port", str(port), "--onset", "6"]
    with (
        Receiver(lambda *_: (200, "")) as receiver,
        process(demo, folder / "demo.log") as monitor,
        alertmanager(folder, receiver.url) as address,
    ):
        url = f"http://127.0.0.1:{port}"
        # Prometheus comes when the monitor is up, or a start on a busy machine would look like an outage.
        until(lambda: HTTP.get(f"{url}/livez").is_success, seconds=300, said=f"a monitor, see {folder}/demo.log")
        with prometheus(folder, url.removeprefix("http://"), address) as server:
            status = until(lambda: alarmed(f"{url}/status"), seconds=200, said=f"an alarm, see {folder}/demo.log")
            expr = "deployment:alignwatch_evidence_margin_log10:max >= 0"
            until(lambda: server.query(expr), seconds=30, said="the alarm in a recording rule")
            yield Stack(server, receiver, monitor, status["name"])


def alarmed(url: str) -> dict[str, Any] | None:
    answer = HTTP.get(url).json()
    return next((one for one in answer["deployments"] if one["state"] == "alarm"), None)


def test_every_query_of_every_panel_returns_data(stack: Stack) -> None:
    empty, asked = [], 0
    for panel in panels():
        for query in panel.queries:
            asked += 1
            found = stack.prometheus.query(filled(query, deployment=stack.deployment))
            numbers = [one["value"][1] for one in found]
            if not panel.may_be_empty and not [number for number in numbers if number != "NaN"]:
                empty.append(f"{panel.name}: {query} -> {found}")
    assert not empty, "\n".join(empty)
    assert asked > 60


def test_variables_and_marks_of_the_dashboards_find_something(stack: Stack) -> None:
    server = stack.prometheus
    assert {one["metric"]["job"] for one in server.query("alignwatch_build_info")} == {"alignwatch"}
    for dashboard in dashboards().values():
        for one in dashboard["annotations"].get("list", ()):
            if one["name"] in {"Began", "Detected"}:
                assert server.query(filled(one["expr"], deployment=stack.deployment)), one["name"]


def test_every_rule_is_evaluated_and_records_something(stack: Stack) -> None:
    evaluated = stack.prometheus.rules()
    assert len(evaluated) == len(list(rules("alert"))) + len(list(rules("record")))
    assert [(one["name"], one.get("lastError")) for one in evaluated if one["health"] != "ok"] == []
    for rule in rules("record"):
        if rule["record"] not in QUIET_RECORDS:
            assert stack.prometheus.query(rule["record"]), rule["record"]


def test_no_health_alert_fires_while_the_monitor_is_well(stack: Stack) -> None:
    firing = {one["name"] for one in stack.prometheus.rules() if one.get("state") == "firing"}
    # On a busy machine the demo may truly be behind its own traffic.
    assert firing <= {"AlignwatchLagging"}, "an incident of a deployment is not ill health of the monitor"


def test_an_alert_about_the_monitor_reaches_the_right_receiver(stack: Stack) -> None:
    """Last, since it stops the monitor."""
    assert downs(stack.receiver) == [], "nobody was woken while the monitor answered"
    stack.monitor.kill()
    stack.monitor.wait()
    assert stack.receiver.wait_until(lambda one: bool(downs(one)), timeout=60)
    path, body, alert = downs(stack.receiver)[0]
    assert path == "/page"
    assert (body["version"], alert["status"]) == ("4", "firing")
    assert (alert["labels"]["alertname"], alert["labels"]["severity"]) == ("AlignwatchDown", "critical")
    assert alert["annotations"]["runbook_url"].endswith("/AlignwatchDown.md")
    assert alert["annotations"]["runbook_url"].startswith("https://")
    assert "alignwatch_runbooks" not in alert["labels"]


def downs(receiver: Receiver) -> list[tuple[str, Any, Any]]:
    """Path, body and alert of every notification that the instance is down, not that it is yet to be scraped."""
    return [
        (path, body, alert)
        for path, body in receiver.requests
        for alert in body["alerts"]
        if alert["labels"]["alertname"] == "AlignwatchDown" and "instance" in alert["labels"]
    ]
