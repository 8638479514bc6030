"""Every gateway's records, mutated: read or refused with a reason, never another exception, nothing lost uncounted."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from exchanges import native, record
from gateways import (
    anthropic_message,
    anthropic_request,
    apisix,
    bedrock_log,
    chat_chunks,
    chat_request,
    chat_response,
    genai,
    kong,
    kserve_headers,
    litellm,
    log_record,
    logs,
    openinference,
    protobuf,
    responses_body,
    span,
    spans,
    sse,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from alignwatch import Exchange
from monitor.envelopes import (
    REASONS,
    DecodeLimits,
    FieldMap,
    Half,
    JoinBuffer,
    PartlyDecodedError,
    Skipped,
    decode_record,
)
from monitor.errors import DecodeError

MAPPED = FieldMap.model_validate({"name": "m", "when": "$.kind", "messages": "$.chat[0]", "response": "$.out.text"})
LIMITS = DecodeLimits(max_bytes=1 << 16, max_exchanges=16, field_maps=(MAPPED,))
DETAILS = "gen_ai.client.inference.operation.details"
SAMPLES: dict[str, Any] = {
    "litellm": litellm(),
    "apisix": apisix(),
    "kong": kong(),
    "bedrock-log": bedrock_log(),
    "anthropic": {"request": anthropic_request(), "response": anthropic_message(), "deployment": "d"},
    "responses": {"request": {"input": "How?"}, "response": responses_body(), "deployment": "d"},
    "stream": {"request": chat_request(), "response": sse(chat_chunks("Put ", "it in.")), "deployment": "d"},
    "chunks": {"request": chat_request(), "response": chat_chunks("Put ", "it in."), "deployment": "d"},
    "genai": spans(span(genai()), span({"http.method": "GET"})),
    "openinference": spans(span(openinference())),
    "events": logs(log_record(DETAILS, genai()), log_record("gen_ai.choice", {}, {"message": {"content": "So."}})),
    "cloudevent": {"specversion": "1.0", "type": "x", "id": "e", "data": native()},
    "half": {"specversion": "1.0", "type": "a.inference.request", "id": "e", "data": chat_request()},
    "field-map": {"kind": "x", "chat": [[{"role": "user", "content": "How?"}]], "out": {"text": "So."}},
}
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, 2**70, "", "x", "[", "{}", '{"a": [', "data: {}", "\ud83d", "\u2028", [], [[]], {},
    {"": {}}, {"text": 7}, {"type": 7}, [None], ["x", 1], {"content": None}, {"messages": 3},
    {"stringValue": 3}, {"arrayValue": []},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, below in inner:
        found += places(below, (*path, key))
    return found


def mutated(sample: Any, seed: int) -> Any:
    """The sample with one to three places removed, replaced, doubled or renamed."""
    dice = random.Random(seed)
    value = copy.deepcopy(sample)
    for _ in range(dice.randint(1, 3)):
        spots = places(value)
        if not spots:
            break
        *above, last = dice.choice(spots)
        owner = value
        for step in above:
            owner = owner[step]
        change = dice.randrange(4)
        if change == 0:
            del owner[last]
        elif change == 1 and isinstance(owner, dict):
            owner[dice.choice(["x", "role", "type", "content", str(last).upper()])] = owner.pop(last)
        elif change == 2 and isinstance(owner[last], str) and owner[last]:
            cut = dice.randrange(len(owner[last]))
            owner[last] = owner[last][:cut] + dice.choice(["", "\\", '"', "\x00", "data:"])
        else:
            owner[last] = copy.deepcopy(dice.choice(ODD))
    return value


def check(error: DecodeError) -> None:
    assert error.reason in REASONS
    assert len(error.detail) < 2_000


def attempt(value: bytes, **fields: Any) -> list[Any]:
    one = record(value, **fields)
    try:
        found = list(decode_record(one, limits=LIMITS, default_deployment="fallback"))
    except DecodeError as error:
        check(error)
        found = list(error.decoded) if isinstance(error, PartlyDecodedError) else []
    else:
        # A batch of signals may be empty; anything else holds something, or says what it held.
        assert found or b"resource" in value or value[:1] == b"\n"
    for item in found:
        assert isinstance(item, Exchange | Half | Skipped)
    return found


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_themselves_are_read(name: str) -> None:
    found = attempt(dumped(SAMPLES[name]), timestamp=0.0)
    assert any(isinstance(one, Exchange | Half) for one in found)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_mutated_record_is_read_or_refused(name: str, seed: int) -> None:
    attempt(dumped(mutated(SAMPLES[name], seed)), timestamp=0.0)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 400), noise=st.binary(max_size=6))
def test_mutated_protobuf_is_read_or_refused(seed: int, cut: int, noise: bytes) -> None:
    value = PROTOBUF[seed % len(PROTOBUF)]
    position = cut % len(value)
    attempt(value[:position] + noise + value[position + seed % 4 :], timestamp=0.0)


@settings(max_examples=80, deadline=None)
@given(body=st.binary(max_size=200), side=st.sampled_from(["request", "response"]))
def test_halves_of_any_bytes_join_or_are_refused(body: bytes, side: str) -> None:
    joins = JoinBuffer(LIMITS, seconds=60.0, capacity=4, max_bytes=1 << 16)
    good = {"request": dumped(chat_request()), "response": dumped(chat_response())}
    done = []
    for this in ("request", "response"):
        content = body if this == side else good[this]
        one = record(content, headers=kserve_headers(this))
        (half,) = decode_record(one, limits=LIMITS, default_deployment=None)
        assert isinstance(half, Half)
        try:
            done += joins.add(half, one, 0.0)
        except DecodeError as error:
            check(error)
            done.append(error)
    assert len(done) == 1
    assert len(joins) == 0


PROTOBUF = [protobuf(SAMPLES[name]) for name in ("genai", "openinference", "events")]
