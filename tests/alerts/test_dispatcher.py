"""Delivery end to end: outbox, dispatcher and a PagerDuty on loopback that fails in every way it can."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_samples import DETECTED, Clock, database, incident
from pagerduty import ROUTING_KEY, PagerDutyReceiver

from alerts._courier import IDLE_SECONDS, TROUBLE_SECONDS, Courier
from alerts.config import AlertsConfig
from alerts.dispatcher import Dispatcher
from alerts.episodes import Route, dedup_key
from alerts.errors import AlertConfigError
from alerts.message import Message
from alerts.outbox import Outbox
from alerts.sinks import MemorySink, Outcome, Rejected, Retry, open_sinks
from alerts.trial import send_test
from alignwatch import Incident

ROUTES = (Route("pd", "error"),)
CONFIG = AlertsConfig()


@pytest.fixture
def receiver() -> Iterator[PagerDutyReceiver]:
    with PagerDutyReceiver() as one:
        yield one


@pytest.fixture
def config(receiver: PagerDutyReceiver, monkeypatch: pytest.MonkeyPatch) -> AlertsConfig:
    monkeypatch.setenv("PAGERDUTY_KEY", ROUTING_KEY)
    sink = {"kind": "pagerduty", "name": "pd", "routing_key_env": "PAGERDUTY_KEY", "endpoint": receiver.endpoint}
    return AlertsConfig.model_validate({"sinks": [sink], "backoff_initial_seconds": 0.01, "backoff_max_seconds": 0.05})


class Service:
    """The side that writes: a state file, an outbox on it, and time that stands still."""

    def __init__(self, path: Path, *, start: float = 1_800_000_000.0) -> None:
        self.path = path
        self.clock = Clock(start)
        self.connection = database(path)
        self.outbox = Outbox(self.connection, now=self.clock)
        self.deliveries: list[tuple[str, str]] = []
        self.notices: list[tuple[str, str]] = []

    def commit(self, *incidents: Incident, routes: tuple[Route, ...] = ROUTES) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        for one in incidents:
            self.outbox.enqueue(one, routes)
        self.connection.execute("COMMIT")

    def courier(self, sink: Any, config: AlertsConfig = CONFIG, known: tuple[str, ...] = ("pd",)) -> Courier:
        return Courier(
            self.path,
            sink,
            config,
            known=known,
            on_delivery=lambda *pair: self.deliveries.append(pair),
            on_notice=lambda *pair: self.notices.append(pair),
            now=self.clock,
            rng=random.Random(7),
        )


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path / "state.sqlite3")


def revision(number: int, **changes: Any) -> Incident:
    return incident(updated_at=DETECTED + timedelta(seconds=number), labels_since_onset=number, **changes)


def drive(courier: Courier, clock: Clock, seconds: float = 3600.0) -> None:
    """Let the courier's time pass until nothing is left, without sleeping."""
    end = clock.now + seconds
    while clock.now < end:
        wait = courier.step()
        if not courier.left and not courier._owed:
            return
        clock.advance(max(wait, 1e-3))


def dispatch(service: Service, config: AlertsConfig, sinks: Any = None) -> Dispatcher:
    return Dispatcher(
        service.path,
        open_sinks(config) if sinks is None else sinks,
        config,
        on_delivery=lambda *pair: service.deliveries.append(pair),
        on_notice=lambda *pair: service.notices.append(pair),
        now=service.clock,
    )


def test_a_committed_incident_reaches_pagerduty_on_wake_up(
    service: Service, config: AlertsConfig, receiver: PagerDutyReceiver
) -> None:
    dispatcher = dispatch(service, config)
    dispatcher.start()
    service.commit(revision(1))
    dispatcher.wake()
    assert receiver.wait_until(lambda one: len(one.incidents) == 1)
    service.commit(revision(2, status="recovered"))
    dispatcher.wake()
    assert receiver.wait_until(lambda one: not one.open_incidents)
    assert dispatcher.drain(5.0) == 0
    assert service.deliveries == [("pd", "sent"), ("pd", "sent")]
    assert service.outbox.depth() == 0


def test_what_an_earlier_process_left_is_delivered_first(
    service: Service, config: AlertsConfig, receiver: PagerDutyReceiver
) -> None:
    service.commit(revision(1), revision(2, id="inc-2", severity="error"))
    dispatcher = dispatch(service, config)
    dispatcher.start()
    assert dispatcher.drain(5.0) == 0
    assert [alert.severity for alert in receiver.incidents] == ["critical", "error"]
    with pytest.raises(RuntimeError, match="started already"):
        dispatcher.start()


def test_every_kind_of_failure_in_a_row_loses_nothing_and_pages_once(
    service: Service, config: AlertsConfig, receiver: PagerDutyReceiver
) -> None:
    (sink,) = open_sinks(
        config.model_copy(update={"sinks": (config.sinks[0].model_copy(update={"timeout_seconds": 0.3}),)})
    )
    receiver.fail(500, 2)
    receiver.fail(429, retry_after=90)
    receiver.drop()
    receiver.hang(3.0)
    receiver.drop(after_accepting=True)
    receiver.fail(503)
    service.commit(revision(1))
    start = service.clock.now
    courier = service.courier(sink, config)
    drive(courier, service.clock)
    courier.close()
    assert receiver.requests == [500, 500, 429, 0, 0, 0, 503, 202]
    assert service.clock.now - start >= 90, "Retry-After was respected"
    assert receiver.notifications == 1
    assert service.deliveries == [("pd", "retry")] * 7 + [("pd", "sent")]


def test_an_outage_shows_as_age_and_depth_and_ends_in_order(service: Service) -> None:
    sink = MemorySink("pd")
    sink.fail(*[Retry("ConnectError")] * 30)
    service.commit(revision(1), revision(2, id="inc-2"))
    courier = service.courier(sink)
    for _ in range(20):
        service.clock.advance(courier.step())
    assert service.outbox.depth() == courier.left == 2
    assert service.outbox.oldest_seconds() == service.clock.now - 1_800_000_000.0 > 60
    service.commit(revision(3, status="recovered"))
    drive(courier, service.clock)
    sent = [(one.incident.id, one.action) for one in sink.messages]
    assert [action for name, action in sent if name == "inc-1"] == ["trigger", "resolve"]
    assert service.outbox.oldest_seconds() == 0


def test_an_escalation_rings_again_after_an_acknowledgement(
    service: Service, config: AlertsConfig, receiver: PagerDutyReceiver
) -> None:
    courier = service.courier(open_sinks(config)[0], config)
    service.commit(revision(1, severity="error"))
    drive(courier, service.clock)
    receiver.acknowledge(dedup_key(incident(), "error"))
    service.commit(revision(2, severity="error", verdict="jailbreak-campaign"))
    drive(courier, service.clock)
    assert receiver.notifications == 1, "an acknowledged alert stays silent"
    service.commit(revision(3))
    drive(courier, service.clock)
    courier.close()
    assert receiver.notifications == 2
    assert [(alert.severity, alert.status) for alert in receiver.incidents] == [
        ("error", "resolved"),
        ("critical", "triggered"),
    ]


def test_one_event_that_its_receiver_chokes_on_does_not_hold_up_the_others(service: Service) -> None:
    class Choking(MemorySink):
        def deliver(self, message: Message) -> Outcome:
            return Retry("HTTP 500") if message.incident.id == "poison" else super().deliver(message)

    sink = Choking("pd")
    service.commit(revision(1, id="poison"), *(revision(n, id=f"inc-{n}") for n in range(2, 8)))
    courier = service.courier(sink)
    start = service.clock.now
    while len(sink.messages) < 6:
        service.clock.advance(max(courier.step(), 1e-3))
    assert service.clock.now - start < 30
    assert service.outbox.depth() == 1


def test_a_fault_in_a_sink_costs_neither_the_courier_nor_the_page(service: Service) -> None:
    class Faulty(MemorySink):
        def deliver(self, message: Message) -> Outcome:
            if not self.attempts:
                self.attempts += 1
                raise ZeroDivisionError("t0p-s3cr3t")
            return super().deliver(message)

    sink = Faulty("pd")
    service.commit(revision(1))
    drive(service.courier(sink), service.clock)
    assert len(sink.messages) == 1
    assert service.connection.execute("SELECT reason FROM outbox_messages").fetchone() == (None,)
    assert "t0p-s3cr3t" not in str(service.notices)


def test_the_pace_is_bounded(service: Service) -> None:
    sink = MemorySink("pd")
    service.commit(*(revision(n, id=f"inc-{n}") for n in range(100)))
    courier = service.courier(sink)
    start = service.clock.now
    drive(courier, service.clock)
    assert len(sink.messages) == 100
    assert service.clock.now - start == pytest.approx(90, abs=1), "ten at once, then sixty a minute"


def test_a_refusal_is_noticed_and_tried_again_after_a_restart(service: Service) -> None:
    service.commit(revision(1))
    sink = MemorySink("pd", [Rejected("HTTP 400: no such key")])
    drive(service.courier(sink), service.clock)
    assert service.deliveries == [("pd", "rejected")]
    assert service.notices == [("pd", f"{dedup_key(incident())} was refused: HTTP 400: no such key")]
    drive(service.courier(sink), service.clock)
    assert len(sink.messages) == 1
    assert service.notices[-1] == ("pd", "1 refused events about open incidents are tried again")


def test_alerts_for_a_sink_that_left_the_settings_do_not_wait_for_ever(service: Service) -> None:
    service.commit(revision(1), routes=(Route("pd"), Route("gone")))
    courier = service.courier(MemorySink("pd"))
    assert [courier.step(), courier.step()] == [0, IDLE_SECONDS], "one event, then the chores"
    assert service.outbox.depth() == 0
    assert "no longer configured" in service.notices[0][1]


def test_a_full_disk_after_the_send_is_told_and_sends_nothing_twice(service: Service) -> None:
    sink = MemorySink("pd")
    service.commit(revision(1), revision(2, id="inc-2"))
    courier = service.courier(sink)
    courier.step()
    courier._connection.execute("PRAGMA query_only=ON")  # type: ignore[union-attr]
    assert courier.step() == 0
    assert courier.step() == TROUBLE_SECONDS
    assert len(sink.messages) == 2
    assert "1 deliveries can't be written down" in service.notices[-1][1]
    courier._connection.execute("PRAGMA query_only=OFF")  # type: ignore[union-attr]
    drive(courier, service.clock)
    assert len(sink.messages) == 2
    assert service.outbox.depth() == 0
    assert service.deliveries == [("pd", "sent")] * 2


def test_a_state_file_that_is_gone_is_told_and_not_replaced(tmp_path: Path, service: Service) -> None:
    service.path = tmp_path / "gone.sqlite3"
    courier = service.courier(MemorySink("pd"))
    assert courier.step() == TROUBLE_SECONDS
    assert "can't be opened" in service.notices[0][1]
    assert not service.path.exists()


def test_a_long_commit_of_the_pipeline_stops_no_delivery_and_no_delivery_stops_a_commit(service: Service) -> None:
    service.commit(revision(1))
    sink = MemorySink("pd")
    courier = service.courier(sink)
    courier._opened()
    courier._connection.execute("PRAGMA busy_timeout=50")  # type: ignore[union-attr]
    service.connection.execute("BEGIN IMMEDIATE")
    service.outbox.enqueue(revision(2, id="inc-2"), ROUTES)
    courier.step()
    assert len(sink.messages) == 1, "sent although the pipeline holds the write lock"
    service.connection.execute("COMMIT")
    drive(courier, service.clock)
    assert len(sink.messages) == 2


def test_a_receiver_that_hangs_delays_no_other(service: Service) -> None:
    release = threading.Event()

    class Hanging(MemorySink):
        def deliver(self, message: Message) -> Outcome:
            release.wait(30)
            return super().deliver(message)

    arrived = threading.Event()

    class Noting(MemorySink):
        def deliver(self, message: Message) -> Outcome:
            outcome = super().deliver(message)
            arrived.set()
            return outcome

    dispatcher = dispatch(service, CONFIG, [Hanging("slow"), Noting("pd")])
    dispatcher.start()
    service.commit(revision(1), routes=(Route("slow"), Route("pd")))
    dispatcher.wake()
    assert arrived.wait(60)
    # Told before it is written down that it was delivered.
    deadline = time.monotonic() + 60
    while service.outbox.depth("pd") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert dispatcher.drain(0.1) >= 0, "the end of the process does not wait for it either"
    release.set()
    assert service.outbox.depth("pd") == 0


def test_draining_leaves_what_can_not_be_delivered_now_to_the_next_start(service: Service) -> None:
    service.commit(revision(1))
    dispatcher = dispatch(service, CONFIG, [MemorySink("pd", [Retry("HTTP 503", after=600.0)])])
    dispatcher.start()
    assert dispatcher.drain(5.0) == 1
    assert service.outbox.depth() == 1


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[4:]
from pathlib import Path
import random, time
from alerts._courier import Courier
from alerts.config import AlertsConfig
from alerts.outbox import Outbox
from alerts.sinks import open_sinks
Outbox.mark_sent = lambda self, entry: os.kill(os.getpid(), signal.SIGKILL)
os.environ["PAGERDUTY_KEY"] = sys.argv[3]
config = AlertsConfig.model_validate_json(sys.argv[2])
courier = Courier(Path(sys.argv[1]), open_sinks(config)[0], config, known=["pd"], on_delivery=print,
    on_notice=print, now=time.time, rng=random.Random(1))
while True:
    courier.step()
"""


def test_a_kill_between_send_and_mark_repeats_the_event_and_pages_nobody_twice(
    service: Service, config: AlertsConfig, receiver: PagerDutyReceiver, pytestconfig: pytest.Config
) -> None:
    service.commit(revision(1))
    arguments = [str(service.path), config.model_dump_json(), ROUTING_KEY, str(pytestconfig.rootpath)]
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, timeout=60)
        assert killed.returncode == -signal.SIGKILL
    courier = service.courier(open_sinks(config)[0], config)
    service.clock.now = 2_000_000_000.0
    drive(courier, service.clock)
    courier.close()
    assert len(receiver.events) == 3
    assert len(receiver.incidents) == receiver.notifications == 1


def test_two_connections_share_the_file_while_both_are_busy(service: Service) -> None:
    service.clock.now = 1_800_000_000.0
    sink = MemorySink("pd")
    config = AlertsConfig.model_validate(
        {"sinks": [{"kind": "memory", "name": "pd", "rate_per_minute": 6000, "burst": 1000}]}
    )
    dispatcher = dispatch(service, config, [sink])
    dispatcher.start()
    for number in range(150):
        service.commit(revision(number, id=f"inc-{number}"))
        dispatcher.wake()
    left = dispatcher.drain(30.0)
    assert (left, service.notices) == (0, [])
    assert sorted(one.incident.labels_since_onset for one in sink.messages) == list(range(150))
    assert [courier._connection for courier in dispatcher.couriers] == [None], "no connection is left open"


def test_alert_test_triggers_and_resolves_and_says_that_it_is_a_test(
    config: AlertsConfig, receiver: PagerDutyReceiver
) -> None:
    (result,) = send_test(config)
    assert (result.ok, result.sink, result.kind, result.detail) == (True, "pd", "pagerduty", "delivered and resolved")
    (alert,) = receiver.incidents
    assert (alert.status, alert.severity, alert.dedup_key) == ("resolved", "info", result.dedup_key)
    assert alert.summary.startswith("TEST of the alert route")
    assert receiver.events[0]["payload"]["class"] == "test"


def test_alert_test_says_what_went_wrong_at_each_sink(
    config: AlertsConfig, receiver: PagerDutyReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.fail(503)
    assert send_test(config, "pd")[0].detail == 'trigger: HTTP 503: {"status": "error"}'
    monkeypatch.delenv("PAGERDUTY_KEY")
    assert "PAGERDUTY_KEY is empty or unset" in send_test(config, "pd")[0].detail
    with pytest.raises(AlertConfigError, match="no sink named 'nobody'; allowed: pd"):
        send_test(config, "nobody")
