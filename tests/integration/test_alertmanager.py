"""The Alertmanager sink against the real Alertmanager: grouped, routed, resolved, and told again after a restart."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from alert_samples import database, incident
from loopback import HTTP
from prometheus_server import alertmanager, until
from receivers import Receiver

from alerts._courier import Courier
from alerts.config import AlertmanagerSinkConfig, AlertsConfig
from alerts.episodes import Route
from alerts.outbox import Outbox
from alerts.sinks import AlertmanagerSink
from alerts.trial import send_test
from alignwatch import Incident

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def now_incident(**changes: object) -> Incident:
    one = incident()
    shift = time.time() - 60 - one.detected_at.timestamp()
    return Incident.model_validate(one.model_dump() | {"detected_at": one.detected_at.timestamp() + shift} | changes)


def active(address: str) -> list[dict[str, str]]:
    alerts = HTTP.get(f"http://{address}/api/v2/alerts", params={"active": "true"}).json()
    return [alert["labels"] for alert in alerts]


def settle(worker: Courier) -> None:
    while worker.step() == 0.0:
        pass


def test_an_incident_is_routed_escalated_resolved_and_survives_a_restart_of_alertmanager(tmp_path: Path) -> None:
    config = AlertsConfig(runbook_url="https://wiki.example/{verdict}")
    outbox = Outbox(database(tmp_path / "state.sqlite3"), now=time.time)
    routes = [Route("alertmanager", "warning")]
    with Receiver(lambda *_: (200, "")) as receiver:
        (tmp_path / "one").mkdir()
        with alertmanager(tmp_path / "one", receiver.url) as address:
            worker = courier(tmp_path / "state.sqlite3", address, config)
            outbox.enqueue(now_incident(severity="warning"), routes)
            settle(worker)
            assert receiver.wait_until(lambda one: bool(one.requests)), "routed"
            path, body = receiver.requests[0]
            assert path == "/channel"
            assert body["alerts"][0]["annotations"]["runbook_url"] == "https://wiki.example/unalignment"
            outbox.enqueue(now_incident(severity="critical"), routes)
            settle(worker)
            assert receiver.wait_until(lambda one: any(path == "/page" for path, _ in one.requests)), "escalated"
            until(
                lambda: [a["severity"] for a in active(address)] == ["critical"], seconds=20, said="one alert is active"
            )
            worker.close()
        (tmp_path / "two").mkdir()
        with alertmanager(tmp_path / "two", receiver.url) as address:
            assert active(address) == [], "it keeps nothing over a restart"
            worker = courier(tmp_path / "state.sqlite3", address, config)
            settle(worker)
            until(lambda: [a["severity"] for a in active(address)] == ["critical"], seconds=20, said="told again")
            outbox.enqueue(now_incident(severity="critical", status="recovered"), routes)
            settle(worker)
            until(lambda: active(address) == [], seconds=20, said="resolved")
            assert receiver.wait_until(
                lambda one: any(path == "/page" and body["status"] == "resolved" for path, body in one.requests)
            )
            trial = AlertsConfig.model_validate({"sinks": [{"kind": "alertmanager", "urls": [f"http://{address}"]}]})
            assert [one.ok for one in send_test(trial)] == [True]
            worker.close()


def courier(path: Path, address: str, config: AlertsConfig) -> Courier:
    settings = AlertmanagerSinkConfig(kind="alertmanager", urls=(f"http://{address}",), name="alertmanager")
    return Courier(
        path, AlertmanagerSink(settings, config), config, known=["alertmanager"], on_delivery=lambda *_: None,
        on_notice=lambda *_: None, now=time.time, rng=random.Random(1),
    )  # fmt: skip
