"""The door in front of a real broker: 202 once the record is on the topic, and the same worker reads it back."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from exchanges import native
from fake_service import FakeView
from gateways import chat_request, kserve_headers
from kafka_broker import KafkaBroker

from monitor.config import Settings
from monitor.envelopes import DecodeLimits, Half, decode_record
from monitor.http import HttpServer, create_app
from monitor.ingest import open_door
from monitor.metrics import Metrics
from monitor.sources import KafkaSource, Record, open_source

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def read(source: KafkaSource, count: int) -> list[Record]:
    found: list[Record] = []
    for _ in range(120):
        found += source.poll(100, 0.5)
        if len(found) >= count:
            break
    return found


def test_records_are_on_the_topic_when_the_sender_hears_of_it(
    kafka_broker: KafkaBroker, fresh_topic: Callable[..., str]
) -> None:
    topic = fresh_topic(partitions=3)
    settings = Settings.model_validate(
        {
            "source": {"kafka": {"bootstrap_servers": kafka_broker.bootstrap, "topics": [topic], "group_id": topic}},
            "http": {"ingest": True},
        }
    )
    source = open_source(settings.source)
    assert isinstance(source, KafkaSource)
    door, close = open_door(settings, source)
    server = HttpServer(create_app(FakeView(), Metrics(), door=door))
    server.start()
    try:
        answer = httpx.post(
            f"{server.url}/v1/exchanges", json=[native(id="a"), native(id="b")], trust_env=False, timeout=30
        )
        assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
        for _ in range(2):
            headers = {name.replace("ce_", "ce-"): value.decode() for name, value in kserve_headers("request")}
            body = json.dumps(chat_request())
            sent = httpx.post(
                f"{server.url}/v1/cloudevents", content=body, headers=headers, trust_env=False, timeout=30
            )
            assert sent.status_code == 202
        source.start({})
        records = read(source, 4)
    finally:
        server.stop()
        close()
        source.close()
    assert {json.loads(one.value).get("id") for one in records} == {"a", "b", None}
    halves = [one for one in records if one.key == b"r-1"]
    assert len({one.where for one in halves}) == 1, "halves of a call share a key, so that they share a partition"
    (half,) = decode_record(halves[0], limits=DecodeLimits(), default_deployment=None)
    assert isinstance(half, Half)
