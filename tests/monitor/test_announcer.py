"""Which changes are told, by whom, and that a restart tells nothing again."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_samples import Clock, database
from fake_service import BASELINE, deployment

from alerts.changes import ChangeEvent, ChangeQueue
from alerts.episodes import Route
from alignwatch import Label, RequestLabel
from monitor.announcer import Announcer, compare, facts_of
from monitor.detection.deployment import Deployment, new_weights
from monitor.detection.report import deployment_status
from monitor.detection_config import DetectionConfig

ROUTES = (Route("pd", changes=True), Route("chat"))
AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"sha256:{letter * 64}" for letter in "abc")


def label(minute: float, digest: str | None) -> Label:
    return Label(
        id=f"r-{minute}", timestamp=AT + timedelta(minutes=minute), deployment="chat-prod", model_digest=digest,
        request=RequestLabel(harm=0.0, category="none"),
    )  # fmt: skip


def queued(connection: sqlite3.Connection) -> list[ChangeEvent]:
    rows = connection.execute("SELECT body FROM outbox_changes ORDER BY seq").fetchall()
    return [ChangeEvent.model_validate_json(body) for (body,) in rows]


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return database(tmp_path / "s.db")


def announcer(connection: sqlite3.Connection, *, lasting: bool = True) -> Announcer:
    return Announcer(connection, ROUTES, Clock(AT.timestamp()), lasting=lasting)


def test_new_weights_are_a_change_at_the_time_of_their_first_label_and_taking_turns_is_none():
    one = Deployment("chat-prod", DetectionConfig())
    for minute, digest in enumerate((None, FIRST, FIRST, SECOND, None, FIRST, SECOND, THIRD)):
        one.take(label(minute, digest))
    told = [(change.kind, change.timestamp - AT, change.summary, change.reference) for change in one.changes]
    assert told == [
        ("weights", timedelta(minutes=3), "aaaaaaaaaaaa → bbbbbbbbbbbb", SECOND),
        ("weights", timedelta(minutes=7), "bbbbbbbbbbbb → cccccccccccc", THIRD),
    ]
    assert deployment_status(one).changes == tuple(reversed(one.changes)), "the page has the latest first"
    again = Deployment("chat-prod", DetectionConfig())
    again.load(one.dump())
    assert again.changes == one.changes
    older = {key: value for key, value in one.dump().items() if key != "changes"}
    again.load(older)
    assert not again.changes, "a state of a version without them can be taken up"


def test_the_change_stands_beside_an_incident_that_began_after_it():
    from alert_samples import DETECTED, incident  # noqa: PLC0415 - its clock, not ours

    one = Deployment("chat-prod", DetectionConfig())
    for hours in (30, 2, -1):
        one.changes.append(new_weights(FIRST, SECOND, DETECTED - timedelta(hours=hours)))
    beside = one.beside_change(incident()).nearest_change
    assert beside is not None
    assert beside.timestamp == DETECTED - timedelta(hours=2), "neither one from the day before nor one that came after"
    old = Deployment("chat-prod", DetectionConfig())
    old.changes.append(new_weights(FIRST, SECOND, DETECTED - timedelta(hours=30)))
    assert old.beside_change(incident()) == incident()


def test_what_is_seen_is_told_once_over_looks_and_restarts(connection):
    changes = (new_weights(FIRST, SECOND, AT),)
    status = deployment(changes=changes)
    one = announcer(connection)
    assert [one.look([status]) for _ in range(3)] == [1, 0, 0]
    assert announcer(connection).look([status]) == 0, "nor after a restart"
    more = deployment(changes=(new_weights(SECOND, THIRD, AT + timedelta(hours=1)), *changes))
    assert one.look([more]) == 1
    assert [event.reference for event in queued(connection)] == [SECOND, THIRD]


def test_where_the_database_does_not_last_the_past_is_another_process_s(connection):
    one = announcer(connection, lasting=False)
    past, later = new_weights(FIRST, SECOND, AT), new_weights(SECOND, THIRD, AT + timedelta(hours=1))
    assert one.look([deployment(changes=(past,))]) == 0
    assert one.look([deployment(changes=(later, past))]) == 1
    assert one.look([]) == 0
    assert one.look([deployment(changes=(later, past))]) == 0, "taken over again from somebody who has told"
    assert one.started_with({"a.b": "1"}) == 0


def test_what_differs_from_the_last_start_is_named_and_never_its_value(connection):
    one = announcer(connection)
    before = {"sampling.key": "x1", "sampling.rate": "x2", "classifier": "aa", "baseline/chat": "of May"}
    assert one.started_with(before) == 0, "at the first start nothing has changed"
    assert one.started_with(before) == 0
    after = before | {"sampling.key": "y1", "classifier": "bb", "baseline/chat": "of June"}
    assert announcer(connection).started_with(after) == 2
    baseline, settings = queued(connection)
    assert (baseline.deployment, baseline.kind, baseline.summary) == ("chat", "baseline", "of June")
    assert (settings.deployment, settings.kind) == (None, "settings")
    assert settings.summary == "of alignwatch differ: classifier, sampling.key"
    assert one.started_with(after) == 0


def test_a_baseline_that_is_gone_and_many_settings_stay_readable():
    gone, many = compare({"baseline/c": "x"} | {f"s.{i}": "1" for i in range(20)}, {}, AT.timestamp())
    assert gone.summary == "is gone: nothing is compared"
    assert many.summary.endswith("and 12 more")


def test_facts_hold_no_values_of_settings_and_only_what_matters():
    settings = {"sampling": {"key": "very-secret", "rate": 1.0}, "http": {"port": 1}, "log": {"level": "info"}}
    facts = facts_of(settings, "sha256:" + "d" * 64, [deployment(baseline=BASELINE), deployment("new", "learning")])
    assert set(facts) == {"sampling.key", "sampling.rate", "classifier", "baseline/chat-prod"}
    assert "very-secret" not in str(facts)
    assert facts["baseline/chat-prod"].startswith("of 2026-11-12 03:12 UTC, approved by j.doe, 4,120 labels, 10")


def test_a_queue_that_cannot_be_written_costs_a_warning_and_is_tried_again(connection, monkeypatch, caplog):
    from alerts.errors import OutboxError  # noqa: PLC0415

    def fail(*_: object) -> int:
        raise OutboxError("disk full")

    one, status = announcer(connection), deployment(changes=(new_weights(FIRST, SECOND, AT),))
    with monkeypatch.context() as patch:
        patch.setattr(ChangeQueue, "offer", fail)
        assert one.look([status]) == 0
        one.started_with({"a.b": "1"})
        one.started_with({"a.b": "2"})
    assert "can't be queued" in caplog.text
    assert one.look([status]) == 1
