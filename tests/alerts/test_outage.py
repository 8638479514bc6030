"""A long outage with a thousand events waiting: throttled, refused and killed on the way, each arrives once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from alert_samples import Clock, database, incident
from pagerduty import ROUTING_KEY, PagerDutyReceiver

from alerts._courier import Courier
from alerts.config import AlertsConfig, PagerDutySinkConfig
from alerts.episodes import Route
from alerts.message import Message
from alerts.outbox import Outbox
from alerts.sinks import Outcome, PagerDutySink

INCIDENTS = 500
OUTAGE = 600.0


class Killed(BaseException):
    """The process ends here: nothing after this line runs."""


class Mortal:
    """A sink whose process dies now and then, right after the receiver has taken an event and before that is noted."""

    def __init__(self, sink: PagerDutySink, chance: random.Random) -> None:
        self.name = sink.name
        self.deaths = 0
        self._sink = sink
        self._chance = chance

    def deliver(self, message: Message) -> Outcome:
        outcome = self._sink.deliver(message)
        if self._chance.random() < 0.02:
            self.deaths += 1
            raise Killed
        return outcome

    def close(self) -> None:
        """The connections outlive the courier, as the receiver does the process."""


def courier(path: Path, sink: Any, config: AlertsConfig, clock: Clock, notices: list[str]) -> Courier:
    return Courier(
        path, sink, config, known=["pagerduty"], on_delivery=lambda *_: None,
        on_notice=lambda _, text: notices.append(text), now=clock, rng=random.Random(3),
    )  # fmt: skip


@pytest.mark.slow
def test_a_thousand_events_outlive_an_outage_throttling_a_refusal_and_kills(tmp_path: Path) -> None:
    clock, chance, notices = Clock(), random.Random(1), []
    path = tmp_path / "state.sqlite3"
    connection = database(path)
    outbox = Outbox(connection, now=clock)
    routes = [Route("pagerduty", "error")]
    connection.execute("BEGIN")
    for i in range(INCIDENTS):
        one = incident(id=f"inc-{i}", severity="critical" if i % 5 == 0 else "error")
        outbox.enqueue(one, routes)
        outbox.enqueue(one.model_copy(update={"status": "recovered"}), routes)
    connection.execute("COMMIT")
    assert outbox.depth() == 2 * INCIDENTS

    (tmp_path / "key").write_text(ROUTING_KEY)
    with PagerDutyReceiver() as receiver:
        settings = {
            "kind": "pagerduty", "routing_key_file": tmp_path / "key", "endpoint": receiver.endpoint,
            "rate_per_minute": 600, "burst": 10,
        }  # fmt: skip
        config = AlertsConfig.model_validate({"sinks": [settings]})
        sink = Mortal(PagerDutySink(PagerDutySinkConfig.model_validate(settings), config), chance)
        worker = courier(path, sink, config, clock, notices)
        receiver.drop(times=20)
        receiver.fail(503, times=10_000)
        began = clock()
        while clock() < began + OUTAGE:
            worker, wait = turn(worker, lambda: courier(path, sink, config, clock, notices))
            clock.advance(max(wait, 0.05))
        assert outbox.depth() == 2 * INCIDENTS, "nothing was given up"
        tries = len(receiver.requests)
        assert tries < 200, "and the receiver was not hammered"
        receiver._faults.clear()
        receiver.fail(429, times=3, retry_after=20)
        receiver.fail(400)
        while outbox.depth():
            worker, wait = turn(worker, lambda: courier(path, sink, config, clock, notices))
            clock.advance(max(wait, 0.001))
            assert clock() < began + OUTAGE + 3600, f"{outbox.depth()} events left"
        throttled = receiver.requests.index(429)
        assert receiver.requests[throttled : throttled + 4] == [429, 429, 429, 400]
        (refused,) = outbox.refused()
        assert sink.deaths > 5, "the process was killed on the way"
        assert len(receiver.incidents) == receiver.notifications == INCIDENTS - 1, "each rang once, but for the refused"
        assert receiver.open_incidents == []
        order = in_order(receiver)
        assert order.pop(refused.dedup_key) == ["resolve"]
        assert set(map(tuple, order.values())) == {("trigger", "resolve")}, "and in order"
        first = [alert.severity for alert in receiver.incidents[: INCIDENTS // 5]]
        assert first.count("critical") >= INCIDENTS // 5 - 1, "the most severe first"


def in_order(receiver: PagerDutyReceiver) -> dict[str, list[str]]:
    """What happened under each key, the same thing in a row counted once."""
    order: dict[str, list[str]] = defaultdict(list)
    for event in receiver.events:
        if order[event["dedup_key"]][-1:] != [event["event_action"]]:
            order[event["dedup_key"]].append(event["event_action"])
    return order


DELIVERS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from alerts.config import AlertsConfig
from alerts.dispatcher import Dispatcher
from alerts.sinks import open_sinks
config = AlertsConfig.model_validate_json(sys.argv[3])
dispatcher = Dispatcher(Path(sys.argv[2]), open_sinks(config), config)
dispatcher.start()
sys.stdin.read()  # until it is told to end, or killed
print(dispatcher.drain(120.0))
"""


@pytest.mark.slow
def test_a_real_process_that_is_killed_seven_times_tells_a_thousand_events_once(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    path = tmp_path / "state.sqlite3"
    connection = database(path)
    outbox = Outbox(connection, now=time.time)
    connection.execute("BEGIN")
    for i in range(INCIDENTS):
        one = incident(id=f"inc-{i}", severity="critical" if i % 5 == 0 else "error")
        outbox.enqueue(one, [Route("pagerduty", "error")])
        outbox.enqueue(one.model_copy(update={"status": "recovered"}), [Route("pagerduty", "error")])
    connection.execute("COMMIT")
    (tmp_path / "key").write_text(ROUTING_KEY)
    with PagerDutyReceiver() as receiver:
        settings = {
            "kind": "pagerduty", "routing_key_file": str(tmp_path / "key"), "endpoint": receiver.endpoint,
            "rate_per_minute": 6000, "burst": 1000,
        }  # fmt: skip
        config = AlertsConfig.model_validate({"sinks": [settings], "backoff_initial_seconds": 0.05})
        command = [sys.executable, "-c", DELIVERS, str(pytestconfig.rootpath), str(path), config.model_dump_json()]
        receiver.fail(429, times=2, retry_after=1)
        receiver.fail(503, times=2)
        receiver.drop(after_accepting=True)
        kills = 7
        for number in range(1, kills + 1):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                wanted = 120 * number
                assert receiver.wait_until(lambda one, wanted=wanted: len(one.events) >= wanted, 60.0)
            finally:
                process.kill()
                assert process.wait() == -signal.SIGKILL
                process.stdin.close()
                process.stdout.close()
        last = subprocess.run(command, input="", capture_output=True, text=True, check=True, timeout=120)
        assert last.stdout.strip() == "0"
        assert outbox.depth() == 0
        assert 2 * INCIDENTS <= len(receiver.events) <= 2 * INCIDENTS + kills + 1, "a kill repeats one event at most"
        assert len(receiver.incidents) == receiver.notifications == INCIDENTS, "and rings nobody twice"
        assert receiver.open_incidents == []
        assert set(map(tuple, in_order(receiver).values())) == {("trigger", "resolve")}


def turn(worker: Courier, again: Any) -> tuple[Courier, float]:
    """A step; a courier that is killed is followed by one that knows only the file."""
    try:
        return worker, worker.step()
    except Killed:
        worker._connection.close()
        return again(), 0.0


def test_a_refused_event_is_the_only_one_that_stays_behind(tmp_path: Path) -> None:
    clock, notices = Clock(), []
    path = tmp_path / "state.sqlite3"
    outbox = Outbox(database(path), now=clock)
    for i in range(20):
        outbox.enqueue(incident(id=f"inc-{i}"), [Route("pagerduty", "error")])
    (tmp_path / "key").write_text(ROUTING_KEY)
    with PagerDutyReceiver() as receiver:
        settings = {"kind": "pagerduty", "routing_key_file": tmp_path / "key", "endpoint": receiver.endpoint}
        config = AlertsConfig.model_validate({"sinks": [settings]})
        sink = PagerDutySink(PagerDutySinkConfig.model_validate(settings), config)
        worker = courier(path, sink, config, clock, notices)
        receiver.fail(400)
        while outbox.depth():
            clock.advance(max(worker.step(), 0.001))
        assert len(receiver.incidents) == 19
        assert outbox.depth() == 0
        (refused,) = outbox.refused()
        assert "HTTP 400" in refused.reason
        assert any(refused.dedup_key in notice for notice in notices)
        after_restart = courier(path, sink, config, clock, notices)
        for _ in range(50):
            clock.advance(max(after_restart.step(), 0.001))
        assert len(receiver.incidents) == receiver.notifications == 20
