"""Bytes that are no exchange, one by one: what DESIGN-level promises say about hostile or broken records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from exchanges import native, record

from monitor.envelopes import DecodeLimits, decode, explain
from monitor.errors import DecodeError

LIMITS = DecodeLimits()
GOOD = json.dumps(native()).encode()


def nested(depth: int, left: str = "[", right: str = "]") -> bytes:
    return json.dumps(native()).replace('"r-1"', '"r-1", "x": ' + left * depth + right * depth).encode()


def fault(value: bytes, limits: DecodeLimits = LIMITS) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(record(value), limits=limits, default_deployment=None)
    return caught.value


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"", "empty", "no bytes but white space"),
        (b" \n\t", "empty", "no bytes but white space"),
        (b"not json", "not-json", "character 0"),
        (GOOD[:-1], "not-json", "character"),
        (GOOD + b"{}", "not-json", "character"),
        (b"\x80\x81\x82", "not-utf8", "byte 0"),
        (b'{"id": "\xff"}', "not-utf8", "byte 8"),
        (b"\x00\x00\x00\x00\x07\x02r-1", "not-json", "character 0"),
        (b"[" * 100_000, "too-deep", "deeper"),
        (b'{"a":' * 100_000, "too-deep", "deeper"),
        (nested(80), "too-deep", "deeper than 64"),
        (GOOD.replace(b'"r-1"', b"NaN"), "not-finite", "NaN"),
        (GOOD.replace(b'"r-1"', b"1e999"), "not-finite", "double precision"),
        (GOOD.replace(b'"r-1"', b"1" * 5000), "not-json", "digits"),
        (GOOD.replace(b'"r-1"', b'"a", "id": "b"'), "duplicate-key", "twice"),
        (b"7", "unknown-envelope", "none of the known shapes"),
        (b'"text"', "unknown-envelope", "none of the known shapes"),
        (b"null", "unknown-envelope", "none of the known shapes"),
        (b'{"hello": "world"}', "unknown-envelope", "none of the known shapes"),
        (b"[]", "empty", "array without elements"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_exchange_says_why(value: bytes, reason: str, detail: str) -> None:
    found = fault(value)
    assert found.reason == reason
    assert detail in found.detail


def test_a_record_beyond_the_size_limit_is_not_parsed() -> None:
    found = fault(native_of(2000), DecodeLimits(max_bytes=1024))
    assert found.reason == "too-large"
    assert found.detail.endswith("at most 1024 are allowed")
    assert decode(record(native_of(2000)), limits=LIMITS, default_deployment=None)


def native_of(length: int) -> bytes:
    return json.dumps(native(response="x" * length)).encode()


def test_an_array_beyond_its_limit_is_refused_whole() -> None:
    found = fault(json.dumps([native()] * 11).encode(), DecodeLimits(max_exchanges=10))
    assert (found.reason, found.detail) == ("too-many", "an array of 11 elements; at most 10 are allowed")


def test_nesting_up_to_the_limit_is_read() -> None:
    assert decode(record(nested(31)), limits=LIMITS, default_deployment=None)
    assert decode(record(nested(70)), limits=DecodeLimits(max_depth=90), default_deployment=None)


def test_brackets_inside_texts_are_no_nesting() -> None:
    assert decode(record(native(response="[" * 500)), limits=LIMITS, default_deployment=None)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert decode(record(b"\xef\xbb\xbf" + GOOD), limits=LIMITS, default_deployment=None)


def test_a_stream_cut_inside_an_emoji_costs_one_character() -> None:
    value = GOOD.replace(b"eight minutes", b"\\ud83d")
    (one,) = decode(record(value), limits=LIMITS, default_deployment=None)
    assert one.response == "Put it in boiling water for �."


@pytest.mark.parametrize(
    "value",
    [GOOD, b"\xff", b"{", json.dumps({"messages": [{"role": "u", "content": "canary"}]}).encode(), b"[]", b"[{}, 3]"],
    ids=["good", "binary", "broken", "unknown", "empty-array", "mixed-array"],
)
def test_inspection_explains_any_record_without_its_text(value: bytes) -> None:
    found = explain(value)
    told = found.render() + json.dumps(found.as_dict())
    assert "canary" not in told
    assert "boil" not in told
    assert bool(found.problems) == (value != GOOD)


def test_inspection_says_what_each_decoder_misses() -> None:
    found = explain(json.dumps({"hello": "world", "nested": {"a": [1, 2]}}).encode())
    assert found.decoder is None
    assert found.seen == {
        "hello": "a string of 5 characters",
        "nested": "an object of 1",
        "nested.a": "an array of 2",
    }
    assert "needs request.messages" in found.rejected["openai-chat"]
    assert "none of them" in found.rejected["native"]


def test_inspection_names_the_decoder_and_the_fields() -> None:
    found = explain(GOOD)
    assert found.decoder == "native"
    assert found.exchanges[0]["prompt"] == "21 characters"
    assert found.exchanges[0]["deployment"] == "chat-prod"


def test_limits_are_bounded_themselves() -> None:
    bad: list[dict[str, Any]] = [{"max_bytes": 0}, {"max_depth": 1000}, {"max_exchanges": 0}, {"other": 1}]
    for one in bad:
        with pytest.raises(ValueError, match=next(iter(one))):
            DecodeLimits.model_validate(one)
