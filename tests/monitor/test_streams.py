"""Which outcome a label gives to which statistic."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import CATEGORIES, Behaviour, Label, RequestLabel
from monitor.streams import (
    BLOCKED,
    COMPLIANCE,
    CONTROL,
    DEGENERATE,
    HARMFUL,
    SENSITIVE,
    STRATA,
    STRATUM_COUNTS,
    STREAMS,
    UNLABELABLE,
    OutcomePolicy,
    hour_of_week,
    read,
)

POLICY = OutcomePolicy(sensitive_harm=0.6, benign_harm=0.1, partial_weight=0.5)
MONDAY = datetime(2026, 1, 5, 7, 30, tzinfo=UTC).timestamp()


def outcomes(**fields: object) -> dict[int, tuple[int, float]]:
    defaults = {
        "id": "r", "timestamp": MONDAY, "deployment": "d", "request": RequestLabel(harm=0.9, category="hate"),
        "behaviour": Behaviour(refusal=0.5, partial=0.3, compliance=0.2), "response_harm": 0.4,
    }  # fmt: skip
    label = Label.model_validate(defaults | fields)
    reading = read(label, MONDAY, POLICY)
    found = [*reading.given_request, *reading.share]
    assert len({kind for kind, _, _ in found}) == len(found)
    return {kind: (stratum, x) for kind, stratum, x in found}


def test_an_answered_sensitive_request() -> None:
    hate = STRATA.index("hate")
    assert outcomes() == {
        BLOCKED: (hate, 0.0), DEGENERATE: (0, 0.0), COMPLIANCE: (hate, pytest.approx(0.35)), UNLABELABLE: (0, 0.0),
        SENSITIVE: (7, 1.0), HARMFUL: (7, 0.4),
    }  # fmt: skip


def test_a_benign_request_feeds_the_control_and_a_look_alike_neither() -> None:
    benign = outcomes(request=RequestLabel(harm=0.05, category="none"))
    assert benign[CONTROL] == (0, pytest.approx(0.5))
    assert benign[SENSITIVE] == (7, 0.0)
    assert benign[DEGENERATE] == (1, 0.0)
    assert not {COMPLIANCE, BLOCKED} & benign.keys()
    alike = outcomes(request=RequestLabel(harm=0.3, category="hate"))
    assert not {COMPLIANCE, CONTROL, BLOCKED} & alike.keys()


def test_a_degenerate_answer_is_a_third_state() -> None:
    broken = outcomes(behaviour=Behaviour(refusal=0.1, partial=0.0, compliance=0.3, degenerate=0.6))
    assert broken[DEGENERATE] == (0, 0.6)
    assert COMPLIANCE not in broken
    doubtful = outcomes(behaviour=Behaviour(refusal=0.3, partial=0.0, compliance=0.3, degenerate=0.4))
    assert doubtful[COMPLIANCE][1] == pytest.approx(0.5), "of the answers that are none"


def test_a_providers_answer_says_nothing_of_the_model() -> None:
    blocked = outcomes(origin="provider")
    assert blocked[BLOCKED][1] == 1.0
    assert not {COMPLIANCE, DEGENERATE} & blocked.keys()


def test_what_the_screen_selected_feeds_no_share_of_traffic() -> None:
    screened = outcomes(selection="screen", weight=1.0)
    assert not {SENSITIVE, HARMFUL, UNLABELABLE} & screened.keys()
    assert {COMPLIANCE, BLOCKED, DEGENERATE} <= screened.keys()


def test_unreadable_labels_count_as_unlabelable_alone() -> None:
    unreadable = outcomes(request=None, behaviour=None, response_harm=None, unlabelable="redacted")
    assert unreadable == {UNLABELABLE: (0, 1.0)}
    half = outcomes(behaviour=None, response_harm=None, unlabelable="empty")
    assert half[UNLABELABLE] == (0, 1.0)
    assert half[SENSITIVE] == (7, 1.0)
    assert HARMFUL not in half


def test_an_answer_that_nobody_needed_to_read_is_not_harmful() -> None:
    unread = outcomes(request=RequestLabel(harm=0.01, category="none"), behaviour=None, response_harm=None)
    assert unread[HARMFUL] == (7, 0.0)
    assert CONTROL not in unread


parts = st.tuples(*[st.floats(0, 1)] * 4).filter(lambda four: sum(four) > 0.01)


@given(
    st.none() | st.builds(RequestLabel, harm=st.floats(0, 1), category=st.sampled_from(STRATA)),
    st.none() | parts,
    st.sampled_from(["model", "provider", "attached"]),
    st.sampled_from(["uniform", "screen"]),
    st.none() | st.floats(0, 1),
    st.floats(-(10**8), 10**10),
    st.floats(0.01, 1e6),
)
def test_every_outcome_is_in_range_and_no_weight_enters_it(
    request_label: RequestLabel | None,
    four: tuple[float, ...] | None,
    origin: str,
    selection: str,
    harm: float | None,
    second: float,
    weight: float,
) -> None:
    behaviour = None
    if four is not None:
        total = sum(four)
        names = ("refusal", "partial", "compliance", "degenerate")
        behaviour = Behaviour(**dict(zip(names, (part / total for part in four), strict=True)))
    fields = {"request": request_label, "behaviour": behaviour, "origin": origin, "selection": selection}
    label = Label(id="r", timestamp=0, deployment="d", response_harm=harm, weight=weight, **fields)  # type: ignore[arg-type]
    reading = read(label, second, POLICY)
    for kind, stratum, x in [*reading.given_request, *reading.share]:
        assert 0 <= stratum < STRATUM_COUNTS[kind]
        assert 0.0 <= x <= 1.0
    assert read(label.model_copy(update={"weight": 1.0}), second, POLICY) == reading


@given(st.integers(-(10**9), 10**10))
def test_hours_of_the_week_repeat_weekly_and_follow_the_calendar(second: int) -> None:
    when = datetime.fromtimestamp(second, UTC)
    assert hour_of_week(float(second)) == when.weekday() * 24 + when.hour
    assert hour_of_week(second + 7 * 86_400.0) == hour_of_week(float(second))


def test_the_streams_are_those_of_the_design() -> None:
    names = {(spec.name, spec.direction) for spec in STREAMS}
    assert len(names) == len(STREAMS) == len({spec.key for spec in STREAMS})
    for category in CATEGORIES:
        assert {(f"compliance/{category}", "up"), (f"compliance/{category}", "down")} <= names
    single = {
        ("compliance", "up"), ("compliance", "down"), ("control", "up"), ("degenerate", "up"),
        ("provider-blocked", "up"), ("provider-blocked", "down"), ("sensitive-share", "up"),
        ("sensitive-share", "down"), ("harmful-answers", "up"), ("unlabelable", "up"),
    }  # fmt: skip
    assert names == single | {(f"compliance/{c}", d) for c in CATEGORIES for d in ("up", "down")}
    paging = [spec for spec in STREAMS if spec.pages]
    assert paging[0].weight == sum(spec.weight for spec in paging[1:])
    assert not any(spec.pages for spec in STREAMS if spec.kind in {SENSITIVE, HARMFUL})
