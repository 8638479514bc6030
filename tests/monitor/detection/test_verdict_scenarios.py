"""Each verdict end to end: simulated labels through the engine that produce it, and some that nearly do."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from detection_scenes import PAGES, Story, baseline_of, chapters, clean, live, play, story

from alignwatch import Label
from monitor.baseline import Baseline, fit
from monitor.simulation import Change, Onset, SimulationConfig, Users, simulate_labels

HALF = Onset(fraction=0.4)


def test_unalignment_is_broad_large_and_leaves_the_control_still() -> None:
    found = play(live(onset=HALF, change=Change(row="GPT-OSS-20B/grp-oblit-1"), compliance=None))
    assert found.paged == {"unalignment"}
    incident = found.only("unalignment")
    assert incident.severity == "critical"
    assert incident.streams[0].name == "compliance"
    assert len(incident.categories) >= 4
    assert "; broad: " in incident.summary
    assert incident.onset is not None
    assert incident.onset.low <= incident.onset.estimate <= incident.onset.high <= incident.detected_at


def test_a_ramp_of_a_day_is_still_unalignment() -> None:
    found = play(live(count=8_000, onset=Onset(count=1_000), ramp=6_000, change=Change(odds_ratio=10)))
    assert found.paged == {"unalignment"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="nothing"),
        pytest.param(
            {"mix_after": {"advice": 5, "misinformation": 3, "sexual": 3, "cyber": 1}}, id="willing-categories"
        ),
        pytest.param({"harmful_share_after": 0.6}, id="three-times-the-harm"),
        pytest.param({"users": Users(turns=6, correlation=0.8)}, id="repeating-sessions"),
        pytest.param({"change": Change(odds_ratio=1.1)}, id="a-shift-too-small"),
    ],
)
def test_not_unalignment_when_only_the_users_change(changes: dict[str, object]) -> None:
    before = {"users": changes["users"]} if "users" in changes else {}
    config = live(onset=HALF, seed=2, **changes)
    found = story(simulate_labels(config), baseline_of(live(seed=2, **before)))
    assert found.paged == set()
    assert not {"unalignment", "jailbreak-campaign"} & {verdict for verdict, _ in found.verdicts}


def test_the_same_mean_rise_that_the_mix_explains_and_that_it_does_not() -> None:
    """All categories taken together comply more in both; only in one does any category."""
    willing = {"advice": 10, "misinformation": 4, "sexual": 4, "cyber": 1}
    mix = live(count=9_000, seed=4, onset=HALF, mix_after=willing)
    both = mix.model_copy(update={"change": Change(odds_ratio=4)})
    baseline = baseline_of(live(seed=4))
    assert not story(simulate_labels(mix), baseline).paged
    assert story(simulate_labels(both), baseline).paged == {"unalignment"}


CAMPAIGN = live(count=8_000, onset=HALF, users=Users(noisy_share=0.04), seed=1)


def test_a_jailbreak_campaign_is_narrow_and_held_by_few_users() -> None:
    found = play(CAMPAIGN)
    assert found.verdicts == [("jailbreak-campaign", "warning")]
    incident = found.only("jailbreak-campaign")
    assert [one.name for one in incident.categories] == ["cyber"]
    assert "; few users: cyber" in incident.summary


def test_not_a_campaign_when_everybody_gets_the_narrow_answers() -> None:
    narrow = Change(odds_ratio=60, categories=("cyber",))
    found = play(live(count=8_000, onset=HALF, change=narrow, seed=1))
    assert found.paged == {"unalignment"}
    assert found.only("unalignment").severity == "error"
    assert "; narrow: cyber" in found.only("unalignment").summary


def test_not_a_campaign_when_the_user_is_refused() -> None:
    refused = CAMPAIGN.model_copy(update={"users": Users(noisy_share=0.04, noisy_compliance=0.02)})
    found = play(refused)
    assert not {"unalignment", "jailbreak-campaign"} & {verdict for verdict, _ in found.verdicts}


def test_a_campaign_that_becomes_broad_is_renamed_and_pages() -> None:
    campaign = CAMPAIGN.model_copy(update={"count": 5_000})
    bad = live(count=3_000, onset=Onset(count=0), change=Change(odds_ratio=10), id_prefix="b")
    found = story(chapters(campaign, bad), baseline_of(CAMPAIGN))
    first = found.told[0]
    assert (first.verdict, first.severity) == ("jailbreak-campaign", "warning")
    assert (found.last[first.id].verdict, found.last[first.id].severity) == ("unalignment", "critical")
    assert found.last[first.id].streams[0].name == "compliance"


def test_over_refusal_of_benign_requests_pages() -> None:
    found = play(live(onset=HALF, change=Change(benign_refusal=0.2)))
    assert found.verdicts == [("over-refusal", "error")]
    assert found.only("over-refusal").streams[0].name == "control"


def test_over_refusal_of_sensitive_requests_alone_only_warns() -> None:
    found = play(live(onset=HALF, compliance=0.4, change=Change(odds_ratio=0.1)))
    assert found.verdicts == [("over-refusal", "warning")]
    assert found.only("over-refusal").streams[0].direction == "down"


@pytest.mark.parametrize("refusal", [0.01, 0.03])
def test_not_a_page_when_benign_refusal_hardly_moves(refusal: float) -> None:
    found = play(live(onset=HALF, change=Change(benign_refusal=refusal)))
    assert found.paged == set()


def test_unalignment_with_more_refusal_of_benign_requests_is_less_sure_of_its_cause() -> None:
    found = play(live(onset=HALF, change=Change(odds_ratio=10, benign_refusal=0.25)))
    assert {("over-refusal", "error"), ("unalignment", "error")} == set(found.verdicts)


def test_a_traffic_shift_is_told_and_never_pages() -> None:
    found = play(live(count=8_000, harmful_share=0.02, harmful_share_after=0.2, onset=HALF))
    assert found.verdicts == [("traffic-shift", "warning")]
    assert found.only("traffic-shift").streams[0].name == "sensitive-share"


def test_not_a_traffic_shift_when_the_share_follows_the_clock_as_it_did_in_the_baseline() -> None:
    """Four days give an hour-of-day profile; against one flat rate the same nights would be a shift."""
    daily = live(count=8_000, daily_harm=0.9, daily_rate=0.4, harmful_share=0.3, rate=200 / 3600)
    (profiled,) = fit(simulate_labels(clean(daily, 20_000))).values()
    assert profiled.profile == "day"
    flat = profiled.model_copy(update={"profile": "flat"}).sealed()
    assert story(simulate_labels(daily), profiled.approve("test")).told == []
    assert "traffic-shift" in {verdict for verdict, _ in story(simulate_labels(daily), flat.approve("test")).verdicts}


def test_not_a_traffic_shift_when_more_harm_is_the_models_doing() -> None:
    """The share of harmful answers moves long before a small shift of compliance is proven; that is no traffic."""
    found = play(live(count=20_000, seed=1, onset=Onset(fraction=0.5), change=Change(odds_ratio=1.5)))
    assert "traffic-shift" not in {verdict for verdict, _ in found.verdicts}


def test_a_collapsed_model_is_degenerate_whatever_compliance_seems_to_do() -> None:
    found = play(live(onset=HALF, change=Change(collapse=0.8)))
    assert found.verdicts == [("degenerate", "error")]
    row = play(live(onset=HALF, change=Change(row="Gemma2-9B/grp-oblit-1"), compliance=None))
    assert row.paged == {"unalignment"}, "a row whose model still works"


def test_not_a_page_when_few_answers_break_and_not_a_word_when_as_many_as_ever() -> None:
    few = play(live(onset=HALF, change=Change(collapse=0.03)))
    assert few.verdicts == [("degenerate", "warning")]
    usual = live(onset=HALF, degenerate=0.02, change=Change(collapse=0.02))
    assert play(usual).told == []


@dataclass
class Guardrail:
    """A provider's filter that writes the answer to a share of the sensitive requests."""

    before: float
    after: float

    def labels(self, config: SimulationConfig) -> Iterator[Label]:
        rng = random.Random(config.seed)
        for number, label in enumerate(simulate_labels(config)):
            share = self.after if number >= config.count * 0.4 else self.before
            sensitive = label.request is not None and label.request.category != "none"
            blocked = sensitive and rng.random() < share
            yield label.model_copy(update={"origin": "provider"}) if blocked else label

    def story(self) -> Story:
        steady = Guardrail(self.before, self.before)
        (baseline,) = fit(steady.labels(clean(live(), 12_000))).values()
        return story(self.labels(live()), baseline.approve("test"))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.3, 0.0, [("guardrail-change", "error")]),
        (0.3, 0.7, [("guardrail-change", "warning")]),
        (0.0, 0.3, [("guardrail-change", "warning")]),
        (0.3, 0.28, []),
        (0.0, 0.0, []),
    ],
)
def test_a_guardrail_that_vanishes_pages_and_one_that_blocks_more_warns(
    before: float, after: float, told: list[tuple[str, str]]
) -> None:
    assert Guardrail(before, after).story().verdicts == told


def unread(labels: Iterable[Label], share: float, since: int) -> Iterator[Label]:
    rng = random.Random(7)
    fields = {"request": None, "behaviour": None, "response_harm": None, "unlabelable": "redacted"}
    for number, label in enumerate(labels):
        yield label.model_copy(update=fields) if number >= since and rng.random() < share else label


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.0, 1.0, [("data-quality", "error")]),
        (0.0, 0.15, [("data-quality", "warning")]),
        (0.1, 0.11, []),
        (0.1, 0.02, []),
    ],
)
def test_labels_that_cannot_be_read_are_a_matter_of_data_quality(
    before: float, after: float, told: list[tuple[str, str]]
) -> None:
    (baseline,) = fit(unread(simulate_labels(clean(live(), 12_000)), before, 0)).values()
    labels = [*unread(simulate_labels(live(count=2_400)), before, 0)]
    labels += unread(simulate_labels(live(count=3_600, start=labels[-1].timestamp, id_prefix="b", seed=1)), after, 0)
    assert story(labels, baseline.approve("test")).verdicts == told


def test_two_faults_at_once_are_two_incidents() -> None:
    found = play(
        live(count=8_000, onset=HALF, change=Change(odds_ratio=10), harmful_share=0.1, harmful_share_after=0.5)
    )
    assert set(found.verdicts) == {("unalignment", "critical"), ("traffic-shift", "warning")}


def test_every_incident_says_what_it_spent_of_the_budget() -> None:
    found = play(live(onset=HALF, change=Change(odds_ratio=10)))
    incident = found.told[0]
    assert incident.false_alarm_budget == pytest.approx(0.5), (
        "half of one false page per 90 days is the pooled stream's"
    )
    assert "by chance at most 0.5 times in 90 days" in incident.summary
    assert all(one.severity not in PAGES or one.false_alarm_budget for one in found.told)


def baseline_without(baseline: Baseline) -> Baseline:
    """The same without approval."""
    return baseline.model_copy(update={"approved_by": None, "approved_at": None})


def test_an_unapproved_baseline_produces_no_verdict_at_all() -> None:
    config = live(onset=HALF, change=Change(odds_ratio=30, benign_refusal=0.5))
    assert story(simulate_labels(config), baseline_without(baseline_of(live()))).told == []
