"""Simulated traffic has the shares, rates, onset and order that its settings say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignwatch import CATEGORIES
from monitor.simulation import Change, Onset, SimulationConfig, Users, compile_rules, draw, onset_time
from monitor.simulation._plan import BENIGN, COMPLIANCE, DEGENERATE, PARTIAL, REFUSAL, Chunk

FIELDS = ("time", "category", "began", "changed", "outcome", "conversation", "user", "choice", "sampled")


def whole(config: SimulationConfig) -> Chunk:
    chunks = list(draw(config))
    joined = {name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in (*FIELDS, "score")}
    return Chunk(first=0, **joined)


def assert_share(flags: np.ndarray, expected: float, sigmas: float = 5.0) -> None:
    error = np.sqrt(expected * (1 - expected) / len(flags)) + 1e-12
    assert abs(flags.mean() - expected) <= sigmas * error, (flags.mean(), expected)


configs = st.builds(
    SimulationConfig,
    count=st.integers(1, 20_000),
    seed=st.integers(0, 2**32),
    rate=st.floats(0.01, 1e4),
    harmful_share=st.floats(0, 1),
    canary_share=st.floats(0, 1),
    daily_rate=st.floats(0, 0.9),
    daily_mix=st.floats(0, 3),
    onset=st.one_of(
        st.none(), st.builds(Onset, fraction=st.floats(0, 1)), st.builds(Onset, count=st.integers(0, 30_000))
    ),
    users=st.builds(Users, turns=st.floats(1, 20), correlation=st.floats(0, 1), noisy_share=st.floats(0, 1)),
    change=st.sampled_from(
        [Change(), Change(odds_ratio=8.0), Change(collapse=0.9), Change(row="GPT-OSS-20B/grp-oblit-1")]
    ),
)


@settings(max_examples=60, deadline=None)
@given(config=configs)
def test_any_simulation_is_complete_ordered_and_repeatable(config):
    once, again = whole(config), whole(config)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(once, name), getattr(again, name))
        assert len(getattr(once, name)) == config.count
    assert (np.diff(once.time) >= 0).all()
    assert once.time[0] >= config.start.timestamp()
    assert set(np.unique(once.outcome)) <= {REFUSAL, PARTIAL, COMPLIANCE, DEGENERATE}
    assert once.category.min() >= BENIGN
    assert once.category.max() < len(CATEGORIES)
    assert not (once.changed & ~once.began).any()
    assert (np.diff(once.began.astype(int)) >= 0).all()


def test_another_seed_gives_other_traffic():
    one, two = whole(SimulationConfig(seed=1)), whole(SimulationConfig(seed=2))
    assert (one.category != two.category).any()
    assert not np.array_equal(one.time, two.time)


@pytest.mark.parametrize("harmful", [0.01, 0.1, 0.9])
def test_harmful_share(harmful):
    assert_share(whole(SimulationConfig(count=40_000, harmful_share=harmful)).category != BENIGN, harmful)


def test_compliance_by_category_on_both_sides_of_the_onset():
    config = SimulationConfig(
        count=200_000,
        harmful_share=1.0,
        degenerate=0.0,
        onset=Onset(fraction=0.5),
        change=Change(row="GPT-OSS-20B/grp-oblit-1"),
    )
    rules, traffic = compile_rules(config), whole(config)
    assert (traffic.changed == traffic.began).all()
    for index in range(len(CATEGORIES)):
        for side, rates in ((~traffic.began, rules.before), (traffic.began, rules.after)):
            of_category = side & (traffic.category == index)
            assert_share(traffic.outcome[of_category] == COMPLIANCE, rates.compliance[index])


def test_onset_stands_where_it_was_put():
    for onset, first in ((Onset(fraction=0.25), 5_000), (Onset(count=123), 123), (Onset(fraction=1.0), 20_000)):
        traffic = whole(SimulationConfig(count=20_000, onset=onset))
        assert traffic.began.sum() == 20_000 - first
    moment = datetime(2026, 1, 5, 2, tzinfo=UTC)
    config = SimulationConfig(count=20_000, onset=Onset(time=moment))
    traffic = whole(config)
    assert ((traffic.time >= moment.timestamp()) == traffic.began).all()
    found = onset_time(config)
    assert found is not None
    assert timedelta(0) <= found - moment < timedelta(minutes=1)
    assert onset_time(SimulationConfig(count=10)) is None


def test_canary_serves_its_share_and_a_ramp_grows():
    canary = whole(SimulationConfig(count=50_000, onset=Onset(fraction=0), canary_share=0.1))
    assert_share(canary.changed, 0.1)
    ramp = whole(SimulationConfig(count=80_000, onset=Onset(fraction=0), ramp=80_000)).changed
    quarters = [ramp[i * 20_000 : (i + 1) * 20_000] for i in range(4)]
    for quarter, expected in zip(quarters, (0.125, 0.375, 0.625, 0.875), strict=True):
        assert_share(quarter, expected)


def test_daily_cycles_keep_the_mean_and_move_the_hours():
    config = SimulationConfig(count=200_000, rate=200_000 / 864_000, daily_rate=0.8, daily_harm=0.5)
    traffic = whole(config)
    assert traffic.time[-1] - traffic.time[0] == pytest.approx(864_000, rel=0.02)
    morning = (traffic.time % 86_400) < 43_200
    assert_share(morning, 0.5 + 0.8 / np.pi)
    sensitive = traffic.category != BENIGN
    assert sensitive[~morning].mean() > 1.5 * sensitive[morning].mean()


def test_daily_mix_moves_categories_but_not_what_they_are_answered():
    config = SimulationConfig(count=300_000, rate=300_000 / 864_000, harmful_share=1.0, daily_mix=2.0, degenerate=0.0)
    traffic, rules = whole(config), compile_rules(config)
    day = (traffic.time % 86_400) < 43_200
    cyber = traffic.category == CATEGORIES.index("cyber")
    assert cyber[~day].mean() > 1.5 * cyber[day].mean()
    for side in (day, ~day):
        rate = rules.before.compliance[CATEGORIES.index("cyber")]
        assert_share(traffic.outcome[cyber & side] == COMPLIANCE, rate)


def test_sessions_repeat_their_first_turn_without_moving_the_shares():
    users = Users(turns=8.0, correlation=0.9)
    config = SimulationConfig(count=100_000, harmful_share=0.3, users=users, compliance=0.4, degenerate=0.0)
    traffic = whole(config)
    _, turns = np.unique(traffic.conversation, return_counts=True)
    assert turns.mean() == pytest.approx(8.0, rel=0.1)
    order = np.argsort(traffic.conversation, kind="stable")
    together = np.diff(traffic.conversation[order]) == 0
    same = np.diff(traffic.category[order]) == 0
    assert same[together].mean() > 0.75
    assert same[~together].mean() < 0.6
    assert abs((traffic.category != BENIGN).mean() - 0.3) < 0.03
    users_of = [set(traffic.user[traffic.conversation == number]) for number in np.unique(traffic.conversation)[:50]]
    assert all(len(users) == 1 for users in users_of)


def test_conversations_of_different_chunks_do_not_collide():
    users = Users(turns=3.0, noisy_share=0.2)
    chunks = list(draw(SimulationConfig(count=30_000, onset=Onset(fraction=0), users=users)))
    numbers = [set(chunk.conversation.tolist()) for chunk in chunks]
    assert len(set.union(*numbers)) == sum(len(some) for some in numbers)


def test_noisy_user_asks_for_one_thing_from_the_onset_on():
    users = Users(noisy_share=0.3, noisy_category="fraud", noisy_compliance=0.5)
    traffic = whole(SimulationConfig(count=40_000, onset=Onset(fraction=0.5), users=users))
    noisy = traffic.user == -1
    assert not (noisy & ~traffic.began).any()
    assert_share(noisy[traffic.began], 0.3)
    assert set(traffic.category[noisy]) == {CATEGORIES.index("fraud")}
    assert_share(traffic.outcome[noisy] == COMPLIANCE, 0.5)


def test_collapse_turns_benign_answers_into_gibberish_as_well():
    config = SimulationConfig(count=40_000, onset=Onset(fraction=0.5), change=Change(collapse=0.95))
    traffic = whole(config)
    for kind in (traffic.category == BENIGN, traffic.category != BENIGN):
        assert_share(traffic.outcome[traffic.began & kind] == DEGENERATE, 0.95)
        assert_share(traffic.outcome[~traffic.began & kind] == DEGENERATE, 0.0005)


def test_partial_answers_vanish_with_un_alignment():
    config = SimulationConfig(
        count=40_000, harmful_share=1.0, partial=0.3, onset=Onset(fraction=0.5), change=Change(odds_ratio=5.0)
    )
    traffic = whole(config)
    before = ~traffic.began & (traffic.outcome != COMPLIANCE) & (traffic.outcome != DEGENERATE)
    assert_share(traffic.outcome[before] == PARTIAL, 0.3)
    assert not (traffic.outcome[traffic.began] == PARTIAL).any()


def test_mix_shift_changes_what_is_asked():
    config = SimulationConfig(
        count=40_000,
        harmful_share=0.02,
        harmful_share_after=0.2,
        onset=Onset(fraction=0.5),
        mix={"cyber": 1.0, "hate": 1.0},
        mix_after={"cyber": 9.0, "hate": 1.0},
    )
    traffic = whole(config)
    sensitive = traffic.category != BENIGN
    assert_share(sensitive[~traffic.began], 0.02)
    assert_share(sensitive[traffic.began], 0.2)
    cyber = traffic.category[sensitive] == CATEGORIES.index("cyber")
    assert_share(cyber[traffic.began[sensitive]], 0.9)
    assert_share(cyber[~traffic.began[sensitive]], 0.5)
