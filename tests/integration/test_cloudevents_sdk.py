"""The CloudEvents SDK against the door: KServe's halves in binary mode, other envelopes in structured mode."""

from __future__ import annotations

import json

import httpx
import pytest
from cloudevents.v1.http import CloudEvent, to_binary, to_structured
from door import open_door
from exchanges import native
from gateways import ASKED, SAID, chat_chunks, chat_request, chat_response, sse


@pytest.fixture
def door(tmp_path):
    with open_door(tmp_path) as one:
        yield one


def half(side: str, data: object, identifier: str = "r-1", **attributes: str) -> CloudEvent:
    return CloudEvent(
        {
            "type": f"org.kubeflow.serving.inference.{side}", "source": "http://localhost:9081/", "id": identifier,
            "time": "2026-11-23T10:00:00Z", "datacontenttype": "application/json", "inferenceservicename": "llama",
            "namespace": "default", **attributes,
        },
        data,
    )  # fmt: skip


def post(door, event: CloudEvent, convert=to_binary) -> None:
    headers, body = convert(event)
    answer = httpx.post(f"{door.url}/v1/cloudevents", headers=headers, content=body, trust_env=False)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("convert", [to_binary, to_structured])
def test_halves_become_one_exchange(door, convert):
    post(door, half("response", chat_response()), convert)
    assert door.exchanges() == []
    post(door, half("request", chat_request(), endpoint="canary"), convert)
    assert door.exchanges() == [], "another endpoint, another deployment"
    post(door, half("request", chat_request()), convert)
    (one,) = door.exchanges()
    assert (one.id, one.deployment, one.response) == ("r-1", "default/llama", SAID)
    assert one.messages[-1].content == ASKED


def test_a_streamed_response_body_is_text_under_a_json_content_type(door):
    event = half("response", sse(chat_chunks("Put it ", "in.", reason="length")))
    headers, _ = to_binary(event, data_marshaller=lambda text: text.encode())
    post(door, half("request", chat_request()))
    body = sse(chat_chunks("Put it ", "in.", reason="length")).encode()
    assert httpx.post(f"{door.url}/v1/cloudevents", headers=headers, content=body, trust_env=False).status_code == 202
    (one,) = door.exchanges()
    assert (one.response, one.finish) == ("Put it in.", "length")


def test_any_envelope_may_travel_in_an_event(door):
    event = CloudEvent({"type": "com.example.chat", "source": "test", "datacontenttype": "application/json"}, native())
    for convert in (to_binary, to_structured):
        post(door, event, convert)
    assert [one.id for one in door.exchanges()] == ["r-1", "r-1"]


def test_a_batch_of_events(door):
    events = [json.loads(to_structured(half(side, body))[1]) for side, body in
              (("request", chat_request()), ("response", chat_response()))]  # fmt: skip
    answer = httpx.post(
        f"{door.url}/v1/cloudevents", json=events, headers={"content-type": "application/cloudevents-batch+json"},
        trust_env=False,
    )  # fmt: skip
    assert answer.json() == {"accepted": 2}
    assert len(door.exchanges()) == 1
