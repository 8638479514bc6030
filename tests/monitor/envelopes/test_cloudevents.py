from __future__ import annotations

import base64
import json

import pytest
from cloudevents.v1.http import CloudEvent
from cloudevents.v1.kafka import to_binary, to_structured
from decoding import fault, found, half, only
from exchanges import EPOCH, native, record
from gateways import ASKED, SAID, chat_chunks, chat_request, chat_response, kserve_headers, sse

from monitor.envelopes import DecodeLimits, JoinBuffer
from monitor.errors import DecodeError

REQUEST, RESPONSE = json.dumps(chat_request()).encode(), json.dumps(chat_response()).encode()


def buffer(**bounds):
    return JoinBuffer(DecodeLimits(), **({"seconds": 60.0, "capacity": 10, "max_bytes": 1 << 20} | bounds))


def add(joins, body, side, now=0.0, offset=0, **headers):
    one = record(body, offset, headers=kserve_headers(side, **headers))
    return joins.add(half(body, headers=one.headers), one, now)


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_halves_are_joined_by_id_in_either_order(order):
    bodies = {"request": REQUEST, "response": RESPONSE}
    joins = buffer()
    assert add(joins, bodies[order[0]], order[0]) == []
    (one,) = add(joins, bodies[order[1]], order[1])
    assert (one.id, one.deployment, one.response, one.finish) == ("r-1", "default/llama", SAID, "natural")
    assert one.timestamp.timestamp() == EPOCH
    assert one.messages[-1].content == ASKED
    assert (len(joins), joins.held()) == (0, {})


def test_a_canary_is_a_deployment_of_its_own():
    joins = buffer()
    add(joins, REQUEST, "request", endpoint="canary")
    assert add(joins, RESPONSE, "response") == [], "the same id at another endpoint is another call"
    (one,) = add(joins, RESPONSE, "response", endpoint="canary")
    assert one.deployment == "default/llama/canary"


def test_a_streamed_response_is_an_event_stream_under_a_json_content_type():
    joins = buffer()
    add(joins, REQUEST, "request")
    (one,) = add(joins, sse(chat_chunks("Put it ", "in.", reason="length")).encode(), "response")
    assert (one.response, one.finish) == ("Put it in.", "length")


def test_a_half_that_waits_too_long_is_given_up_and_counted():
    joins = buffer()
    add(joins, REQUEST, "request", now=0.0, offset=7)
    add(joins, RESPONSE, "response", now=30.0, identifier="r-2", offset=9)
    assert joins.give_up(59.0) == []
    assert set(joins.held().values()) == {7}
    (lost,) = joins.give_up(60.0)
    assert (lost.error.reason, lost.record.offset) == ("unpaired", 7)
    assert set(joins.held().values()) == {9}
    (other,) = joins.give_up(1e9)
    assert "no request within 60 s" in other.error.detail
    assert (joins.held(), len(joins)) == ({}, 0)


@pytest.mark.parametrize("bounds", [{"capacity": 3}, {"max_bytes": 3 * (len(REQUEST) + 512)}])
def test_the_buffer_is_bounded_and_the_oldest_make_room(bounds):
    joins = buffer(**bounds)
    for number in range(5):
        add(joins, REQUEST, "request", identifier=f"r-{number}", offset=number)
    assert [lost.record.offset for lost in joins.give_up(0.0)] == [0, 1]
    assert len(joins) == 3


def test_a_repeated_half_replaces_itself():
    joins = buffer(capacity=1)
    for _ in range(5):
        add(joins, REQUEST, "request")
    assert (len(joins), joins.give_up(0.0)) == (1, [])


@pytest.mark.parametrize(
    ("request_body", "response_body", "place"), [(b"{", RESPONSE, "request"), (REQUEST, b"[1", "response")]
)
def test_a_half_that_is_no_json_says_so_when_the_other_comes(request_body, response_body, place):
    joins = buffer()
    add(joins, request_body, "request")
    with pytest.raises(DecodeError, match=rf"not-json: {place}:"):
        add(joins, response_body, "response")
    assert len(joins) == 0


def event(data, kind="org.example.exchange", **attributes):
    return CloudEvent({"type": kind, "source": "test", "id": "e-1", **attributes}, data)


def test_the_sdks_binary_kafka_message_is_opened():
    message = to_binary(
        event(native(), datacontenttype="application/json"), data_marshaller=lambda data: json.dumps(data).encode()
    )
    headers = tuple((name, value) for name, value in message.headers.items())
    assert only(message.value, headers=headers).id == "r-1"


def test_the_sdks_structured_kafka_message_is_opened():
    message = to_structured(event(native()))
    assert only(message.value).id == "r-1"


def test_structured_halves_are_halves_too():
    attributes = {"inferenceservicename": "llama", "namespace": "default"}
    message = to_structured(event(chat_request(), "org.kubeflow.serving.inference.request", **attributes))
    assert (half(message.value).side, half(message.value).key) == ("request", "default/llama\0e-1")


def test_data_may_be_base64_or_text_and_events_may_come_in_an_array():
    envelope = {"specversion": "1.0", "type": "x", "source": "s", "id": "e"}
    encoded = {**envelope, "data_base64": base64.b64encode(json.dumps(native(id="b")).encode()).decode()}
    textual = {**envelope, "data": json.dumps(native(id="t"))}
    assert [one.id for one in found([encoded, textual])] == ["b", "t"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [({}, "missing-field"), ({"data_base64": "###"}, "wrong-type"), ({"data": {"x": 1}}, "unknown-envelope"),
     ({"data": "text"}, "not-json")],
)  # fmt: skip
def test_events_without_an_exchange_say_why(data, reason):
    assert fault({"specversion": "1.0", "type": "x", "id": "e", **data}).reason == reason


def test_events_within_events_end():
    inner = {"specversion": "1.0", "type": "x", "id": "e", "data": native()}
    for _ in range(3):
        inner = {"specversion": "1.0", "type": "x", "id": "e", "data": inner}
    assert only(inner).id == "r-1"
    for _ in range(3):
        inner = {"specversion": "1.0", "type": "x", "id": "e", "data": inner}
    assert fault(inner).reason == "unknown-envelope"
