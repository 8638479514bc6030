"""The HTTP door without a socket: what is taken, what is refused, and when it says so."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from concurrent.futures import Future

import jsonschema
import pytest
from exchanges import native
from fake_service import FakeView
from gateways import apisix, chat_request, genai, kong, kserve_headers, litellm, log_record, logs, span, spans
from starlette.testclient import TestClient

from monitor.envelopes import DecodeLimits, decode_record
from monitor.errors import SourceError
from monitor.http import LOOPBACK_HOSTS, Door, _door, create_app
from monitor.http._bodies import split
from monitor.metrics import Metrics
from monitor.sources import MemoryInbox, MemorySource

JSON = {"content-type": "application/json"}


class Rig:
    def __init__(self, **door) -> None:
        self.source = MemorySource()
        self.source.start({})
        self.inbox = MemoryInbox(self.source)
        self.metrics = Metrics()
        app = create_app(FakeView(), self.metrics, allowed_hosts=LOOPBACK_HOSTS, door=Door(self.inbox, **door))
        self.client = TestClient(app, base_url="http://localhost")

    def post(self, path: str, body=b"", **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=content, headers=JSON | named)

    @property
    def records(self):
        return self.source.poll(1000, 0.0)


@pytest.fixture
def rig():
    return Rig()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/exchanges", native()),
        ("/v1/litellm", litellm()),
        ("/v1/kong", kong()),
        ("/v1/apisix", apisix()),
    ],
)
def test_one_object_is_one_record_kept_byte_for_byte(rig, path, body):
    answer = rig.post(path, body)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    (record,) = rig.records
    assert json.loads(record.value) == body
    assert record.timestamp is not None
    assert decode_record(record, limits=DecodeLimits(), default_deployment="d")


def test_an_array_is_split_into_its_elements(rig):
    body = json.dumps([native(id="a"), {"not": "an exchange"}, native(id="ü")], ensure_ascii=False, indent=2).encode()
    assert rig.post("/v1/exchanges", body).json() == {"accepted": 3}
    assert [json.loads(record.value).get("id") for record in rig.records] == ["a", None, "ü"]


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "application/json", "application/x-ndjson; charset=utf-8"]
)
def test_lines_are_records_and_a_bad_line_is_kept_for_the_dead_letters(rig, content_type):
    body = b'{"id": "a"}\n\n{"id": "b"}\r\nnot json\n'
    answer = rig.post("/v1/exchanges", body, content_type=content_type)
    assert answer.json() == {"accepted": 3}
    assert [record.value.strip() for record in rig.records] == [b'{"id": "a"}', b'{"id": "b"}', b"not json"]


def test_a_pretty_printed_object_is_one_record(rig):
    body = json.dumps(native(), indent=4).encode()
    assert rig.post("/v1/exchanges", body).json() == {"accepted": 1}
    assert rig.records[0].value == body


def test_an_empty_array_is_taken_and_is_nothing(rig):
    assert rig.post("/v1/exchanges", b"[ ]").json() == {"accepted": 0}
    assert rig.records == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"hello",
        b"[1,",
        b"[1 2]",
        b"[1],",
        b'{"a": ',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" + b"1" * 10_000 + b"]",
    ],
)
def test_what_is_not_json_is_refused_with_the_place(rig, body):
    answer = rig.post("/v1/exchanges", body)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"reason", "detail"}
    assert rig.records == []


def test_only_headers_that_decoders_ask_for_are_kept(rig):
    rig.post(
        "/v1/exchanges", native(), authorization="Bearer secret", cookie="secret", x_request_id="r-9",
        alignwatch_deployment="eu", x_session_id="s" * 600,
    )  # fmt: skip
    (record,) = rig.records
    assert dict(record.headers) == {"x-request-id": b"r-9", "alignwatch-deployment": b"eu"}


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_compressed_bodies_are_read(rig, encoding, pack):
    assert rig.post("/v1/exchanges", pack(json.dumps(native()).encode()), content_encoding=encoding).status_code == 202
    assert json.loads(rig.records[0].value) == native()


def test_a_gzip_body_may_have_members_but_not_without_end(rig):
    parts = gzip.compress(b"[" + json.dumps(native()).encode()) + gzip.compress(b"]")
    assert rig.post("/v1/exchanges", parts, content_encoding="gzip").json() == {"accepted": 1}
    assert rig.post("/v1/exchanges", gzip.compress(b"") * 100, content_encoding="gzip").status_code == 400


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [(b"not gzip", "gzip", 400), (gzip.compress(b"{}")[:-4], "gzip", 400), (b"{}", "br", 415)],
    ids=["no gzip", "cut off", "unknown"],
)
def test_bad_encodings_are_refused(rig, body, encoding, status):
    assert rig.post("/v1/exchanges", body, content_encoding=encoding).status_code == status


def test_sizes_are_bounded_before_and_after_decompression():
    rig = Rig(max_body_bytes=10_000, max_record_bytes=1_000)
    assert rig.post("/v1/exchanges", b"[" + b" " * 10_000 + b"]").status_code == 413
    assert (
        rig.post("/v1/exchanges", gzip.compress(b"[" + b" " * 100_000 + b"]"), content_encoding="gzip").status_code
        == 413
    )
    assert rig.post("/v1/exchanges", native(response="x" * 2000)).status_code == 413
    assert rig.post("/v1/exchanges", native(), content_length="99999999999999999999999").status_code == 413
    chunks = (b" " * 6_000 for _ in range(2))
    assert rig.client.post("/v1/exchanges", content=chunks, headers=JSON).status_code == 413, "no length given"
    assert rig.post("/v1/exchanges", [native(), native(response="x" * 2000)]).status_code == 202, "a batch is not lost"
    assert len(rig.records) == 2


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[" + b"1," * 40 + b"1]", "application/json"),
        (b"1\n" * 41, "application/x-ndjson"),
        (b"\n" * 41 + b"1", "application/x-ndjson"),
        (b"1\n" * 41, "application/json"),
    ],
    ids=["array", "lines", "blank lines", "lines called json"],
)
def test_the_records_of_one_request_are_bounded(monkeypatch, body: bytes, content_type: str):
    monkeypatch.setattr("monitor.http._bodies.MAX_RECORDS", 40)
    rig = Rig()
    answer = rig.post("/v1/exchanges", body, content_type=content_type)
    assert (answer.status_code, rig.records) == (413, [])
    assert "at most 40 records" in answer.text
    assert rig.post("/v1/exchanges", [native()] * 40).status_code == 202, "as many as allowed are taken"


LARGE = [native(id=f"r-{n}", response="x" * 2000) for n in range(200)]


@pytest.fixture
def splitters(monkeypatch):
    """The names of the threads that split bodies, in order."""
    names = []

    def noted(body, content_type):
        names.append(threading.current_thread().name)
        return split(body, content_type)

    monkeypatch.setattr(_door, "split", noted)
    return names


def test_large_bodies_are_split_in_a_thread_of_the_doors_own_also_those_that_arrive_small(rig, splitters):
    assert rig.post("/v1/exchanges", LARGE[:20]).status_code == 202
    assert not splitters.pop().startswith("door-split"), "handing over a small body costs more than splitting it"
    body = json.dumps(LARGE).encode()
    packed = gzip.compress(body)
    assert len(packed) < _door.IN_LOOP_BYTES < len(body)
    assert rig.post("/v1/exchanges", body).json() == {"accepted": 200}
    assert rig.post("/v1/exchanges", packed, content_encoding="gzip").json() == {"accepted": 200}
    assert [name.startswith("door-split") for name in splitters] == [True, True]
    ids = [json.loads(one.value)["id"] for one in rig.records]
    assert ids == [one["id"] for one in (*LARGE[:20], *LARGE, *LARGE)]


def test_what_is_wrong_with_a_large_body_is_told_like_any_other(rig):
    body = json.dumps(LARGE).encode()
    broken = rig.post("/v1/exchanges", body[:-1])
    assert (broken.status_code, broken.json()["error"]["reason"]) == (400, "not-json")
    cut = rig.post("/v1/exchanges", gzip.compress(body)[:-4], content_encoding="gzip")
    assert (cut.status_code, cut.json()["error"]["reason"]) == (400, "encoding")
    assert rig.records == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/exchanges", [native(), native()]),
        ("/v1/exchanges", LARGE),
        ("/v1/cloudevents", {"specversion": "1.0", "type": "x", "source": "s", "id": "e", "data": native()}),
        ("/v1/traces", spans(span(genai()))),
    ],
)
def test_records_bear_the_time_of_their_arrival(rig, path, body):
    before = time.time()
    content_type = "application/cloudevents+json" if path == "/v1/cloudevents" else "application/json"
    assert rig.post(path, body, content_type=content_type).is_success
    stamps = {one.timestamp for one in rig.records}
    assert len(stamps) == 1
    assert before <= stamps.pop() <= time.time()


def test_without_the_token_nothing_is_taken():
    rig = Rig(token="t" * 16)
    wrong = [{}, {"authorization": "Bearer wrong"}, {"authorization": "t" * 16}, {"authorization": "Basic " + "t" * 16}]
    for headers in (*wrong, {"x_alignwatch_token": b"\xfc"}):
        answer = rig.post("/v1/exchanges", native(), **headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
    assert rig.records == []
    assert rig.post("/v1/exchanges", native(), authorization="bearer " + "t" * 16).status_code == 202
    assert rig.post("/v1/exchanges", native(), x_alignwatch_token="t" * 16).status_code == 202


def test_web_pages_can_not_post(rig):
    assert rig.post("/v1/exchanges", native(), origin="https://evil.example").status_code == 403
    assert rig.post("/v1/exchanges", native(), sec_fetch_site="cross-site").status_code == 403
    assert rig.post("/v1/exchanges", native(), host="evil.example").status_code == 400
    assert rig.records == []


def test_full_says_429_and_when_to_come_back(rig):
    rig.inbox.capacity = 0
    answer = rig.post("/v1/exchanges", native())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


def test_what_is_not_durable_is_not_promised(rig):
    rig.inbox.fault = SourceError("/secret/place: No space left on device")
    answer = rig.post("/v1/exchanges", native())
    assert (answer.status_code, "secret" in answer.text) == (503, False)
    rig.inbox.fault = None
    assert rig.post("/v1/exchanges", native()).status_code == 202


def test_a_disk_that_hangs_is_not_waited_for_for_ever():
    rig = Rig(wait_seconds=0.01)
    rig.inbox.put = lambda records: Future()
    assert rig.post("/v1/exchanges", native()).status_code == 503


def test_a_binary_cloud_event_keeps_its_attributes_and_its_id_as_key(rig):
    headers = {name.replace("ce_", "ce-"): value.decode() for name, value in kserve_headers("request")}
    answer = rig.client.post(
        "/v1/cloudevents", content=json.dumps(chat_request()), headers=headers | {"ce-note": "a%20b"}
    )
    assert answer.status_code == 202
    (record,) = rig.records
    assert record.key == b"r-1"
    assert dict(record.headers)["ce_note"] == b"a b"
    (half,) = decode_record(record, limits=DecodeLimits(), default_deployment=None)
    assert (half.side, half.fields["deployment"]) == ("request", "default/llama")


def test_structured_and_batched_cloud_events(rig):
    event = {"specversion": "1.0", "type": "x", "source": "s", "id": "e", "data": native()}
    structured = "application/cloudevents+json; charset=utf-8"
    assert rig.post("/v1/cloudevents", event, content_type=structured).json() == {"accepted": 1}
    assert rig.post("/v1/cloudevents", [event, event], content_type="application/cloudevents-batch+json").json() == {
        "accepted": 2
    }
    for record in rig.records:
        assert decode_record(record, limits=DecodeLimits(), default_deployment=None)


@pytest.mark.parametrize(
    ("content_type", "status"), [("application/json", 400), ("application/cloudevents+avro", 415), ("text/plain", 400)]
)
def test_what_is_no_cloud_event_is_refused(rig, content_type, status):
    assert rig.post("/v1/cloudevents", b"{}", content_type=content_type).status_code == status


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_otlp_json_is_answered_as_its_specification_wants(rig, signal):
    content = genai()
    batch = (
        spans(span(content))
        if signal == "traces"
        else logs(log_record("gen_ai.client.inference.operation.details", content))
    )
    answer = rig.post(f"/v1/{signal}", batch)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"{}", "application/json")
    (record,) = rig.records
    assert len(decode_record(record, limits=DecodeLimits(), default_deployment=None)) == 1


def test_otlp_batches_beyond_a_records_limit_are_split_by_call():
    rig = Rig(max_record_bytes=4_000)
    many = spans(
        *(span(genai(), spanId=f"{number:016x}") for number in range(1, 9)), resource={"alignwatch.deployment": "eu"}
    )
    assert rig.post("/v1/traces", many).status_code == 200
    records = rig.records
    found = [one for record in records for one in decode_record(record, limits=DecodeLimits(), default_deployment=None)]
    assert len(records) == 8
    assert {one.deployment for one in found} == {"eu"}
    events = [
        log_record(name, {}, body, spanId=f"{number:016x}")
        for name, body in (
            ("gen_ai.user.message", {"content": "Why?" * 100}),
            ("gen_ai.choice", {"message": {"content": "So."}}),
        )
        for number in range(1, 9)
    ]
    assert rig.post("/v1/logs", logs(*events)).status_code == 200
    found = [
        one for record in rig.records for one in decode_record(record, limits=DecodeLimits(), default_deployment="d")
    ]
    assert [one.response for one in found] == ["So."] * 8, "prompt and answer stay in one record"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"\xff\xff", "application/x-protobuf", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"resourceSpans": 7}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"", "application/x-protobuf", 200),
        (b"{}", "application/json", 200),
    ],
)
def test_otlp_bodies_are_checked(rig, body, content_type, status):
    answer = rig.post("/v1/traces", body, content_type=content_type)
    assert answer.status_code == status
    assert rig.records == []
    if status != 200 and content_type == "application/json":
        assert answer.json()["message"]


def test_requests_are_counted_by_route_and_status(rig):
    rig.post("/v1/kong", kong())
    rig.post("/v1/kong", b"{")
    text = rig.client.get("/metrics").text
    assert 'alignwatch_ingest_requests_total{code="202",route="kong"} 1.0' in text
    assert 'alignwatch_ingest_requests_total{code="400",route="kong"} 1.0' in text


def test_no_text_of_a_request_comes_back_in_an_answer(rig):
    for body in (b'{"prompt": "canary" oops}', b'[{"prompt": "canary"} "canary"]', b"canary"):
        assert "canary" not in rig.post("/v1/exchanges", body).text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_the_door_is_for_posting(rig, method):
    assert rig.client.request(method, "/v1/exchanges").status_code == 405


def test_without_a_door_nothing_is_taken():
    client = TestClient(create_app(FakeView(), Metrics()), base_url="http://localhost")
    assert client.post("/v1/exchanges", json=native()).status_code == 404
    assert client.get("/openapi.json").status_code == 404


def test_the_openapi_document_names_every_route_and_validates_what_the_door_takes():
    rig = Rig(token="t" * 16)
    document = rig.client.get("/openapi.json").json()
    routes = {route.path for route in rig.client.app.routes if getattr(route, "path", "").startswith("/v1/")}
    assert set(document["paths"]) == routes
    assert document["openapi"].startswith("3.1")
    for path in routes:
        responses = document["paths"][path]["post"]["responses"]
        assert {"400", "401", "403", "413", "415", "429", "503"} < set(responses)
    schema = {"$ref": "#/components/schemas/Exchange", "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(native())
    assert not validator.is_valid({"id": "x"})
    for name in document["components"]["schemas"]:
        jsonschema.Draft202012Validator.check_schema(document["components"]["schemas"][name])
    assert document["security"]
