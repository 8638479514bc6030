"""Changes go out apart from incidents: once each, slowly, never in a page's way, to the sinks that hear of such."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_samples import DETECTED, Clock, change, database, incident
from pagerduty import ROUTING_KEY, PagerDutyReceiver

from alerts._courier import Courier
from alerts._herald import BURST
from alerts.changes import HOURLY, KEPT_SECONDS, ChangeEvent, ChangeQueue
from alerts.config import AlertsConfig, PagerDutySinkConfig
from alerts.episodes import Route
from alerts.outbox import Outbox
from alerts.sinks import Delivered, LogSink, MemorySink, PagerDutySink, Rejected, Retry

ROUTES = (Route("pd", changes=True), Route("chat", "warning"))


def event(number: int = 0, **changes: Any) -> ChangeEvent:
    fields = {"deployment": "chat-prod", "kind": "weights", "timestamp": DETECTED + timedelta(minutes=number)}
    return ChangeEvent(**(fields | {"summary": f"{number} → {number + 1}", "reference": "sha256:ab"} | changes))


class World:
    """A state file, the side that writes it, and a courier that can be killed."""

    def __init__(self, path: Path, sink: Any) -> None:
        self.path, self.sink, self.clock = path, sink, Clock()
        self.notices: list[str] = []
        self.connection = database(path)
        self.outbox = Outbox(self.connection, now=self.clock)
        self.queue = ChangeQueue(self.connection, self.clock)
        self.courier = self.start()

    def start(self) -> Courier:
        return Courier(
            self.path, self.sink, AlertsConfig(), known=["pd"], on_delivery=lambda *_: None,
            on_notice=lambda _, text: self.notices.append(text), now=self.clock, rng=random.Random(5),
        )  # fmt: skip

    def run(self, seconds: float) -> None:
        end = self.clock() + seconds
        while self.clock() < end:
            self.clock.advance(min(max(self.courier.step(), 0.01), end - self.clock()))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state.sqlite3", MemorySink("pd"))


def test_a_change_goes_to_the_sinks_that_hear_of_such_once(world: World) -> None:
    assert world.queue.offer(event(), ROUTES) == 1
    assert world.queue.offer(event(), ROUTES) == 0
    world.run(10)
    assert world.sink.changes == [event()]
    assert world.queue.offer(event(), ROUTES) == 0
    world.courier = world.start()
    world.run(10)
    assert world.sink.changes == [event()], "nor again after a restart"
    assert world.sink.messages == []


def test_only_the_sinks_of_the_deployment_hear_of_it_and_all_of_what_concerns_all(world: World) -> None:
    routes = (Route("pd", deployments=("chat-*",), changes=True), Route("other", deployments=("x",), changes=True))
    assert world.queue.offer(event(), routes) == 1
    assert world.queue.offer(event(1, deployment=None), routes) == 2
    assert world.queue.offer(event(2), (Route("pd"),)) == 0


def test_a_change_that_comes_with_an_incident_is_not_told_twice(world: World) -> None:
    known = change(20, kind="weights")
    world.queue.offer(ChangeEvent.of("chat-prod", known), ROUTES)
    world.run(10)
    world.outbox.enqueue(incident(nearest_change=known), ROUTES)
    world.outbox.enqueue(incident(nearest_change=change(3)).model_copy(update={"id": "inc-2"}), ROUTES)
    world.run(60)
    assert world.sink.changes == [ChangeEvent.of("chat-prod", known), ChangeEvent.of("chat-prod", change(3))]
    assert len(world.sink.messages) == 2


def test_pages_go_first_and_the_pace_of_changes_is_bounded(world: World) -> None:
    for number in range(20):
        world.queue.offer(event(number), ROUTES)
    for number in range(10):
        world.outbox.enqueue(incident(id=f"inc-{number}"), ROUTES)
    world.run(1)
    assert len(world.sink.messages) == 10
    assert len(world.sink.changes) == BURST
    world.run(60)
    assert len(world.sink.changes) == BURST + 6
    world.outbox.enqueue(incident(id="late"), ROUTES)
    world.run(6)
    assert len(world.sink.messages) == 11, "a page does not wait for the pace of changes"
    world.run(600)
    assert [one.summary for one in world.sink.changes] == [f"{n} → {n + 1}" for n in range(20)], "all of them, in order"


def test_a_digest_that_differs_at_every_request_floods_nobody(world: World) -> None:
    queued = [world.queue.offer(event(number), ROUTES) for number in range(500)]
    world.run(7200)
    assert len(world.sink.changes) == HOURLY
    assert sum(queued) == 500, "each is remembered"
    assert [world.queue.offer(event(number), ROUTES) for number in range(500)] == [0] * 500
    assert world.queue.offer(event(501), ROUTES) == 1
    world.run(60)
    assert len(world.sink.changes) == HOURLY + 1, "an hour later the next one is told"


def test_what_fails_is_tried_again_for_a_day_and_holds_no_page_up(world: World) -> None:
    world.sink.fail(*[Retry("HTTP 503")] * 4)
    world.queue.offer(event(), ROUTES)
    world.run(0.1)
    world.outbox.enqueue(incident(), ROUTES)
    world.sink._outcomes.clear()
    world.run(6)
    assert len(world.sink.messages) == 1
    world.run(3600)
    assert world.sink.changes == [event()]
    dead = MemorySink("pd")
    dead.deliver_change = lambda _: Retry("down")
    world.sink, world.courier = dead, None
    world.courier = world.start()
    world.queue.offer(event(9), ROUTES)
    world.run(KEPT_SECONDS + 3600)
    assert world.queue.next_due("pd") is None, "a day later it helps nobody"


def test_what_is_refused_is_said_and_not_tried_again(world: World) -> None:
    world.sink.fail(Rejected("HTTP 400: no"))
    world.queue.offer(event(), ROUTES)
    world.queue.offer(event(1), ROUTES)
    world.run(120)
    assert world.sink.changes == [event(1)]
    assert world.notices == ["a change event was refused: HTTP 400: no"]


def test_a_delivery_that_cannot_be_written_down_is_not_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.queue.offer(event(), ROUTES)
    world.run(0)
    real = ChangeQueue.sent
    calls = []

    def full(self: ChangeQueue, due: Any) -> None:
        calls.append(due)
        if len(calls) < 3:
            from alerts.errors import OutboxError  # noqa: PLC0415 - only here

            raise OutboxError("disk full")
        real(self, due)

    monkeypatch.setattr(ChangeQueue, "sent", full)
    world.run(60)
    assert len(calls) == 3
    assert world.sink.changes == [event()]


def test_a_sink_without_an_ear_for_changes_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "s.db", LogSink("pd", open(tmp_path / "out", "w"), AlertsConfig()))  # noqa: SIM115, PTH123
    world.queue.offer(event(), ROUTES)
    world.run(60)
    assert (tmp_path / "out").read_text() == ""


def test_what_was_settled_long_ago_is_forgotten_and_what_waits_is_not(world: World) -> None:
    world.queue.offer(event(), ROUTES)
    world.run(10)
    world.queue.offer(event(1), ROUTES)
    world.clock.advance(40 * 86400)
    world.queue.prune(30 * 86400)
    assert world.connection.execute("SELECT count(*) FROM outbox_changes").fetchone() == (1,)


def test_pagerduty_gets_a_change_event_that_it_understands(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(ROUTING_KEY)
    with PagerDutyReceiver() as pager:
        settings = {"kind": "pagerduty", "routing_key_file": tmp_path / "key", "endpoint": pager.endpoint}
        alerts = AlertsConfig(status_url="https://w.example/alignwatch/")
        sink = PagerDutySink(PagerDutySinkConfig.model_validate(settings), alerts)
        long = event(deployment="a/b c", summary="x" * 3000, reference="rollout/7")
        assert sink.deliver_change(long) == Delivered()
        assert sink.deliver_change(event(deployment=None, kind="settings")) == Delivered()
        pager.fail(429, retry_after=9)
        throttled = sink.deliver_change(event())
        assert isinstance(throttled, Retry)
        assert throttled.after == 9.0
        pager.fail(400)
        assert isinstance(sink.deliver_change(event()), Rejected)
        first, second = pager.changes
        assert pager.incidents == [], "nobody is notified"
    assert first["payload"]["timestamp"] == "2026-11-23T10:55:00.000Z"
    assert len(first["payload"]["summary"]) == 1024
    assert first["payload"]["source"] == "a/b c"
    assert first["payload"]["custom_details"]["reference"] == "rollout/7"
    assert first["links"] == [{"href": "https://w.example/alignwatch/deployment?name=a%2Fb%20c", "text": "Status page"}]
    assert "images" not in first
    assert second["payload"]["source"] == "alignwatch"


def test_which_sinks_hear_of_changes_is_a_setting() -> None:
    pager = {"kind": "pagerduty", "routing_key_env": "K"}
    sinks = [pager, pager | {"name": "quiet", "change_events": False}, {"kind": "slack", "url_env": "S"}]
    routes = AlertsConfig.model_validate({"sinks": sinks}).routes
    assert [route.changes for route in routes] == [True, False, False]
