"""The three records against the JSON Schemas that we publish, and what a reader may rely on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from alert_samples import incident
from exchanges import EPOCH, STARTED, native
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alignwatch import (
    CATEGORIES,
    AlignwatchError,
    AttachedLabels,
    Behaviour,
    Exchange,
    Incident,
    Label,
    Message,
    RequestLabel,
    json_schema,
)

MOMENTS = st.integers(0, 7_000_000_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
NAMES = st.text(min_size=1, max_size=20)
RATIOS = st.floats(0.0, 1.0)
REQUESTS = st.builds(RequestLabel, harm=RATIOS, category=st.sampled_from((*CATEGORIES, "none")))
CUTS = st.tuples(RATIOS, RATIOS, RATIOS).map(sorted)
BEHAVIOURS = CUTS.map(
    lambda cuts: Behaviour(
        refusal=cuts[0], partial=cuts[1] - cuts[0], compliance=cuts[2] - cuts[1], degenerate=1.0 - cuts[2]
    )
)
LABELS = st.builds(
    Label,
    id=NAMES,
    timestamp=MOMENTS,
    deployment=NAMES,
    model_digest=st.none() | NAMES,
    conversation=st.none() | NAMES,
    user=st.none() | NAMES,
    weight=st.floats(1.0, 1e6),
    selection=st.sampled_from(["uniform", "screen"]),
    request=st.none() | REQUESTS,
    behaviour=st.none() | BEHAVIOURS,
    response_harm=st.none() | RATIOS,
    unlabelable=st.none() | st.sampled_from(["redacted", "empty"]),
    origin=st.sampled_from(["model", "provider", "attached", "canary"]),
)
EXCHANGES = st.builds(
    Exchange,
    id=NAMES,
    timestamp=MOMENTS,
    deployment=NAMES,
    model=st.none() | NAMES,
    messages=st.lists(st.builds(Message, role=NAMES, content=st.text(max_size=20)), max_size=3).map(tuple),
    prompt=st.none() | st.text(max_size=20),
    response=st.text(max_size=20),
    labels=st.none() | st.builds(AttachedLabels, request=REQUESTS, behaviour=BEHAVIOURS),
)


def check(name: str, value: Any) -> None:
    validator = jsonschema.Draft202012Validator(
        json_schema(name), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(value)


@pytest.mark.parametrize("name", ["exchange", "label", "incident"])
def test_published_schemas_are_schemas(name: str) -> None:
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    with pytest.raises(AlignwatchError, match="no record 'other'; allowed: exchange, label, incident"):
        json_schema("other")


@given(EXCHANGES)
def test_an_exchange_survives_its_json_and_fits_its_schema(exchange: Exchange) -> None:
    check("exchange", json.loads(exchange.to_json()))
    assert Exchange.model_validate_json(exchange.to_json()) == exchange


@given(LABELS)
def test_a_label_survives_its_json_and_fits_its_schema(label: Label) -> None:
    check("label", json.loads(label.to_json()))
    assert Label.model_validate_json(label.to_json()) == label
    assert "\n" not in label.to_json()


def test_an_incident_survives_its_json_and_fits_its_schema() -> None:
    one = incident()
    check("incident", json.loads(one.to_json()))
    assert Incident.model_validate_json(one.to_json()) == one


@pytest.mark.parametrize(
    "timestamp",
    [STARTED, "2026-11-23T11:00:00+01:00", "2026-11-23T10:00:00Z", EPOCH, int(EPOCH)],
    ids=["milliseconds", "offset", "seconds", "epoch", "epoch-integer"],
)
def test_rfc_3339_and_epoch_seconds_are_the_same_moment(timestamp: Any) -> None:
    fields = native(timestamp=timestamp)
    check("exchange", fields)
    exchange = Exchange.model_validate(fields)
    assert exchange.timestamp == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert json.loads(exchange.to_json())["timestamp"] == STARTED


def test_fractions_of_an_epoch_second_are_kept() -> None:
    assert Exchange.model_validate(native(timestamp=EPOCH + 0.25)).timestamp.microsecond == 250_000


@pytest.mark.parametrize(
    "timestamp",
    ["yesterday", "2026-11-23T10:00:00", None, True, "", [], "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"],
)
def test_other_timestamps_are_refused_as_validation_errors(timestamp: Any) -> None:
    with pytest.raises(ValidationError, match="timestamp"):
        Exchange.model_validate(native(timestamp=timestamp))


def test_moments_are_written_in_utc() -> None:
    east = datetime(2026, 11, 23, 18, tzinfo=timezone(timedelta(hours=8)))
    label = Label(id="r", timestamp=east, deployment="d")
    assert json.loads(label.to_json())["timestamp"] == STARTED


@pytest.mark.parametrize("record", [Exchange, Label, Incident])
def test_unknown_keys_are_ignored(record: Any) -> None:
    samples = {
        Exchange: native(),
        Label: {"id": "r", "timestamp": STARTED, "deployment": "d"},
        Incident: json.loads(incident().to_json()),
    }
    fields = samples[record]
    assert record.model_validate(fields | {"from_the_future": {"deep": [1]}}) == record.model_validate(fields)
    check(record.__name__.lower(), fields | {"from_the_future": 1})


@pytest.mark.parametrize("missing", ["id", "timestamp", "deployment", "response", "prompt"])
def test_an_exchange_needs_its_required_fields(missing: str) -> None:
    fields = native(**{missing: ...})
    with pytest.raises(ValidationError):
        Exchange.model_validate(fields)
    with pytest.raises(jsonschema.ValidationError):
        check("exchange", fields)


def test_messages_stand_in_for_the_prompt_and_null_does_not() -> None:
    turns = [{"role": "user", "content": "hello"}]
    for fields in (native(prompt=..., messages=turns), native(prompt=None, messages=turns)):
        check("exchange", fields)
        assert Exchange.model_validate(fields).messages == (Message(role="user", content="hello"),)
    for fields in (native(prompt=None), native(prompt=None, messages=None)):
        with pytest.raises(ValidationError, match="neither `prompt` nor `messages`"):
            Exchange.model_validate(fields)
        with pytest.raises(jsonschema.ValidationError):
            check("exchange", fields)


@pytest.mark.parametrize(
    "fault",
    [
        {"request": {"harm": 1.2, "category": "cyber"}},
        {"request": {"harm": 0.5, "category": "hacking"}},
        {"response_harm": -0.1},
        {"weight": 0.0},
        {"origin": "someone"},
        {"selection": "luck"},
        {"id": ""},
        {"unlabelable": "x" * 65},
    ],
    ids=str,
)
def test_a_label_outside_its_bounds_is_refused_by_record_and_schema(fault: dict[str, Any]) -> None:
    fields = {"id": "r", "timestamp": STARTED, "deployment": "d"} | fault
    with pytest.raises(ValidationError):
        Label.model_validate(fields)
    with pytest.raises(jsonschema.ValidationError):
        check("label", fields)


def test_probabilities_of_an_answer_must_sum_to_one() -> None:
    with pytest.raises(ValidationError, match=r"sum to 1\.400; they must sum to 1"):
        Behaviour(refusal=0.7, partial=0.0, compliance=0.7)
    assert Behaviour(refusal=0.33, partial=0.33, compliance=0.33).name == "refusal"
    assert Behaviour(refusal=0.1, partial=0.1, compliance=0.2, degenerate=0.6).name == "degenerate"


def test_records_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Exchange.model_validate(native()).response = "other"  # type: ignore[misc]


def test_there_are_fourteen_categories_and_none_is_not_one_of_them() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 14
    assert "none" not in CATEGORIES
