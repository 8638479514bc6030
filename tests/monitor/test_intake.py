"""From records to labels: what is read, what is left out, and that every loss is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from exchanges import EPOCH, HashLabeller, native, record
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import Label
from monitor.clock import ManualClock
from monitor.dead_letters import DeadLetterConfig, MemoryDeadLetters
from monitor.dedup import SeenIds
from monitor.envelopes import DecodeLimits
from monitor.intake import ExchangeIntake, Guards, IntakeConfig, LabelIntake
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.sampling import Sampler, SamplingConfig
from monitor.service_status import PipelineCounters

DAY = 86_400.0


class Rig:
    """An intake of either kind with twins around it."""

    def __init__(self, *, labels: bool = False, clock: ManualClock | None = None, **config: Any) -> None:
        self.letters = MemoryDeadLetters(DeadLetterConfig(breaker_window=10, breaker_minimum=10))
        self.metrics = Metrics()
        limits = DecodeLimits(max_bytes=4096)
        guards = Guards(IntakeConfig.model_validate(config), limits, SeenIds(3600.0), self.letters, self.metrics, clock)
        self.intake: ExchangeIntake | LabelIntake
        if labels:
            self.intake = LabelIntake(guards)
        else:
            sampler = Sampler(SamplingConfig(), None, ManualClock())
            self.intake = ExchangeIntake(guards, sampler, LabellingStage(HashLabeller()))

    def read(self, *values: Any) -> list[Label]:
        return self.intake.read([record(value, offset) for offset, value in enumerate(values)])

    @property
    def counts(self) -> PipelineCounters:
        return self.metrics.counters()


def test_bad_records_become_dead_letters_and_the_stream_goes_on() -> None:
    rig = Rig()
    labels = rig.read(native(id="a"), b"\x00\xff", b"{", native(id=...), {"x": 1}, b"x" * 5000, native(id="b"))
    assert [label.id for label in labels] == ["a", "b"]
    assert [letter.fields["offset"] for letter in rig.letters.letters] == [1, 2, 3, 4, 5]
    assert [letter.fields["reason"] for letter in rig.letters.letters] == [
        "not-utf8", "not-json", "missing-field", "unknown-envelope", "too-large",
    ]  # fmt: skip
    assert all(letter.body is None for letter in rig.letters.letters)
    assert (rig.counts.received, rig.counts.decoded) == (7, 2)
    assert sum(rig.counts.dead_letters.values()) == 5


def test_the_good_part_of_an_array_is_labelled_and_the_bad_part_is_a_letter() -> None:
    rig = Rig()
    labels = rig.read([native(id="a"), {"x": 1}, native(id="b")])
    assert [label.id for label in labels] == ["a", "b"]
    assert len(rig.letters.letters) == 1
    assert rig.counts.decoded == 2


def test_a_duplicate_within_the_window_is_ignored_and_counted() -> None:
    rig = Rig()
    assert len(rig.read(native(), native())) == 1
    assert rig.read(native()) == []
    assert rig.counts.duplicates == 2
    assert len(rig.read(native(deployment="other"))) == 1
    assert len(rig.read(native(id="r-2", timestamp=EPOCH + 7200), native(timestamp=EPOCH + 7200))) == 2


@pytest.mark.parametrize("labels", [False, True], ids=["exchanges", "labels"])
@pytest.mark.parametrize(("off", "credible"), [(301.0, False), (299.0, True), (-7 * DAY - 1, False), (-6 * DAY, True)])
def test_a_time_too_far_off_is_quarantined_and_counted(labels: bool, off: float, credible: bool) -> None:
    rig = Rig(labels=labels, clock=ManualClock(EPOCH))
    make = label if labels else native
    assert len(rig.read(make(timestamp=EPOCH + off))) == int(credible)
    assert rig.counts.quarantined == int(not credible)
    # What was kept out has not moved the memory of ids either.
    assert len(rig.read(make(id="next", timestamp=EPOCH))) == 1


def test_recorded_traffic_may_be_of_any_age() -> None:
    rig = Rig()
    assert len(rig.read(native(id="old", timestamp=0), native(id="new", timestamp="2199-01-01T00:00:00Z"))) == 2
    assert rig.counts.quarantined == 0


def test_a_default_deployment_is_taken_where_none_is_named() -> None:
    assert Rig(default_deployment="main").read(native(deployment=...))[0].deployment == "main"
    assert Rig().read(native(deployment=...)) == []


def test_most_records_failing_opens_the_breaker_and_good_ones_keep_it_closed() -> None:
    rig = Rig()
    rig.read(*[native(id=f"r-{n}") for n in range(6)], *[b"{"] * 4)
    assert not rig.letters.breaker_open
    rig.read(*[b"{"] * 8)
    assert rig.letters.breaker_open
    assert "8 of the last 10" in rig.letters.breaker_reason or "6 of the last 10" in rig.letters.breaker_reason


def test_what_the_sampler_left_out_is_counted() -> None:
    rig = Rig()
    checks = rig.intake._guards
    sampler = Sampler(SamplingConfig(rate=0.5), None, ManualClock())
    rig.intake = ExchangeIntake(checks, sampler, LabellingStage(HashLabeller()))
    labels = rig.read(*[native(id=f"r-{n}") for n in range(200)])
    assert rig.counts.unsampled == 200 - len(labels)
    assert 50 < len(labels) < 150
    assert {label.weight for label in labels} == {2.0}


def label(**changes: Any) -> dict[str, Any]:
    fields = {
        "id": "r-1",
        "timestamp": EPOCH,
        "deployment": "chat-prod",
        "request": {"harm": 0.9, "category": "cyber"},
        "behaviour": {"refusal": 1, "partial": 0, "compliance": 0},
    }
    return {key: value for key, value in (fields | changes).items() if value is not ...}


def test_labels_are_read_and_what_is_none_says_why() -> None:
    rig = Rig(labels=True)
    bad = [
        b"", b"{", b"\xff", b"[" * 5000, b"x" * 5000,
        label(id=...), label(timestamp="soon"), label(timestamp="0001-01-01T00:00:00+14:00"),
        label(behaviour={"refusal": 1, "partial": 1, "compliance": 1}), label(weight=0), [label()],
        label(request=..., behaviour=...), native(id="exchange"),
    ]  # fmt: skip
    (one,) = rig.read(*bad, label())
    assert one.request is not None
    assert one.request.category == "cyber"
    reasons = [letter.fields["reason"] for letter in rig.letters.letters]
    assert reasons == ["not-a-label"] * 3 + ["too-large"] * 2 + ["not-a-label"] * 8
    assert rig.counts.dead_letters == {"not-a-label": 11, "too-large": 2}


def test_a_label_delivered_twice_counts_once() -> None:
    rig = Rig(labels=True)
    assert len(rig.read(label(), label(), label(id="r-2"))) == 2
    assert rig.counts.duplicates == 1


@given(
    st.lists(
        st.binary(max_size=60)
        | st.fixed_dictionaries({"id": st.text(max_size=3), "timestamp": st.floats() | st.text(max_size=30)}).map(
            lambda fields: json.dumps(label(**fields)).encode()
        ),
        max_size=8,
    )
)
def test_nothing_that_a_labels_topic_holds_raises(values: list[bytes]) -> None:
    rig = Rig(labels=True)
    labels = rig.read(*values)
    counts = rig.counts
    assert len(labels) + counts.duplicates + sum(counts.dead_letters.values()) == len(values)


@given(st.lists(st.binary(max_size=40) | st.integers(0, 5).map(lambda n: json.dumps(native(id=f"r-{n}")).encode())))
def test_every_record_is_accounted_for(values: list[bytes]) -> None:
    rig = Rig()
    labels = rig.read(*values)
    counts = rig.counts
    assert counts.received == len(values)
    assert len(labels) + counts.duplicates + sum(counts.dead_letters.values()) == len(values)
