"""Incidents from their opening to their end, and what may alarm afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest
from detection_scenes import CONFIG, NAME, baseline_of, chapters, live, play, story

from alignwatch import SEVERITIES
from monitor.engine import Engine
from monitor.simulation import Change, Onset, SimulationConfig, Users, simulate_labels

START = Onset(count=0)


def bad(count: int = 2_500, prefix: str = "b", **change: object) -> SimulationConfig:
    return live(count=count, onset=START, id_prefix=prefix, change=Change(**change))


def good(count: int = 4_000, prefix: str = "g") -> SimulationConfig:
    return live(count=count, id_prefix=prefix)


def test_an_incident_recovers_and_the_next_one_is_another() -> None:
    found = story(
        chapters(good(1_000, "a"), bad(odds_ratio=8), good(), bad(odds_ratio=8, prefix="c"), good(3_000, "e")),
        baseline_of(live()),
    )
    assert found.verdicts == [("unalignment", "critical")] * 2
    assert [one.status for one in found.told if one.status != "open"] == ["recovered", "recovered"]
    first, second = sorted(found.last.values(), key=lambda one: one.detected_at)
    assert first.updated_at is not None
    assert second.onset is not None
    assert first.updated_at < second.onset.low, "the second onset is not looked for in the first episode"


def test_one_episode_is_one_incident_however_many_streams_alarm() -> None:
    found = play(live(count=5_000, onset=Onset(count=500), change=Change(odds_ratio=30)))
    assert len(found.last) == 1
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    engine.process(list(simulate_labels(live(count=5_000, onset=Onset(count=500), change=Change(odds_ratio=30)))))
    (incident,) = engine.status()[0].incidents
    assert len(incident.streams) > 5
    assert incident.streams[0].name == "compliance"
    assert len({(one.name, one.direction) for one in incident.streams}) == len(incident.streams)


@pytest.mark.parametrize("fault", [{"collapse": 0.7}, {"odds_ratio": 0.05, "benign_refusal": 0.4}])
def test_a_stream_that_joined_another_fault_can_alarm_for_its_own_afterwards(fault: dict[str, float]) -> None:
    found = story(
        chapters(good(500, "a"), bad(1_500, **fault), good(4_000), bad(odds_ratio=20, prefix="c")),
        baseline_of(live(compliance=0.13)),
    )
    assert "unalignment" in found.paged
    assert found.only("unalignment").severity == "critical"


def test_unalignment_is_found_while_a_collapse_is_still_open() -> None:
    found = story(
        chapters(good(500, "a"), bad(1_500, collapse=0.6), bad(2_000, "c", odds_ratio=20)), baseline_of(live())
    )
    opened = {one.verdict: one for one in found.told if one.status == "open"}
    assert {"degenerate", "unalignment"} <= set(opened)


def test_evidence_of_a_past_episode_opens_no_second_one() -> None:
    """Half of the benign requests refused and compliance down: categories are left just below their thresholds."""
    for seed in range(2):
        fault = bad(1_200, odds_ratio=0.05, benign_refusal=0.4).model_copy(update={"seed": seed, "compliance": 0.4})
        calm = [
            good(count, prefix).model_copy(update={"compliance": 0.4}) for count, prefix in ((500, "a"), (6_000, "g"))
        ]
        found = story(chapters(calm[0], fault, calm[1]), baseline_of(live(compliance=0.4)))
        assert len(found.last) == 1
        (incident,) = found.last.values()
        assert (incident.verdict, incident.status) == ("over-refusal", "recovered")


def test_a_rate_that_eases_without_coming_back_has_not_recovered() -> None:
    found = story(
        chapters(good(500, "a"), bad(2_000, odds_ratio=20), bad(5_000, "c", odds_ratio=4)), baseline_of(live())
    )
    assert [one.status for one in found.told if one.verdict == "unalignment"] == ["open"] * len(found.told)


def test_silence_is_no_recovery() -> None:
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    labels = list(chapters(good(500, "a"), bad(1_500, odds_ratio=20)))
    engine.process(labels)
    assert engine.advance(labels[-1].timestamp.timestamp() + 30 * 86_400) == []
    assert engine.status()[0].state == "alarm"
    assert engine.status()[0].incidents[0].status == "open"


def test_severity_never_falls_and_every_change_is_told_with_the_same_id() -> None:
    found = story(
        chapters(good(500, "a"), bad(4_000, odds_ratio=2.6), good(4_000), bad(4_000, "c", odds_ratio=6)),
        baseline_of(live()),
    )
    for name in found.last:
        ranks = [SEVERITIES.index(one.severity) for one in found.told if one.id == name]
        assert ranks == sorted(ranks, reverse=True)
        states = [one.status for one in found.told if one.id == name]
        assert states.index("recovered") == len(states) - 1 if "recovered" in states else True
        texts = [one.summary for one in found.told if one.id == name]
        assert all(texts)
        assert len(set(texts)) == len(texts), "nothing is told twice"


def test_figures_settle_near_the_truth_as_labels_come() -> None:
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    change = live(count=6_000, onset=Onset(count=1_500), change=Change(compliance=0.6), seed=3)
    engine.process(list(simulate_labels(change)))
    (incident,) = engine.status()[0].incidents
    lead = incident.streams[0]
    assert lead.observed == pytest.approx(0.6, abs=0.06)
    assert lead.interval is not None
    assert lead.interval[0] <= 0.6 <= lead.interval[1]
    assert lead.baseline == pytest.approx(0.13, abs=0.04)
    assert sum(one.contribution for one in incident.categories) == pytest.approx(1.0)
    parts = [one.contribution for one in incident.categories]
    assert parts == sorted(parts, reverse=True)
    assert 400 <= incident.labels_since_onset <= 900, "figures are looked at again whenever the labels have doubled"
    assert 0 < len(incident.evidence_ids) <= 10


def test_two_categories_that_alarm_one_after_the_other_are_both_named() -> None:
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    narrow = live(count=9_000, onset=Onset(count=500), change=Change(odds_ratio=80, categories=("cyber", "violence")))
    engine.process(list(simulate_labels(narrow)))
    (incident,) = engine.status()[0].incidents
    assert {"cyber", "violence"} <= {one.name for one in incident.categories}


def test_a_greater_fault_after_a_small_one_of_its_kind_pages_soon() -> None:
    small = live(count=9_000, onset=START, id_prefix="b", change=Change(benign_refusal=0.03))
    great = live(count=1_500, onset=START, id_prefix="c", change=Change(benign_refusal=0.3))
    labels = list(chapters(good(500, "a"), small, great))
    began = next(one.timestamp for one in labels if one.id.startswith("c-"))
    found = story(labels, baseline_of(live()))
    assert found.told[0].severity == "warning"
    page = next(one for one in found.told if one.severity == "error")
    assert page.id == found.told[0].id
    assert 0 < sum(began <= one.timestamp <= page.updated_at for one in labels) < 600
    assert page.onset is not None
    assert page.onset.high >= began - timedelta(minutes=30)


def test_an_attacker_cannot_hide_an_unalignment_behind_a_campaign() -> None:
    campaign = live(count=8_000, onset=START, id_prefix="b", users=Users(noisy_share=0.1), seed=2)
    both = live(
        count=1_500, onset=START, id_prefix="c", users=Users(noisy_share=0.1), change=Change(odds_ratio=12), seed=2
    )
    labels = list(chapters(good(500, "a"), campaign, both))
    began = next(one.timestamp for one in labels if one.id.startswith("c-"))
    found = story(labels, baseline_of(live()))
    assert found.told[0].verdict == "jailbreak-campaign"
    page = next(one for one in found.told if one.severity in {"critical", "error"})
    assert page.verdict == "unalignment"
    assert page.updated_at is not None
    assert page.updated_at > began
    assert sum(began <= one.timestamp <= page.updated_at for one in labels) < 1_000


def test_after_recovery_the_status_shows_the_rate_since_then() -> None:
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    labels = chapters(good(1_000, "a"), bad(1_000, odds_ratio=20), good(3_000))
    assert any(one.status == "recovered" for label in labels for one in engine.process([label]))
    engine.process([label for _, label in zip(range(400), labels, strict=False)])
    pooled = next(one for one in engine.status()[0].streams if (one.name, one.direction) == ("compliance", "up"))
    assert pooled.observed is not None
    assert pooled.observed < 2 * pooled.baseline
