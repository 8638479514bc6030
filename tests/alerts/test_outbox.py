"""The outbox: written with the state or not at all, in order, nothing lost, nothing twice."""

from __future__ import annotations

import random
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from alert_samples import DETECTED, Clock, database, incident
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alerts.config import AlertsConfig
from alerts.episodes import Route, dedup_key
from alerts.errors import OutboxError
from alerts.outbox import Entry, Outbox
from alerts.pacing import Backoff
from alignwatch import SEVERITIES, CategoryFinding, Incident

ROUTES = (Route("pd", "error"),)


class MaximalJitter(random.Random):
    """Draws the longest delay, so that tests can count on it."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return database(tmp_path / "state.sqlite3")


@pytest.fixture
def outbox(connection: sqlite3.Connection, clock: Clock) -> Outbox:
    return Outbox(connection, now=clock, rng=MaximalJitter(), backoff=Backoff(1.0, 60.0))


def revision(number: int, **changes: object) -> Incident:
    return incident(updated_at=DETECTED + timedelta(seconds=number), labels_since_onset=number, **changes)


def sent(outbox: Outbox, sink: str = "pd") -> list[tuple[str, int]]:
    """Deliver all that is due; action and revision number of each."""
    found = []
    while entries := outbox.due(sink):
        outbox.mark_sent(entries[0])
        found.append((entries[0].message.action, entries[0].message.incident.labels_since_onset))
    return found


def test_what_is_rolled_back_was_never_enqueued(outbox: Outbox, connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    assert outbox.enqueue(revision(1), ROUTES) == 1
    connection.execute("ROLLBACK")
    assert outbox.depth() == 0
    assert outbox.enqueue(revision(1), ROUTES) == 1, "it is not taken for a repetition either"


def test_enqueue_and_the_tables_leave_the_callers_transaction_open(
    connection: sqlite3.Connection, clock: Clock
) -> None:
    connection.execute("BEGIN")
    Outbox(connection, now=clock).enqueue(revision(1), ROUTES)
    assert connection.in_transaction
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'outbox%'").fetchone() == (0,)


def test_a_row_factory_of_the_caller_changes_nothing(connection: sqlite3.Connection, clock: Clock) -> None:
    connection.row_factory = sqlite3.Row
    outbox = Outbox(connection, now=clock)
    outbox.enqueue(revision(1), ROUTES)
    assert sent(outbox) == [("trigger", 1)]


def test_the_same_revision_is_sent_once(outbox: Outbox) -> None:
    assert [outbox.enqueue(revision(1), ROUTES) for _ in range(3)] == [1, 0, 0]
    assert sent(outbox) == [("trigger", 1)]
    assert outbox.enqueue(revision(1), ROUTES) == 0
    assert sent(outbox) == []


def test_each_sink_has_a_queue_of_its_own(outbox: Outbox) -> None:
    routes = (Route("pd", "error"), Route("chat", "warning"))
    assert outbox.enqueue(revision(1, severity="warning"), routes) == 1
    assert outbox.due("pd") == []
    assert sent(outbox, "chat") == [("trigger", 1)]
    assert outbox.enqueue(revision(2, severity="error"), routes) == 3, "new for pd; new key and old resolved for chat"


def test_unsent_revisions_come_together_in_the_newest(outbox: Outbox) -> None:
    for number in range(1, 6):
        outbox.enqueue(revision(number), ROUTES)
    assert outbox.depth() == 1
    assert sent(outbox) == [("trigger", 5)]


def test_a_resolve_without_a_sent_trigger_follows_it(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    outbox.enqueue(revision(2, status="recovered"), ROUTES)
    assert outbox.enqueue(revision(3, status="resolved"), ROUTES) == 0, "it is closed already"
    assert sent(outbox) == [("trigger", 1), ("resolve", 2)], "a page that came and went during an outage is not lost"


def test_a_resolve_of_what_was_never_enqueued_sends_nothing(outbox: Outbox) -> None:
    assert outbox.enqueue(revision(1, status="recovered"), ROUTES) == 0
    assert outbox.depth() == 0


def test_an_incident_that_opens_again_is_triggered_again(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    outbox.enqueue(revision(2, status="recovered"), ROUTES)
    outbox.enqueue(revision(3), ROUTES)
    assert sent(outbox) == [("trigger", 1), ("resolve", 2), ("trigger", 3)]


def test_mere_figures_wait_and_news_does_not(outbox: Outbox, clock: Clock) -> None:
    outbox.enqueue(revision(1), ROUTES)
    assert sent(outbox) == [("trigger", 1)]
    outbox.enqueue(revision(2), ROUTES)
    assert sent(outbox) == []
    assert outbox.next_due("pd") == clock.now + 300
    assert outbox.oldest_seconds() == 0, "what waits on purpose is not overdue"
    clock.advance(10)
    outbox.enqueue(revision(3, verdict="degenerate"), ROUTES)
    assert sent(outbox) == [("trigger", 3)]
    outbox.enqueue(revision(4, verdict="degenerate"), ROUTES)
    outbox.enqueue(revision(5, verdict="degenerate", status="recovered"), ROUTES)
    assert sent(outbox) == [("trigger", 4), ("resolve", 5)], "the held update does not hold up the resolve"


def test_escalation_uses_a_new_key_and_then_resolves_the_old_one(outbox: Outbox) -> None:
    outbox.enqueue(revision(1, severity="error"), ROUTES)
    assert sent(outbox) == [("trigger", 1)]
    outbox.enqueue(revision(2), ROUTES)
    first = outbox.due("pd")[0]
    assert (first.message.action, first.message.dedup_key) == ("trigger", dedup_key(incident(), "critical"))
    outbox.mark_sent(first)
    second = outbox.due("pd")[0]
    assert (second.message.action, second.message.dedup_key) == ("resolve", dedup_key(incident(), "error"))


def test_an_update_that_overtakes_a_message_in_flight_is_still_sent(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    in_flight = outbox.due("pd")[0]
    outbox.enqueue(revision(2), ROUTES)
    outbox.mark_sent(in_flight)
    assert sent(outbox) == [("trigger", 2)]


def test_a_refusal_of_what_was_overtaken_in_flight_leaves_the_newer_one(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    in_flight = outbox.due("pd")[0]
    outbox.enqueue(revision(2), ROUTES)
    outbox.mark_rejected(in_flight, "HTTP 400")
    assert outbox.refused() == []
    assert sent(outbox) == [("trigger", 2)]


def test_failures_back_off_and_lose_nothing(outbox: Outbox, clock: Clock) -> None:
    outbox.enqueue(revision(1), ROUTES)
    delays = []
    for _ in range(9):
        delays.append(outbox.mark_retry(outbox.due("pd")[0], "HTTP 503"))
        assert outbox.due("pd") == []
        clock.advance(delays[-1])
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert outbox.oldest_seconds() == sum(delays)
    assert sent(outbox) == [("trigger", 1)]
    assert outbox.oldest_seconds() == 0


def test_a_newer_revision_keeps_the_age_and_the_back_off_of_the_one_it_replaces(outbox: Outbox, clock: Clock) -> None:
    outbox.enqueue(revision(1), ROUTES)
    outbox.mark_retry(outbox.due("pd")[0], "HTTP 503", after=30.0)
    clock.advance(20)
    outbox.enqueue(revision(2), ROUTES)
    assert outbox.oldest_seconds() == 20
    assert outbox.due("pd") == []
    clock.advance(10)
    assert sent(outbox) == [("trigger", 2)]


def test_jitter_spreads_the_whole_interval() -> None:
    rng, backoff = random.Random(1), Backoff(1.0, 60.0)
    delays = [backoff.delay(4, rng) for _ in range(2000)]
    assert 0 <= min(delays) < 0.5
    assert 15.5 < max(delays) <= 16
    assert sum(delays) / len(delays) == pytest.approx(8, rel=0.05)


def test_an_endless_retry_after_is_cut(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    assert outbox.mark_retry(outbox.due("pd")[0], "HTTP 429", after=10.0**9) == 3600


def test_a_clock_that_was_set_back_holds_up_nothing(outbox: Outbox, clock: Clock) -> None:
    outbox.enqueue(revision(1), ROUTES)
    clock.advance(-30 * 86400)
    assert sent(outbox) == [("trigger", 1)]


def test_the_most_severe_goes_first(outbox: Outbox) -> None:
    routes = (Route("chat", "info"),)
    for number, severity in enumerate(("info", "error", "critical", "warning")):
        outbox.enqueue(revision(number, id=f"inc-{severity}", severity=severity), routes)
    assert [entry.message.level for entry in outbox.due("chat", 10)] == ["critical", "error", "warning", "info"]


def test_what_was_refused_is_kept_and_tried_again_when_asked(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    outbox.mark_rejected(outbox.due("pd")[0], "HTTP 400: no such key")
    assert sent(outbox) == []
    assert [(one.incident, one.reason) for one in outbox.refused()] == [("inc-1", "HTTP 400: no such key")]
    assert outbox.requeue_refused("chat") == 0
    assert outbox.requeue_refused("pd") == 1
    assert sent(outbox) == [("trigger", 1)]


def test_a_refused_page_about_a_closed_incident_stays_refused(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), ROUTES)
    outbox.mark_rejected(outbox.due("pd")[0], "HTTP 400")
    outbox.enqueue(revision(2, status="resolved"), ROUTES)
    assert sent(outbox) == [("resolve", 2)]
    assert outbox.requeue_refused("pd") == 0


def test_what_waits_for_a_sink_that_is_gone_does_not_wait_for_ever(outbox: Outbox) -> None:
    outbox.enqueue(revision(1), (Route("pd"), Route("gone")))
    assert outbox.drop_unknown_sinks(["pd"]) == 1
    assert outbox.depth() == outbox.depth("pd") == 1
    assert outbox.refused()[0].reason == "the sink is no longer configured"


def test_pruning_forgets_the_old_and_keeps_the_unsent(
    outbox: Outbox, connection: sqlite3.Connection, clock: Clock
) -> None:
    outbox.enqueue(revision(1), ROUTES)
    outbox.enqueue(revision(2, id="inc-2"), ROUTES)
    outbox.mark_sent(outbox.due("pd")[0])
    outbox.enqueue(revision(3, status="resolved"), ROUTES)
    outbox.mark_sent(outbox.due("pd", 2)[0])
    clock.advance(31 * 86400)
    waiting = outbox.depth()
    outbox.prune(30 * 86400)
    assert outbox.depth() == waiting
    for table in ("outbox_messages", "outbox_episodes"):
        left = {row[0] for row in connection.execute(f"SELECT incident FROM {table}")}
        assert "inc-2" in left or table == "outbox_messages"
    assert connection.execute("SELECT count(*) FROM outbox_revisions").fetchone() == (0,)


def test_a_full_disk_stops_the_callers_commit(tmp_path: Path, clock: Clock) -> None:
    connection = database(tmp_path / "state.sqlite3")
    outbox = Outbox(connection, now=clock)
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
    connection.execute("BEGIN")
    many = [revision(number, id=f"inc-{number}") for number in range(200)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        [outbox.enqueue(one, ROUTES) for one in many]
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    assert outbox.depth() == 0


def test_a_damaged_outbox_says_so(tmp_path: Path, clock: Clock) -> None:
    connection = database(tmp_path / "state.sqlite3")
    outbox = Outbox(connection, now=clock)
    connection.execute("DROP TABLE outbox_messages")
    with pytest.raises(OutboxError, match="can't be read: no such table"):
        outbox.depth()
    (tmp_path / "text").write_text("not a database, " * 100)
    with pytest.raises(OutboxError, match="not a database"):
        Outbox(sqlite3.connect(tmp_path / "text"), now=clock)


class OutboxMachine(RuleBasedStateMachine):
    """Random histories of a service and a receiver that fails, with crashes at the worst moments."""

    @initialize()
    def start(self) -> None:
        self.clock = Clock()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.outbox = Outbox(self.connection, now=self.clock, rng=random.Random(0))
        self.number = 0
        self.truth: dict[str, Incident] = {}
        self.crashed = False
        self.received: list[Entry] = []
        self.open: dict[str, dict[str, str]] = {}

    def _deliver(self, entry: Entry) -> None:
        """What a receiver does with an event, and what must be true of it."""
        earlier = [one for one in self.received if one.message.incident.id == entry.message.incident.id]
        if earlier:
            last = earlier[-1].message.incident
            assert last.labels_since_onset <= entry.message.incident.labels_since_onset, "re-ordered"
        identity = (entry.revision, entry.message.action, entry.message.dedup_key)
        before = [(one.revision, one.message.action, one.message.dedup_key) for one in earlier]
        assert identity not in before or self.crashed, "sent twice without a crash"
        self.received.append(entry)
        keys = self.open.setdefault(entry.message.incident.id, {})
        if entry.message.action == "trigger":
            keys[entry.message.dedup_key] = entry.message.incident.severity
        else:
            keys.pop(entry.message.dedup_key, None)

    incident_ids = st.sampled_from(("a", "b", "c"))

    def _revise(self, name: str, severity: str, status: str, verdict: str) -> Incident:
        self.number += 1
        return revision(self.number, id=name, severity=severity, status=status, verdict=verdict)

    @rule(
        name=incident_ids,
        severity=st.sampled_from(SEVERITIES),
        status=st.sampled_from(("open", "open", "recovered")),
        verdict=st.sampled_from(("unalignment", "jailbreak-campaign")),
        commit=st.booleans(),
        again=st.booleans(),
    )
    def enqueue(self, *, name: str, severity: str, status: str, verdict: str, commit: bool, again: bool) -> None:
        one = self._revise(name, severity, status, verdict)
        self.connection.execute("BEGIN")
        self.outbox.enqueue(one, ROUTES)
        self.connection.execute("COMMIT" if commit else "ROLLBACK")
        if commit:
            self.truth[name] = one
            if again:
                assert self.outbox.enqueue(one, ROUTES) == 0

    @rule(outcome=st.sampled_from(("sent", "lost", "crash", "overtaken")), name=incident_ids)
    def deliver(self, outcome: str, name: str) -> None:
        for entry in self.outbox.due("pd"):
            if outcome == "lost":
                self.outbox.mark_retry(entry, "HTTP 503")
                continue
            self._deliver(entry)
            if outcome == "crash":
                self.crashed = True
                continue
            if outcome == "overtaken":
                self.enqueue(
                    name=name, severity="critical", status="open", verdict="unalignment", commit=True, again=False
                )
            self.outbox.mark_sent(entry)

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.outbox = Outbox(self.connection, now=self.clock, rng=random.Random(1))

    @invariant()
    def due_is_one_an_incident(self) -> None:
        names = [entry.message.incident.id for entry in self.outbox.due("pd", 10)]
        assert len(names) == len(set(names))
        next_due = self.outbox.next_due("pd")
        assert bool(names) == (next_due is not None and next_due <= self.clock.now)

    def teardown(self) -> None:
        if not hasattr(self, "outbox"):
            return
        while self.outbox.depth():
            self.clock.advance(1000)
            for entry in self.outbox.due("pd", 10):
                self._deliver(entry)
                self.outbox.mark_sent(entry)
        for name, one in self.truth.items():
            episode = self.connection.execute("SELECT open FROM outbox_episodes WHERE incident=?", (name,)).fetchone()
            assert bool(self.open.get(name)) == bool(episode and episode[0]), "the receiver ends where the incident is"
            assert len(self.open.get(name, {})) <= 1
            if one.status == "open" and one.severity in {"critical", "error"}:
                assert self.open[name], "lost"
                newest = [entry for entry in self.received if entry.message.incident.id == name][-1]
                assert newest.message.incident == one, "the newest figures have arrived"
            if one.status != "open":
                assert not self.open.get(name), "left open"
        self.connection.close()


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def worse(number: int, observed: float = 0.72, **changes: object) -> Incident:
    """The same incident later: another figure in the leading stream, within what was told or beyond it."""
    lead, *rest = incident().streams
    return revision(number, streams=(lead.model_copy(update={"observed": observed}), *rest), **changes)


NEWS = [
    (worse(5), False),
    (worse(9_000), False),
    (worse(5, observed=0.79), True),
    (worse(5, observed=0.5), True),
    (revision(5, categories=(*incident().categories, CategoryFinding(name="self_harm"))), True),
    (revision(5, categories=incident().categories[:3]), False),
    (revision(5, model_digest="sha256:other"), True),
    (revision(5, model_digest=None), False),
    (revision(5, streams=incident().streams[1:]), True),
    (revision(5, verdict="jailbreak-campaign"), True),
    (revision(5, severity="error"), True),
]


@pytest.mark.parametrize(("later", "news"), NEWS)
def test_a_person_is_told_again_when_there_is_news_alone(
    connection: sqlite3.Connection, clock: Clock, later: Incident, news: bool
) -> None:
    outbox = Outbox(connection, now=clock)
    routes = (Route("pd", updates="material"), Route("am", "warning", updates="figures"))
    outbox.enqueue(revision(1), routes)
    for name in ("pd", "am"):
        outbox.mark_sent(outbox.due(name)[0])
    clock.advance(400)
    outbox.enqueue(later, routes)
    assert [len(outbox.due(name)) for name in ("pd", "am")] == [int(news), 1], "who follows figures hears in any case"


def test_news_is_measured_against_what_was_told_and_not_against_the_last_look(
    connection: sqlite3.Connection, clock: Clock
) -> None:
    outbox, routes = Outbox(connection, now=clock), (Route("pd", updates="material"),)
    outbox.enqueue(revision(1), routes)
    outbox.mark_sent(outbox.due("pd")[0])
    for number, observed in enumerate((0.73, 0.75, 0.77), 2):
        clock.advance(400)
        assert outbox.enqueue(worse(number, observed=observed), routes) == 0
    clock.advance(400)
    assert outbox.enqueue(worse(9, observed=0.785), routes) == 1, "it crept out of the interval that was told"
    outbox.mark_sent(outbox.due("pd")[0])
    clock.advance(400)
    assert Outbox(connection, now=clock).enqueue(worse(9, observed=0.785), routes) == 0, "nor again after a restart"


def test_the_kinds_of_sink_hear_what_suits_them() -> None:
    sinks = [
        {"kind": "pagerduty", "routing_key_env": "K"},
        {"kind": "slack", "url_env": "S"},
        {"kind": "alertmanager", "urls": ["http://am:9093"]},
        {"kind": "webhook", "url": "https://h.example"},
        {"kind": "log"},
    ]
    routes = AlertsConfig.model_validate({"sinks": sinks}).routes
    assert [route.updates for route in routes] == ["material", "material", "figures", "figures", "figures"]
