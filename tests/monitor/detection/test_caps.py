"""Caps on conversations and users: what they let through, what they count, and that they bound their memory."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from detection_scenes import CONFIG, NAME, baseline_of, live, story
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import CATEGORIES, Behaviour, Label, RequestLabel
from monitor.detection.caps import Caps, admitted, key_of
from monitor.engine import Engine
from monitor.simulation import Change, Onset, Users, simulate_labels
from monitor.streams import BLOCKED, COMPLIANCE, DEGENERATE, SENSITIVE, OutcomePolicy, read

POLICY = OutcomePolicy(conversation_window_seconds=100, user_window_seconds=100, user_cap=3)
REFUSES = Behaviour(refusal=1.0, partial=0.0, compliance=0.0)
COMPLIES = Behaviour(refusal=0.0, partial=0.0, compliance=1.0)


def label(seconds: float, **fields: object) -> Label:
    defaults = {
        "id": "r", "timestamp": datetime.fromtimestamp(seconds, UTC), "deployment": "d",
        "request": RequestLabel(harm=0.9, category="cyber"), "behaviour": REFUSES, "response_harm": 0.1,
    }  # fmt: skip
    return Label.model_validate(defaults | fields)


def kinds(caps: Caps, one: Label, counts: Counter[str] | None = None) -> set[int]:
    at = one.timestamp.timestamp()
    found = admitted(caps, one, at, read(one, at, POLICY), Counter() if counts is None else counts)
    return {kind for kind, _, _ in found}


def test_a_conversation_counts_once_a_category_and_window() -> None:
    caps, counts = Caps(POLICY), Counter[str]()
    assert COMPLIANCE in kinds(caps, label(0, conversation="c"), counts)
    assert COMPLIANCE not in kinds(caps, label(50, conversation="c"), counts)
    assert COMPLIANCE in kinds(
        caps, label(60, conversation="c", request=RequestLabel(harm=0.9, category="hate")), counts
    )
    assert COMPLIANCE in kinds(caps, label(70, conversation="other"), counts)
    assert COMPLIANCE in kinds(caps, label(101, conversation="c"), counts)
    assert counts == {"conversation": 1, "share-conversation": 2}


def test_a_user_counts_so_many_times_a_window_and_benign_requests_use_nothing_up() -> None:
    caps, counts = Caps(POLICY), Counter[str]()
    benign = RequestLabel(harm=0.01, category="none")
    for second in range(3):
        assert DEGENERATE in kinds(caps, label(second, user="u", request=benign), counts)
    assert DEGENERATE not in kinds(caps, label(3, user="u", request=benign), counts)
    for second in range(4, 7):
        assert {COMPLIANCE, BLOCKED} <= kinds(caps, label(second, user="u"), counts)
    assert kinds(caps, label(8, user="u"), counts) == set()
    assert {COMPLIANCE, SENSITIVE} <= kinds(caps, label(9, user="v"), counts)
    assert COMPLIANCE in kinds(caps, label(150, user="u"), counts)
    assert counts == {"user": 2, "share-user": 5}


def test_labels_without_a_name_are_not_capped() -> None:
    caps = Caps(POLICY)
    assert all(COMPLIANCE in kinds(caps, label(second)) for second in range(20))
    assert len(caps) == 0


people = st.sampled_from(["a", "b", "c", None])
calls = st.lists(
    st.tuples(st.integers(0, 400), people, people, st.sampled_from(CATEGORIES[:3]), st.booleans(), st.booleans()),
    max_size=60,
)


@given(calls)
def test_the_answer_decides_nothing_and_no_window_holds_more_than_the_cap(made: list[tuple]) -> None:
    one, other, counts = Caps(POLICY), Caps(POLICY), Counter[str]()
    taken: list[tuple[int, str | None, str | None, str]] = []
    for second, conversation, user, category, complies, also in sorted(made, key=lambda item: item[0]):
        fields = {"conversation": conversation, "user": user, "request": RequestLabel(harm=0.9, category=category)}
        through = kinds(one, label(second, **fields, behaviour=COMPLIES if complies else REFUSES), counts)
        assert through == kinds(other, label(second, **fields, behaviour=COMPLIES if also else REFUSES))
        if COMPLIANCE in through:
            taken.append((second, conversation, user, category))
    assert counts["conversation"] + counts["user"] + len(taken) == len(made)
    for second, conversation, _, category in taken:
        recent = [item for item in taken if second - 100 < item[0] <= second]
        if conversation is not None:
            assert sum((c, k) == (conversation, category) for _, c, _, k in recent) == 1
    for start in range(0, 400, 100):
        for name in ("a", "b", "c"):
            held = [item for item in taken if item[2] == name and start <= item[0] < start + 100]
            assert len(held) <= 2 * POLICY.user_cap, "two windows at most touch any stretch of a window's length"


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    caps = Caps(POLICY, entries=10)
    for second in range(50):
        kinds(caps, label(second, conversation=f"c{second}", user=f"u{second}"))
    assert len(caps) == 20
    assert COMPLIANCE in kinds(caps, label(51, conversation="c0", user="u0"))
    assert COMPLIANCE not in kinds(caps, label(52, conversation="c49", user="u49"))
    caps.forget_before(1_000)
    assert len(caps) == 0


@given(calls, st.integers(0, 60))
def test_saved_caps_go_on_as_if_never_saved(made: list[tuple], cut: int) -> None:
    whole, first = Caps(POLICY), Caps(POLICY)
    labels = [
        label(second, conversation=c, user=u, request=RequestLabel(harm=0.9, category=k))
        for second, c, u, k, _, _ in made
    ]
    expected = [kinds(whole, one) for one in labels]
    got = [kinds(first, one) for one in labels[:cut]]
    second_half = Caps(POLICY)
    second_half.load(first.dump())
    assert got + [kinds(second_half, one) for one in labels[cut:]] == expected
    assert second_half.dump() == whole.dump()


def test_keys_are_stable_and_hold_no_name() -> None:
    assert key_of("user-1") == key_of("user-1") != key_of("user-2")
    assert key_of("\ud800") < 2**64
    caps = Caps(POLICY)
    kinds(caps, label(0, conversation="conversation-of-ada", user="ada"))
    assert "ada" not in "".join(caps.dump())


def test_one_noisy_user_pages_nobody_and_is_counted() -> None:
    for seed in range(3):
        noisy = live(onset=Onset(fraction=0.3), users=Users(noisy_share=0.1, noisy_compliance=0.9), seed=seed)
        engine = Engine(CONFIG, {NAME: baseline_of(noisy)})
        told = engine.process(list(simulate_labels(noisy)))
        assert {(one.verdict, one.severity) for one in told} <= {("jailbreak-campaign", "warning")}
        assert engine.status()[0].capped["user"] > 300


def test_without_caps_the_same_user_would_page() -> None:
    noisy = live(onset=Onset(fraction=0.3), users=Users(noisy_share=0.1, noisy_compliance=0.9))
    uncapped = CONFIG.model_copy(
        update={"conversation_window_seconds": 1e-3, "user_window_seconds": 1e-3, "user_cap": 10**9}
    )
    found = story(simulate_labels(noisy), baseline_of(noisy, detection=uncapped), uncapped)
    assert found.told[0].severity in {"critical", "error", "warning"}
    assert found.told[0].labels_since_onset > 0
    quick = story(simulate_labels(noisy), baseline_of(noisy), CONFIG)
    assert not quick.told or quick.told[0].detected_at > found.told[0].detected_at


def test_repeats_within_sessions_are_not_taken_for_evidence() -> None:
    chatty = live(users=Users(turns=6, correlation=0.9), count=8_000, seed=3)
    assert not story(simulate_labels(chatty), baseline_of(chatty)).paged
    real = chatty.model_copy(update={"onset": Onset(fraction=0.4), "change": Change(odds_ratio=10)})
    assert story(simulate_labels(real), baseline_of(chatty)).paged == {"unalignment"}
