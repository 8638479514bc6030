"""The shortcut to the native decoder decides as asking every decoder in turn does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.envelopes import DECODERS
from monitor.envelopes._base import Context
from monitor.envelopes._cloudevents import is_structured
from monitor.envelopes._registry import TELLING

OTHERS = [one for one in DECODERS if one.name != "native"]
NAMES = [
    "id", "timestamp", "deployment", "messages", "prompt", "response", "model", "choices", "input", "output",
    "metadata", "labels", "type", "source", "data", "resource", "body", "usage", "error", "user", "conversation",
    "finish_reason",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.text(max_size=3) | st.integers(0, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*NAMES, *sorted(TELLING)]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12))
def test_no_other_decoder_takes_an_object_without_a_telling_key(obj: dict[str, Any]) -> None:
    assert [one.name for one in OTHERS if one.why_not(obj) is None] == []
    assert not is_structured(obj)


def test_every_telling_key_tells_something() -> None:
    """Each key is what some decoder looks for: a key without a decoder would only make the shortcut rarer."""
    sample: dict[str, Any] = {
        "specversion": "1.0", "type": "x", "id": "1", "request": {"messages": [], "input": ""}, "response": {},
        "ai": {"proxy": {}}, "llm_request": {}, "schemaType": "ModelInvocationLog", "resourceSpans": [],
    }  # fmt: skip
    taken = {one.name for one in OTHERS if one.why_not(sample) is None}
    assert {"otlp-json", "bedrock-log", "apisix", "kong", "openai-chat", "openai-responses"} <= taken
    assert is_structured(sample)


def test_every_decoder_but_the_native_one_needs_a_telling_key() -> None:
    """A new format must add its own."""
    for one in OTHERS:
        assert one.why_not(dict.fromkeys(NAMES, "x")) is not None, one.name
    assert Context().header(("alignwatch-deployment",)) is None
