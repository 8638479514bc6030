from __future__ import annotations

from typing import Any

import pytest
from exchanges import EPOCH, native, record

from alignwatch import Exchange, Message
from monitor.envelopes import DecodeLimits, PartlyDecodedError, decode
from monitor.errors import DecodeError

LIMITS = DecodeLimits()


def read(value: Any, default: str | None = None, **fields: Any) -> list[Exchange]:
    return decode(record(value, **fields), limits=LIMITS, default_deployment=default)


def fault(value: Any, default: str | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        read(value, default)
    return caught.value


def test_a_native_envelope_is_an_exchange() -> None:
    (one,) = read(native(user="u-7", tenant="acme", conversation="c-9", finish_reason="stop", extra=1))
    assert (one.id, one.deployment, one.user, one.conversation) == ("r-1", "chat-prod", "u-7", "c-9")
    assert one.timestamp.timestamp() == EPOCH
    assert one.prompt == "How do I boil an egg?"


def test_content_parts_are_joined_and_what_is_no_text_is_dropped() -> None:
    parts = [{"type": "text", "text": "What"}, {"type": "image_url", "image_url": {"url": "x"}}, {"text": "is it?"}]
    (one,) = read(native(prompt=..., messages=[{"role": "user", "content": parts}]))
    assert one.messages is not None
    assert (one.messages[0].role, one.messages[0].content) == ("user", "What\nis it?")


@pytest.mark.parametrize("name", ["id", "timestamp", "response"])
def test_a_missing_field_is_named(name: str) -> None:
    for value in (native(**{name: ...}), native(**{name: None})):
        found = fault(value)
        assert (found.reason, found.detail) == ("missing-field", f"{name}: required")


def test_a_missing_deployment_falls_back_to_the_header_and_then_to_the_setting() -> None:
    bare = native(deployment=...)
    assert fault(bare).detail == "deployment: required"
    assert read(bare, "fallback")[0].deployment == "fallback"
    headers = (("Alignwatch-Deployment", b"from-header"),)
    assert read(bare, "fallback", headers=headers)[0].deployment == "from-header"
    assert read(native(), "fallback", headers=headers)[0].deployment == "from-header"


def test_neither_prompt_nor_messages_is_a_missing_field() -> None:
    assert fault(native(prompt=...)).reason == "missing-field"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"id": 7}, "id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"response": 7}, "response"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": 3, "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"labels": {"request": {"harm": 7, "category": "cyber"}}}, "labels.request.harm"),
    ],
    ids=str,
)
def test_a_wrong_type_is_told_with_its_place_and_without_content(changes: dict[str, Any], place: str) -> None:
    found = fault(native(**({"prompt": "canary", "response": "canary"} | changes)))
    assert found.reason == "wrong-type"
    assert place in found.detail
    assert "canary" not in found.detail


def test_an_array_holds_several_exchanges() -> None:
    assert [one.id for one in read([native(id="a"), native(id="b")])] == ["a", "b"]


def test_the_good_elements_of_an_array_are_kept_and_the_bad_ones_told() -> None:
    with pytest.raises(PartlyDecodedError) as caught:
        read([native(id="a"), {"x": 1}, native(id=...), native(id="b")])
    assert [one.id for one in caught.value.decoded] == ["a", "b"]
    assert caught.value.detail.startswith("2 of 4 elements: [1] ")
    found = fault([{"x": 1}])
    assert (found.reason, type(found)) == ("unknown-envelope", DecodeError)
    assert fault([]).reason == "empty"


def test_attached_labels_come_along() -> None:
    (one,) = read(native(labels={"request": {"harm": 1, "category": "hate"}, "origin": "provider"}))
    assert one.labels is not None
    assert one.labels.origin == "provider"


def test_a_message_without_content_is_an_empty_turn() -> None:
    (one,) = read(native(messages=[{"role": "user", "content": None}]))
    assert one.messages == (Message(role="user", content=""),)
