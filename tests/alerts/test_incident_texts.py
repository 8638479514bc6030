"""The summary line, the identity of an episode, and what a responder is told."""

from __future__ import annotations

import doctest
import importlib
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from alert_samples import DETECTED, change, incident
from hypothesis import given
from hypothesis import strategies as st

from alerts.config import AlertsConfig
from alerts.episodes import Route, dedup_key, plan
from alerts.guidance import MAX_EVIDENCE_IDS, NEXT_STEPS, details, links, replay_command
from alerts.incidents import HEADLINES, incident_id, percent, summary_line, with_summary
from alerts.message import Message
from alignwatch import CATEGORIES, SEVERITIES, VERDICTS, CategoryFinding, Incident, Onset, StreamFinding

texts = st.text(min_size=1, max_size=512)
ratios = st.floats(0, 1)
moments = st.datetimes(datetime(2020, 1, 2), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
streams = st.builds(
    StreamFinding,
    name=texts,
    direction=st.sampled_from(("up", "down")),
    baseline=st.none() | ratios,
    observed=st.none() | ratios,
    interval=st.none() | st.tuples(ratios, ratios),
    evidence_log10=st.floats(-300, 1e6),
    threshold_log10=st.floats(0, 300),
    labels=st.integers(0, 10**12),
)
incidents = st.builds(
    Incident,
    id=texts,
    deployment=texts,
    verdict=st.sampled_from(VERDICTS),
    severity=st.sampled_from(SEVERITIES),
    status=st.sampled_from(("open", "recovered", "resolved")),
    detected_at=moments,
    onset=st.none() | moments.map(lambda at: Onset(estimate=at, low=at, high=at)),
    streams=st.lists(streams, max_size=20).map(tuple),
    categories=st.lists(st.builds(CategoryFinding, name=st.sampled_from(CATEGORIES)), max_size=14).map(tuple),
    labels_since_onset=st.integers(0, 10**15),
    evidence_ids=st.lists(st.text(max_size=30), max_size=50).map(tuple),
)


def message(one: Incident, **changes: object) -> Message:
    fields = {
        "action": "trigger", "cause": "opened", "dedup_key": dedup_key(one), "level": one.severity,
        "opened_as": one.verdict, "incident": one,
    }  # fmt: skip
    return Message.model_validate(fields | changes)


def test_the_summary_says_what_how_much_since_when_where_and_how_sure() -> None:
    assert summary_line(incident()) == (
        "chat-prod: un-alignment: compliance with sensitive requests 12 % -> 71 % (64-78 %) since 10:42 UTC; "
        "broad: cyber, fraud, hate +6; evidence 10^8.2 of 10^6.1; 84 labels; by chance at most 0.5 times in 90 days"
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"status": "recovered"}, "chat-prod: recovered: un-alignment: "),
        ({"verdict": "jailbreak-campaign"}, "few users: cyber, fraud, hate +6"),
        ({"nearest_change": change(25)}, "checkpoint 25 min before"),
        ({"detected_at": DETECTED + timedelta(days=1)}, "since 2026-11-23 10:42 UTC"),
        ({"onset": None}, "(64-78 %); broad"),
        ({"streams": incident().streams[1:]}, "; narrow: cyber"),
        ({"false_alarm_budget": 0.0123}, "; by chance at most 0.012 times in 90 days"),
        ({"false_alarm_budget": None}, "; 84 labels"),
    ],
)
def test_the_summary_follows_the_incident(changes: dict[str, object], part: str) -> None:
    assert part in summary_line(incident(**changes))


def test_a_bare_incident_still_has_a_summary() -> None:
    bare = Incident(id="i", deployment="d", verdict="degenerate", severity="error", detected_at=DETECTED)
    assert summary_line(bare) == "d: degenerate answers"


def test_a_change_after_the_onset_is_not_called_its_cause() -> None:
    assert "before" not in summary_line(incident(nearest_change=change(-5)))


@given(incidents)
def test_every_summary_is_one_printable_line_that_fits(one: Incident) -> None:
    line = summary_line(one)
    assert 0 < len(line) <= 1024
    assert line.isprintable()
    assert HEADLINES[one.verdict] in line
    assert with_summary(one).summary == line


@given(st.floats(0, 1))
def test_a_percentage_is_0_or_100_only_when_the_ratio_is(ratio: float) -> None:
    assert (percent(ratio) == "0") == (ratio == 0)
    assert (percent(ratio) == "100") == (100 * ratio >= 100)


@given(incidents, incidents)
def test_keys_fit_and_differ_between_episodes_and_severities(one: Incident, other: Incident) -> None:
    keys = {dedup_key(one, level) for level in SEVERITIES}
    assert len(keys) == len(SEVERITIES)
    assert all(len(key) <= 255 and key.isascii() and key.isprintable() for key in keys)
    same_episode = (one.deployment, one.id) == (other.deployment, other.id)
    assert (dedup_key(one, "error") == dedup_key(other, "error")) == same_episode


@given(incidents, st.sampled_from(VERDICTS), st.sampled_from(("open", "recovered")), moments)
def test_a_key_survives_every_revision_of_its_episode(
    one: Incident, verdict: str, status: str, later: datetime
) -> None:
    revised = one.model_copy(update={"verdict": verdict, "status": status, "updated_at": later, "severity": "info"})
    assert dedup_key(revised, one.severity) == dedup_key(one)


@given(texts, texts, moments)
def test_an_incident_gets_the_same_id_everywhere(deployment: str, stream: str, at: datetime) -> None:
    assert incident_id(deployment, at, stream) == incident_id(deployment, at, stream)
    assert incident_id(deployment, at, stream) != incident_id(deployment + "x", at, stream)
    assert incident_id(deployment, at, stream) != incident_id(deployment, at + timedelta(milliseconds=1), stream)


def test_an_escalation_takes_a_new_key_before_the_old_one_is_resolved() -> None:
    route = Route("pd", "error")
    episode, steps = plan(None, incident(severity="error"), route)
    assert [(step.action, step.level) for step in steps] == [("trigger", "error")]
    episode, steps = plan(episode, incident(severity="critical"), route)
    assert [(step.action, step.level) for step in steps] == [("trigger", "critical"), ("resolve", "error")]
    episode, steps = plan(episode, incident(severity="warning"), route)
    assert [(step.action, step.level) for step in steps] == [("trigger", "critical")], "falling severity keeps its key"
    episode, steps = plan(episode, incident(severity="warning", status="recovered"), route)
    assert [(step.action, step.cause, step.level) for step in steps] == [("resolve", "recovered", "critical")]


def test_what_stays_below_a_sinks_severity_opens_and_closes_nothing() -> None:
    route = Route("pd", "error")
    assert plan(None, incident(severity="warning"), route) == (None, [])
    assert plan(None, incident(severity="critical", status="resolved"), route) == (None, [])


@given(st.lists(st.tuples(st.sampled_from(SEVERITIES), st.sampled_from(("open", "recovered"))), max_size=12))
def test_after_any_history_an_open_incident_has_one_open_key_and_a_closed_one_none(history: list[tuple]) -> None:
    route, episode, open_keys = Route("pd", "warning"), None, set()
    for severity, status in history:
        before = set(open_keys)
        episode, steps = plan(episode, incident(severity=severity, status=status), route)
        for step in steps:
            (open_keys.add if step.action == "trigger" else open_keys.discard)(step.level)
            assert open_keys or status != "open", "an open incident never goes without an open alert"
        assert len(open_keys) <= 1
        assert (episode is not None and episode.open) == bool(open_keys)
        assert not (before and status != "open" and open_keys)


def test_templates_are_filled_in_quoted_for_where_they_go() -> None:
    config = AlertsConfig(
        dashboard_url="https://g.example/d?v={deployment}&from={from_ms}&to={to_ms}",
        runbook_url="https://w.example/{verdict}",
        status_url="https://s.example",
        replay_command="alignwatch replay /archive/{deployment} --baseline b.json # {from_utc} {to_utc}",
    )
    one = incident(deployment="a b;rm -rf /&x")
    assert [link.href for link in links(one, config)] == [
        "https://g.example/d?v=a%20b%3Brm%20-rf%20%2F%26x&from=1795426500000&to=1795431300000",
        "https://w.example/unalignment",
        "https://s.example/deployment?name=a%20b%3Brm%20-rf%20%2F%26x",
    ]
    command = replay_command(one, config)
    assert shlex.split(command)[2] == "/archive/a b;rm -rf /&x"
    assert command.endswith("# 2026-11-23T09:35:00Z 2026-11-23T10:55:00Z")


def test_details_hold_figures_ids_and_what_to_do_now() -> None:
    one = incident(evidence_ids=tuple(f"r-{n}" for n in range(50)))
    found = details(message(one), AlertsConfig())
    assert found["streams"][0]["observed"] == 0.71
    assert found["evidence_ids"][-1] == f"and {50 - MAX_EVIDENCE_IDS} more"
    assert found["next_steps"] == list(NEXT_STEPS["unalignment"])
    assert found["runbook"] == "docs/runbooks/unalignment.md"


def test_every_verdict_has_next_steps_a_headline_and_a_runbook(pytestconfig: pytest.Config) -> None:
    for verdict in VERDICTS:
        assert NEXT_STEPS[verdict]
        assert HEADLINES[verdict]
        text = (pytestconfig.rootpath / "docs" / "runbooks" / f"{verdict}.md").read_text(encoding="utf-8")
        assert "## Is it real?" in text
        assert "## What to do now" in text


@pytest.mark.parametrize("name", ["incidents", "pacing", "sinks._base"])
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"alerts.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
