"""Settings of sources: what is checked before anything is contacted, and where secrets come from."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.errors import ConfigError, SourceError
from monitor.sources import (
    FileSource,
    KafkaConfig,
    KafkaSource,
    MemoryProducer,
    MemorySource,
    SourceConfig,
    open_producer,
    open_source,
)
from monitor.sources._oauth import ClientCredentials


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"kind": "kafka"}, "source.kafka.topics = []: name at least one topic, or set source.kafka.topic_pattern"),
        ({"kind": "file"}, "source.file.paths = []: name at least one file, or - for stdin"),
    ],
    ids=["kafka", "file"],
)
def test_a_source_without_an_origin_is_refused_in_one_line(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(SourceConfig.model_validate(fields))
    assert caught.value.faults == [told]


def test_each_kind_is_opened_without_contacting_anybody() -> None:
    kafka = SourceConfig.model_validate({"kafka": {"topics": "a, b", "bootstrap_servers": "nowhere.invalid:9092"}})
    assert kafka.kafka.topics == ("a", "b")
    source = open_source(kafka)
    assert isinstance(source, KafkaSource)
    assert not source.ready()
    assert isinstance(open_source(SourceConfig.model_validate({"kind": "file", "file": {"paths": "-"}})), FileSource)
    assert isinstance(open_source(SourceConfig(kind="memory")), MemorySource)
    assert isinstance(open_producer(SourceConfig(kind="memory")), MemoryProducer)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"bootstrap_servers": []}, "name at least one host:port"),
        ({"topics": ["a"], "topic_pattern": "b"}, "only one of them is allowed"),
        ({"heartbeat_interval_ms": 20_000}, "a third of session_timeout_ms"),
        ({"fetch_max_wait_ms": 30_000}, "below request_timeout_ms"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism is required"),
        ({"sasl_mechanism": "PLAIN"}, "needs security_protocol SASL_SSL or SASL_PLAINTEXT"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u"},
            "needs sasl_plain_password_file or sasl_plain_password_env",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "needs sasl_oauth_token_url"),
        ({"ssl_password_file": "a", "ssl_password_env": "B"}, "are both set; only one of them is allowed"),
        ({"sasl_plain_password": "hunter2"}, "Extra inputs are not permitted"),
        ({"group_id": ""}, "at least 1 character"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        KafkaConfig.model_validate(fields)


def secured(**more: Any) -> KafkaConfig:
    fields = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "watcher"}
    return KafkaConfig.model_validate(fields | more)


def test_a_password_comes_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = tmp_path / "password"
    holder.write_text("hunter2\n")
    options = secured(sasl_plain_password_file=holder, ssl_cafile="ca.pem").client_options()
    assert options == {
        "security_protocol": "SASL_SSL",
        "ssl_check_hostname": True,
        "ssl_cafile": "ca.pem",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "watcher",
        "sasl_plain_password": "hunter2",
    }
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter3")
    assert secured(sasl_plain_password_env="KAFKA_PASSWORD").client_options()["sasl_plain_password"] == "hunter3"


def test_a_holder_without_a_secret_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    (tmp_path / "empty").touch()
    for fields, told in (
        (
            {"sasl_plain_password_env": "KAFKA_PASSWORD"},
            "sasl_plain_password_env = KAFKA_PASSWORD: is empty or not set",
        ),
        ({"sasl_plain_password_file": tmp_path / "empty"}, "empty: is empty or not set"),
        ({"sasl_plain_password_file": tmp_path / "none"}, "none: can't be read: FileNotFoundError"),
    ):
        with pytest.raises(ConfigError, match=told):
            secured(**fields).client_options()


class TokenEndpoint:
    """An identity provider's token endpoint on loopback."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Any = {"access_token": "t-1", "expires_in": 300}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                outer.asked.append(form | {"authorization": self.headers["Authorization"]})
                body = json.dumps(outer.answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    one = TokenEndpoint()
    thread = threading.Thread(target=one.server.serve_forever, args=(0.02,))
    thread.start()
    yield one
    one.server.shutdown()
    one.server.server_close()
    thread.join()


def test_a_token_is_fetched_with_the_clients_credentials_and_kept(endpoint: TokenEndpoint) -> None:
    provider = ClientCredentials(endpoint.url, "id:with/specials", "secret", scope="kafka")
    assert (provider.token(), provider.token()) == ("t-1", "t-1")
    (asked,) = endpoint.asked
    assert asked["grant_type"] == ["client_credentials"]
    assert asked["scope"] == ["kafka"]
    assert asked["authorization"] == "Basic aWQlM0F3aXRoJTJGc3BlY2lhbHM6c2VjcmV0"


def test_a_token_near_its_end_is_renewed(endpoint: TokenEndpoint) -> None:
    endpoint.answer = {"access_token": "t-1", "expires_in": 20}
    provider = ClientCredentials(endpoint.url, "id", "secret")
    provider.token()
    endpoint.answer = {"access_token": "t-2", "expires_in": 300}
    assert provider.token() == "t-2"


@pytest.mark.parametrize(
    "answer", [{"error": "canary"}, ["canary"], "canary", {"access_token": "x", "expires_in": "y"}]
)
def test_an_answer_without_a_token_is_told_without_quoting_it(endpoint: TokenEndpoint, answer: Any) -> None:
    endpoint.answer = answer
    with pytest.raises(SourceError, match="sasl_oauth_token_url: no token: ") as caught:
        ClientCredentials(endpoint.url, "id", "secret").token()
    assert "canary" not in str(caught.value)


def test_credentials_are_never_sent_in_the_clear_beyond_loopback() -> None:
    with pytest.raises(SourceError, match="https is required beyond loopback"):
        ClientCredentials("http://idp.example.org/token", "id", "secret")
    ClientCredentials("https://idp.example.org/token", "id", "secret")
