"""Whatever a record holds: exchanges or a DecodeError from the closed set, and never another exception."""

from __future__ import annotations

import json
from typing import Any

from exchanges import native, openai, record
from hypothesis import given, settings
from hypothesis import strategies as st

from alignwatch import Exchange
from monitor.dead_letters import letter_of
from monitor.envelopes import REASONS, DecodeLimits, PartlyDecodedError, decode, explain
from monitor.errors import DecodeError

LIMITS = DecodeLimits(max_bytes=4096, max_exchanges=8)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=12)
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "id", "timestamp", "deployment", "prompt", "messages", "response", "request", "choices", "message", "delta",
        "content", "role", "index", "finish_reason", "labels", "error", "refusal", "created", "text", "parts", "x",
    ]
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=5),
    max_leaves=15,
)
SAMPLES = (native(), native(prompt=..., messages=[{"role": "user", "content": "hi"}]), openai())


def attempt(value: bytes, **fields: Any) -> list[Exchange]:
    one = record(value, **fields)
    try:
        found = decode(one, limits=LIMITS, default_deployment="fallback")
    except DecodeError as error:
        found = error.decoded if isinstance(error, PartlyDecodedError) else []
        reason = letter_of(one, error, full=False).fields["reason"]
        if reason not in REASONS:
            raise AssertionError(f"{reason} is none of the stated reasons") from error
    for exchange in found:
        assert Exchange.model_validate_json(exchange.to_json()).id == exchange.id
    explain(value, limits=LIMITS).render()
    return found


@given(st.binary(max_size=200))
def test_any_bytes(value: bytes) -> None:
    attempt(value)


@given(JSON)
@settings(max_examples=300)
def test_any_json(value: Any) -> None:
    attempt(json.dumps(value).encode())


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in places(one, (*at, key)))]


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(copy[at[0]], at[1:], new)
    return copy


@given(st.data())
@settings(max_examples=300)
def test_a_good_envelope_with_one_value_replaced(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(SAMPLES))
    at = data.draw(st.sampled_from(places(sample)))
    attempt(json.dumps(replaced(sample, at, data.draw(JSON))).encode())


@given(sample=st.sampled_from(SAMPLES), at=st.integers(0, 600), junk=st.binary(min_size=1, max_size=4))
def test_a_good_envelope_with_bytes_overwritten(sample: Any, at: int, junk: bytes) -> None:
    value = json.dumps(sample).encode()
    attempt(value[:at] + junk + value[at + len(junk) :])


@given(st.sampled_from(SAMPLES), st.data())
def test_a_good_envelope_cut_short_is_never_read(sample: Any, data: st.DataObject) -> None:
    value = json.dumps(sample).encode()
    assert attempt(value[: data.draw(st.integers(0, len(value) - 1))]) == []


@given(st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=600)), max_size=4), st.sampled_from(SAMPLES))
def test_any_headers(headers: list[tuple[str, bytes]], sample: Any) -> None:
    assert len(attempt(json.dumps(sample).encode(), headers=tuple(headers))) == 1


@given(st.floats() | st.integers(-(10**30), 10**30) | st.text(max_size=30))
def test_any_timestamp(timestamp: Any) -> None:
    attempt(json.dumps(native(timestamp=timestamp)).encode())


def test_every_sample_is_read_as_it_is() -> None:
    assert [len(attempt(json.dumps(one).encode())) for one in SAMPLES] == [1, 1, 1]
