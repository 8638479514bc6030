"""The engine as a whole: exact state, late labels, epochs, approval, and what it says of itself."""

from __future__ import annotations

import json
import random
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignwatch import Incident, Label
from monitor.baseline import Baseline
from monitor.detection.codec import pack, unpack
from monitor.detection.deployment import LATE_IN_A_ROW
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.errors import StateError
from monitor.recorded import detect
from monitor.simulation import Change, Onset, SimulationConfig, Users, simulate_labels

sys.path.insert(0, str(Path(__file__).parent / "detection"))
from detection_scenes import CONFIG, NAME, baseline_of, chapters, live, play, story

SECOND = "chat-two"


def second(**settings: object) -> SimulationConfig:
    """A quieter deployment, so that one user has the hours that the caps make a campaign last."""
    return live(deployment=SECOND, harmful_share=0.4, rate=300 / 3600, **settings)


def mixed_in(label: Label, rng: random.Random) -> Label:
    """Some of everything that a stream of labels may hold."""
    kind = rng.random()
    if kind < 0.02:
        return label.model_copy(update={"origin": "provider"})
    if kind < 0.04:
        fields = {"request": None, "behaviour": None, "response_harm": None, "unlabelable": "redacted"}
        return label.model_copy(update=fields)
    if kind < 0.05:
        return label.model_copy(update={"timestamp": label.timestamp - timedelta(hours=3)})
    if kind < 0.06:
        return label.model_copy(update={"classifier": "sha256:other"})
    if kind < 0.07:
        return label.model_copy(update={"origin": "canary"})
    return label


@cache
def eventful() -> tuple[Label, ...]:
    """Two deployments; one is un-aligned, comes back and collapses, the other is one user's target."""
    first = chapters(
        live(count=500),
        live(count=700, onset=Onset(count=0), change=Change(odds_ratio=30), id_prefix="b"),
        live(count=1900, id_prefix="c"),
        live(count=300, onset=Onset(count=0), change=Change(collapse=0.7), id_prefix="d"),
    )
    other = second(count=1500, onset=Onset(count=200), users=Users(noisy_share=0.2))
    rng = random.Random(5)
    both = sorted([*first, *simulate_labels(other)], key=lambda one: one.timestamp)
    return tuple(mixed_in(one, rng) for one in both)


@cache
def baselines() -> dict[str, Baseline]:
    return {
        NAME: baseline_of(live(), 8_000),
        SECOND: baseline_of(second(), 8_000),
    }


@cache
def whole() -> tuple[tuple[Incident, ...], str, bytes]:
    engine = Engine(CONFIG, baselines())
    told = tuple(engine.process(eventful()))
    return told, json.dumps([one.model_dump(mode="json") for one in engine.status()]), engine.snapshot()


def test_the_eventful_stream_is_worth_cutting() -> None:
    told, _, _ = whole()
    assert {"unalignment", "degenerate", "jailbreak-campaign", "data-quality"} <= {one.verdict for one in told}
    assert {"open", "recovered"} <= {one.status for one in told}


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, len(eventful())), max_size=6).map(sorted))
def test_any_cut_with_snapshot_and_restore_gives_the_same_incidents_and_state(cuts: list[int]) -> None:
    engine, told, start = Engine(CONFIG, baselines()), [], 0
    for end in [*cuts, len(eventful())]:
        told += engine.process(eventful()[start:end])
        start = end
        snapshot = engine.snapshot()
        engine = Engine(CONFIG, baselines())
        engine.restore(snapshot)
        assert sorted(engine.snapshot().split(b"\n")[2:]) == sorted(snapshot.split(b"\n")[2:])
    assert tuple(told) == whole()[0]
    assert json.dumps([one.model_dump(mode="json") for one in engine.status()]) == whole()[1]


def test_labels_one_by_one_give_what_one_call_gives() -> None:
    engine = Engine(CONFIG, baselines())
    assert tuple(incident for label in eventful() for incident in engine.process([label])) == whole()[0]


def test_a_snapshot_costs_the_deployments_that_had_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(CONFIG, baselines())
    engine.process(eventful())
    engine.snapshot()
    encoded: list[object] = []
    monkeypatch.setattr("monitor.engine.encode", lambda state: encoded.append(state.get("name")) or b"{}")
    engine.process([next(one for one in reversed(eventful()) if one.deployment == SECOND)])
    engine.snapshot()
    assert encoded == [SECOND, None]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda body: body[:-5], "checksum"),
        (lambda body: body.replace(b"chat-sim", b"chat-sin", 1), "checksum"),
        (lambda body: b"alignwatch-engine/0" + body[19:], "format"),
        (lambda body: b"", "format"),
    ],
)
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: object, says: str) -> None:
    engine = Engine(CONFIG, baselines())
    engine.process(eventful()[:400])
    before = engine.snapshot()
    with pytest.raises(StateError, match=says):
        engine.restore(damage(before))  # type: ignore[operator]
    assert engine.snapshot() == before


def test_a_snapshot_without_a_field_is_refused() -> None:
    engine = Engine(CONFIG, baselines())
    head, *states = unpack(engine.snapshot())
    del states[0]["watch"]["streams"]["compliance:up"][0][0]
    with pytest.raises(StateError, match="missing or wrong"):
        engine.restore(pack(json.dumps(one).encode() for one in [head, *states]))


def test_nothing_alarms_without_approval_and_learning_is_counted() -> None:
    config = live(count=3_000, onset=Onset(count=500), change=Change(odds_ratio=40))
    labels = list(simulate_labels(config))
    approved = baseline_of(live())
    unapproved = approved.model_copy(update={"approved_by": None, "approved_at": None})
    for known in ({}, {NAME: unapproved}):
        engine = Engine(CONFIG, known)
        assert engine.process(labels[:1000]) == []
        (status,) = engine.status()
        assert status.state == "learning"
        assert status.learning is not None
        seen, wanted = status.learning
        assert (100 < seen < 300, wanted) == (True, CONFIG.learning_labels)
        assert engine.process(labels[1000:]) == []
    assert Engine(CONFIG, {NAME: approved}).process(labels)
    engine = Engine(DetectionConfig(learning_labels=50), {})
    engine.process(labels)
    assert engine.status()[0].state == "no-baseline"
    assert engine.status()[0].learning == (50, 50)


def test_a_new_model_is_judged_against_the_approved_baseline_never_itself() -> None:
    """The bad checkpoint has a digest of its own from its first label; nothing may start afresh for it."""
    bad = live(onset=Onset(count=1_000), change=Change(odds_ratio=10), digest_after="sha256:new")
    silent = bad.model_copy(update={"digest_after": None})
    announced, hidden = play(bad), play(silent)
    incident = announced.only("unalignment")
    assert incident.model_digest == "sha256:new"
    assert hidden.only("unalignment").model_digest == "sha256:a"
    assert [(one.detected_at, one.verdict) for one in announced.told] == [
        (one.detected_at, one.verdict) for one in hidden.told
    ]
    only_new = play(bad.model_copy(update={"onset": Onset(count=0)}))
    assert "unalignment" in only_new.paged, "also where the deployment never served anything else"


def test_the_model_behind_a_quarter_of_the_traffic_is_named() -> None:
    canary = live(
        count=6_000, onset=Onset(count=1_000), change=Change(odds_ratio=60), canary_share=0.25,
        digest_after="sha256:new", seed=1,
    )  # fmt: skip
    assert play(canary).only("unalignment").model_digest == "sha256:new"


def test_labels_of_another_classifier_start_a_new_epoch_and_are_never_compared() -> None:
    config = live(count=4_000, onset=Onset(count=500), change=Change(odds_ratio=40))
    swapped = [one.model_copy(update={"classifier": "sha256:new"}) for one in simulate_labels(config)]
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    (incident,) = engine.process(swapped)
    assert (incident.verdict, incident.severity) == ("data-quality", "warning")
    assert "classifier" in incident.summary
    (status,) = engine.status()
    assert status.state == "learning"
    assert status.learning is not None
    assert 500 < status.learning[0] < 1000
    assert status.capped["other-classifier"] == 4_000
    assert status.streams[0].labels == 0
    back = list(simulate_labels(live(count=1_500, id_prefix="b", start=swapped[-1].timestamp)))
    (ended,) = engine.process(back)
    assert (ended.id, ended.status) == (incident.id, "recovered")
    assert engine.status()[0].state == "watching"
    assert engine.status()[0].learning is None


def test_a_few_labels_of_another_classifier_are_counted_and_said_nothing_of() -> None:
    labels = list(simulate_labels(live(count=2_000)))
    mixed = [one.model_copy(update={"classifier": "x"}) if i % 41 == 0 else one for i, one in enumerate(labels)]
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    assert engine.process(mixed) == []
    assert engine.status()[0].capped["other-classifier"] == 49


def test_late_labels_count_within_the_grace_and_are_counted_beyond_it() -> None:
    labels = list(simulate_labels(live(count=400)))
    newest = labels[-1].timestamp
    within = [
        labels[0].model_copy(update={"id": f"w{i}", "timestamp": newest - timedelta(minutes=59)}) for i in range(9)
    ]
    beyond = [
        labels[0].model_copy(update={"id": f"b{i}", "timestamp": newest - timedelta(minutes=61)}) for i in range(5)
    ]
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    engine.process(labels)
    before = engine.status()[0]
    engine.process(within)
    after = engine.status()[0]
    assert "late" not in after.capped
    assert sum(pane.labelled for pane in after.panes) == sum(pane.labelled for pane in before.panes) + 9
    engine.process(beyond)
    last = engine.status()[0]
    assert last.capped["late"] == 5
    assert last.labels == 414
    assert (last.panes, last.streams, last.last_event) == (after.panes, after.streams, after.last_event)


def test_one_wrong_clock_does_not_blind_the_deployment() -> None:
    config = live(count=4_000, onset=Onset(count=1_000), change=Change(odds_ratio=20))
    labels = list(simulate_labels(config))
    labels[500] = labels[500].model_copy(update={"timestamp": labels[500].timestamp + timedelta(days=400)})
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    told = engine.process(labels)
    assert next(one.verdict for one in told if one.status == "open") == "unalignment"
    assert engine.status()[0].capped["late"] == LATE_IN_A_ROW - 1


def test_order_within_the_grace_changes_neither_panes_nor_counts() -> None:
    labels = list(simulate_labels(live(count=2_000)))
    rng = random.Random(3)
    jittered = sorted(labels, key=lambda one: one.timestamp.timestamp() + rng.uniform(0, 900))
    assert jittered != labels
    tidy, untidy = (Engine(CONFIG, {NAME: baseline_of(live())}) for _ in range(2))
    assert tidy.process(labels) == untidy.process(jittered) == []
    panes = [[(p.start, p.labelled, p.sensitive) for p in one.status()[0].panes] for one in (tidy, untidy)]
    assert panes[0] == panes[1]


def test_deployments_beyond_the_bound_are_counted_and_kept_out() -> None:
    engine = Engine(DetectionConfig(max_deployments=2), {NAME: baseline_of(live())})
    labels = [next(iter(simulate_labels(live(deployment=f"d{i % 5}", seed=i)))) for i in range(10)]
    engine.process(labels)
    assert [one.name for one in engine.status()] == [NAME, "d0"]
    assert engine.refused_labels == 8
    again = Engine(DetectionConfig(max_deployments=2), {NAME: baseline_of(live())})
    again.restore(engine.snapshot())
    assert again.refused_labels == 8


def test_a_new_baseline_resolves_what_was_open_and_starts_from_no_evidence() -> None:
    bad = live(count=3_000, onset=Onset(count=500), change=Change(odds_ratio=20))
    labels = list(simulate_labels(bad))
    approved = baseline_of(live())
    accepted = baseline_of(live(compliance=0.6))
    engine = Engine(CONFIG, {NAME: approved})
    opened = engine.process(labels)[0]
    engine.set_baseline(accepted)
    (ended,) = engine.advance(labels[-1].timestamp.timestamp())
    assert (ended.id, ended.status) == (opened.id, "resolved")
    assert engine.advance(0.0) == []
    status = engine.status()[0]
    assert {stream.labels for stream in status.streams} == {0}
    assert ended in status.incidents


@pytest.mark.parametrize("successor", ["another", "unapproved", "none"])
def test_a_restart_with_another_baseline_resolves_what_was_open(successor: str) -> None:
    bad = live(count=3_000, onset=Onset(count=500), change=Change(odds_ratio=20))
    labels = list(simulate_labels(bad))
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    opened = engine.process(labels)[0]
    other = baseline_of(live(compliance=0.6))
    unapproved = other.model_copy(update={"approved_by": None, "approved_at": None})
    known = {"another": {NAME: other}, "unapproved": {NAME: unapproved}, "none": {}}[successor]
    restarted = Engine(CONFIG, known)
    restarted.restore(engine.snapshot())
    (ended,) = restarted.process([])
    assert (ended.id, ended.status) == (opened.id, "resolved")
    assert restarted.process([]) == []
    kept = restarted.status()[0]
    assert (kept.labels, kept.panes[-1].labelled) == (3_000, engine.status()[0].panes[-1].labelled)
    same = Engine(CONFIG, {NAME: baseline_of(live())})
    same.restore(engine.snapshot())
    assert same.process([]) == []


def test_categories_that_the_baseline_never_saw_are_counted_and_not_judged() -> None:
    config = live(
        count=6_000, mix={"cyber": 1, "crime": 1, "fraud": 1}, mix_after={"advice": 1, "misinformation": 1},
        onset=Onset(fraction=0.3),
    )  # fmt: skip
    found = play(config)
    assert not found.paged, "advice is answered far more often than the three categories of the baseline"
    engine = Engine(CONFIG, {NAME: baseline_of(config)})
    engine.process(list(simulate_labels(config)))
    assert engine.status()[0].capped["unseen"] > 500


def test_the_status_shows_rates_beside_those_corrected_for_the_classifiers_error() -> None:
    """Labels misread by a tenth each way; correction gives the true rate back, and no detector looks at it."""
    rng = random.Random(9)

    def misread(label: Label) -> Label:
        behaviour = label.behaviour
        if behaviour is None or rng.random() >= 0.1:
            return label
        swapped = behaviour.model_copy(update={"compliance": behaviour.refusal, "refusal": behaviour.compliance})
        return label.model_copy(update={"behaviour": swapped})

    true = list(simulate_labels(live(count=6_000, compliance=0.3, harmful_share=0.6)))
    labels = [misread(one) for one in true]
    known = {"compliance_tpr": 0.9, "compliance_fpr": 0.1, "error_rates_of": "simulated"}
    baseline = baseline_of(live(compliance=0.3, harmful_share=0.6))
    corrected = Engine(DetectionConfig(**known), {NAME: baseline})
    plain = Engine(CONFIG, {NAME: baseline})
    told = [[(one.id, one.verdict, one.status) for one in engine.process(labels)] for engine in (corrected, plain)]
    assert told[0] == told[1]
    stream, without = corrected.status()[0].streams[0], plain.status()[0].streams[0]
    assert stream.observed == without.observed
    assert stream.evidence_log10 == without.evidence_log10
    assert without.corrected is None
    assert stream.corrected is not None
    assert stream.observed == pytest.approx(0.34, abs=0.05)
    assert stream.corrected == pytest.approx(0.30, abs=0.06)
    assert stream.corrected < stream.observed
    assert {s.corrected for s in corrected.status()[0].streams if not s.name.startswith("compliance")} == {None}
    foreign = Engine(DetectionConfig(**known | {"error_rates_of": "sha256:else"}), {NAME: baseline})
    foreign.process(labels)
    assert foreign.status()[0].streams[0].corrected is None


def test_an_incident_carries_the_corrected_rate() -> None:
    config = DetectionConfig(compliance_tpr=0.95, compliance_fpr=0.05, error_rates_of="simulated")
    bad = live(count=4_000, onset=Onset(count=1_000), change=Change(odds_ratio=10))
    found = story(simulate_labels(bad), baseline_of(live()), config).only("unalignment").streams[0]
    assert found.corrected is not None
    assert found.observed is not None
    assert found.corrected == pytest.approx((found.observed - 0.05) / 0.9, abs=1e-9)
    without = story(simulate_labels(bad), baseline_of(live())).only("unalignment").streams[0]
    assert without.corrected is None


def test_overriding_the_run_length_sets_every_stream() -> None:
    engine = Engine(CONFIG, {NAME: baseline_of(live())}, arl_labels=1e4)
    assert {round(stream.threshold_log10, 9) for stream in engine.status()[0].streams} == {4.0}


def test_a_replay_reports_each_incident_with_its_latest_figures() -> None:
    bad = live(count=6_000, onset=Onset(count=1_000), change=Change(compliance=0.6))
    labels = list(simulate_labels(bad))
    told: list[Incident] = []
    engine = Engine(CONFIG, {NAME: baseline_of(live())})
    (final,) = detect(engine, iter([labels[:3_000], labels[3_000:]]), told.append)
    assert final.id == told[0].id
    assert final.labels_since_onset > 10 * told[0].labels_since_onset
    assert final.streams[0].observed == pytest.approx(0.6, abs=0.06)
    assert final == engine.status()[0].incidents[0]
