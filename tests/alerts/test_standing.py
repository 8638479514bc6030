"""Where incidents stand with people: pending, firing, acknowledged, resolved; across restarts and escalations."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alert_samples import Clock, database, incident

from alerts.episodes import Route
from alerts.errors import OutboxError
from alerts.outbox import Outbox
from alerts.standing import acknowledge, standings
from monitor.cli._main import run

ROUTES = (Route("pd", "error"), Route("chat", "warning"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return database(tmp_path / "state.sqlite3")


@pytest.fixture
def outbox(connection: sqlite3.Connection, clock: Clock) -> Outbox:
    return Outbox(connection, now=clock)


def deliver(outbox: Outbox, *sinks: str) -> list[str]:
    found = []
    for sink in sinks:
        while entries := outbox.due(sink):
            outbox.mark_sent(entries[0])
            found.append(entries[0].message.cause)
    return found


def state(outbox: Outbox, one: str = "inc-1") -> str:
    return outbox.standings()[one].state


def test_an_incident_goes_from_pending_to_firing_to_acknowledged_to_resolved(
    outbox: Outbox, connection: sqlite3.Connection, clock: Clock
) -> None:
    assert outbox.standings() == {}
    outbox.enqueue(incident(), ROUTES)
    assert state(outbox) == "pending"
    deliver(outbox, "pd")
    found = outbox.standings()["inc-1"]
    assert (found.state, found.told, found.waiting) == ("firing", ("pd",), ("chat",))
    deliver(outbox, "chat")
    assert acknowledge(connection, "inc-1", "jo  lee\n", clock) == ["chat", "pd"]
    found = outbox.standings()["inc-1"]
    assert (found.state, found.acknowledged_by) == ("acknowledged", "jo lee")
    assert deliver(outbox, "pd") == ["acknowledged"]
    outbox.enqueue(incident(status="recovered"), ROUTES)
    assert state(outbox) == "resolved"


def test_what_got_worse_is_no_longer_taken(outbox: Outbox, connection: sqlite3.Connection, clock: Clock) -> None:
    outbox.enqueue(incident(severity="error"), ROUTES)
    deliver(outbox, "pd", "chat")
    acknowledge(connection, "inc-1", "jo", clock)
    outbox.enqueue(incident(severity="critical"), ROUTES)
    assert state(outbox) == "firing"
    acknowledge(connection, "inc-1", "kim", clock)
    assert outbox.standings()["inc-1"].acknowledged_by == "kim"


def test_what_comes_back_after_its_end_opens_again_and_nobody_has_taken_it_yet(
    outbox: Outbox, connection: sqlite3.Connection, clock: Clock
) -> None:
    outbox.enqueue(incident(), ROUTES)
    outbox.enqueue(incident(status="recovered"), ROUTES)
    deliver(outbox, "pd", "chat")
    assert state(outbox) == "resolved"
    outbox.enqueue(incident(labels_since_onset=500), ROUTES)
    assert state(outbox) == "firing"
    assert deliver(outbox, "pd") == ["opened"]


@pytest.mark.parametrize("before", [(), ("open", "recovered")])
def test_only_an_open_alert_can_be_taken(
    outbox: Outbox, connection: sqlite3.Connection, clock: Clock, before: tuple[str, ...]
) -> None:
    for status in before:
        outbox.enqueue(incident(status=status), ROUTES)
    with pytest.raises(OutboxError, match="incident 'inc-1': no alert about it is open"):
        acknowledge(connection, "inc-1", "jo", clock)
    with pytest.raises(OutboxError, match="say who takes it"):
        acknowledge(connection, "inc-1", " \t", clock)


def test_a_rollback_takes_the_acknowledgement_with_it(
    outbox: Outbox, connection: sqlite3.Connection, clock: Clock
) -> None:
    outbox.enqueue(incident(), ROUTES)
    deliver(outbox, "pd", "chat")
    connection.execute("BEGIN")
    acknowledge(connection, "inc-1", "jo", clock)
    connection.execute("ROLLBACK")
    assert state(outbox) == "firing"
    assert outbox.depth() == 0


def test_pruning_keeps_what_is_open_and_forgets_the_rest(
    outbox: Outbox, connection: sqlite3.Connection, clock: Clock
) -> None:
    outbox.enqueue(incident(), ROUTES)
    outbox.enqueue(incident(id="inc-2"), ROUTES)
    deliver(outbox, "pd", "chat")
    acknowledge(connection, "inc-2", "jo", clock)
    outbox.enqueue(incident(id="inc-2", status="resolved"), ROUTES)
    deliver(outbox, "pd", "chat")
    clock.advance(90 * 86400)
    outbox.prune(86400.0)
    assert list(outbox.standings()) == ["inc-1"]
    assert [one.incident.id for one in outbox.open_triggers("pd")] == ["inc-1"]
    assert connection.execute("SELECT count(*) FROM outbox_acknowledged").fetchone() == (0,)
    assert acknowledge(connection, "inc-1", "jo", clock) == ["chat", "pd"], "ninety days on it can still be taken"


def test_the_commands_list_and_take_beside_a_running_service(
    outbox: Outbox,
    connection: sqlite3.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outbox.enqueue(incident(), ROUTES)
    deliver(outbox, "pd")
    monkeypatch.setenv("ALIGNWATCH__STATE__PATH", str(tmp_path / "state.sqlite3"))
    assert run(["alert", "list"]) == 0
    assert capsys.readouterr().out == "inc-1  firing, told pd, chat still to be told\n"
    assert run(["alert", "ack", "inc-1", "--by", "jo"]) == 0
    assert run(["alert", "list", "--json"]) == 0
    assert '"acknowledged_by": "jo"' in capsys.readouterr().out
    assert standings(connection)["inc-1"].acknowledged_by == "jo"
    assert run(["alert", "ack", "inc-9", "--by", "jo"]) == 2
    monkeypatch.setenv("ALIGNWATCH__STATE__PATH", str(tmp_path / "none"))
    assert run(["alert", "list"]) == 2
    assert not (tmp_path / "none").exists()
