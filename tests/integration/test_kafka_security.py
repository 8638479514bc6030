"""TLS, SASL PLAIN, SCRAM and OAUTHBEARER against a real broker; and where a secret must never be seen."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import subprocess
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from conftest import unavailable
from free_ports import free_ports
from kafka.admin import KafkaAdminClient
from kafka_broker import BrokerUnavailableError, KafkaBroker

from monitor.errors import MonitorError, SourceError
from monitor.sources import KafkaConfig, KafkaProducerSink, KafkaSource, KafkaTransactions, TopicPartition

pytestmark = [pytest.mark.integration, pytest.mark.slow]

USER, PASSWORD, WRONG = "monitor", "correct-horse-7261", "battery-staple-9913"
CLIENT, SECRET = "monitor-client", "client-secret-5512"
STORE_PASSWORD = "store-password"
JAAS = "listener.name.sasl_ssl.{mechanism}.sasl.jaas.config=org.apache.kafka.common.security.{module} required {users};"
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:%(ssl)d,SASL_SSL://127.0.0.1:%(sasl)d,CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:%(ssl)d,SASL_SSL://127.0.0.1:%(sasl)d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
ssl.keystore.location=%(keystore)s
ssl.keystore.password=%(password)s
ssl.key.password=%(password)s
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
%(jaas)s
"""


class SecureBroker:
    """A broker with listeners for TLS and for SASL over TLS, and the certificate that clients trust."""

    def __init__(self, folder: Path) -> None:
        self.ssl, self.sasl = free_ports(2)
        keystore, self.certificate = _keystore(folder, "broker")
        modules = {
            "plain": ("plain.PlainLoginModule", f'user_{USER}="{PASSWORD}"'),
            "scram-sha-256": ("scram.ScramLoginModule", ""),
            "scram-sha-512": ("scram.ScramLoginModule", ""),
            # Without a validator of its own the broker takes unsigned tokens: it is the client's part that is tried.
            "oauthbearer": ("oauthbearer.OAuthBearerLoginModule", 'unsecuredLoginStringClaim_sub="broker"'),
        }
        jaas = "\n".join(
            JAAS.format(mechanism=name, module=module, users=users) for name, (module, users) in modules.items()
        )
        values = {
            "ssl": self.ssl, "sasl": self.sasl, "keystore": keystore, "password": STORE_PASSWORD,
            "jaas": jaas.replace("{", "{{").replace("}", "}}"),
        }  # fmt: skip
        self.broker = KafkaBroker(folder / "kafka", PROPERTIES % values)
        self.broker.start()
        admin = KafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        try:
            _add_scram(admin)
        finally:
            admin.close()


def _keystore(folder: Path, name: str) -> tuple[Path, Path]:
    """A key with a self-signed certificate for 127.0.0.1, and the certificate alone as PEM."""
    store, certificate = folder / f"{name}.p12", folder / f"{name}.pem"
    common = ["-keystore", str(store), "-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-alias", name]
    subprocess.run(
        ["keytool", "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", f"CN={name}", "-validity", "2",
         "-ext", "SAN=ip:127.0.0.1,dns:localhost", *common],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        ["keytool", "-exportcert", "-rfc", "-file", str(certificate), *common], check=True, capture_output=True
    )
    return store, certificate


def _add_scram(admin: KafkaAdminClient) -> None:
    from kafka.admin import ScramMechanism, UserScramCredentialUpsertion  # noqa: PLC0415 - only here

    # One at a time: the broker refuses two changes of one user in a request.
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        done = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, PASSWORD)])
        assert done == {USER: None}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    if shutil.which("keytool") is None:
        unavailable("no keytool on PATH (it comes with a JDK)")
    try:
        one = SecureBroker(tmp_path_factory.mktemp("secure"))
    except BrokerUnavailableError as error:
        unavailable(f"Kafka can't be started here: {error}")
    try:
        yield one
    finally:
        one.broker.stop()


class TokenEndpoint:
    """An identity provider's token endpoint: client credentials in, an unsigned token out."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                given = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
                outer.asked.append((given, form))
                known = given == f"{CLIENT}:{SECRET}"
                body = json.dumps(
                    {"access_token": _token(), "expires_in": 300} if known else {"error": "invalid_client"}
                )
                self.send_response(200 if known else 401)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _token() -> str:
    now = int(time.time())
    parts = [{"alg": "none"}, {"sub": USER, "iat": now, "exp": now + 300, "scope": "kafka"}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + "."


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    one = TokenEndpoint()
    yield one
    one.close()


def password_file(folder: Path, text: str) -> str:
    path = folder / f"secret-{uuid.uuid4().hex[:6]}"
    path.write_text(text + "\n")
    return str(path)


def round_trip(secure: SecureBroker, port: int, **security: object) -> list[bytes]:
    """Produce in a transaction and without, consume, commit: everything that a worker does."""
    topic = secure.broker.create_topic(f"secure-{uuid.uuid4().hex[:10]}")
    config = KafkaConfig(
        bootstrap_servers=(f"127.0.0.1:{port}",), topics=(topic,), group_id=topic, fetch_max_wait_ms=100,
        ssl_cafile=secure.certificate, **security,
    )  # fmt: skip
    sink = KafkaProducerSink(config)
    sink.send(topic, None, b"plain")
    sink.flush()
    sink.close()
    source = KafkaSource(config)
    source.start({})
    found: list[bytes] = []
    deadline = time.monotonic() + 60
    while not found and time.monotonic() < deadline:
        found += [one.value for one in source.poll(10, 0.5)]
    transactions = KafkaTransactions(config, "test")
    transactions.send(topic, None, b"in a transaction")
    transactions.commit({TopicPartition(topic, 0): 1}, source.membership())
    while len(found) < 2 and time.monotonic() < deadline:
        found += [one.value for one in source.poll(10, 0.5)]
    assert source.committed(TopicPartition(topic, 0)) == 1
    source.close()
    transactions.close()
    return found


def test_tls_alone(secure: SecureBroker) -> None:
    assert round_trip(secure, secure.ssl, security_protocol="SSL") == [b"plain", b"in a transaction"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_over_tls(secure: SecureBroker, tmp_path: Path, mechanism: str) -> None:
    found = round_trip(
        secure, secure.sasl, security_protocol="SASL_SSL", sasl_mechanism=mechanism, sasl_plain_username=USER,
        sasl_plain_password_file=password_file(tmp_path, PASSWORD),
    )  # fmt: skip
    assert found == [b"plain", b"in a transaction"]


def test_client_credentials_over_tls(secure: SecureBroker, tmp_path: Path, endpoint: TokenEndpoint) -> None:
    found = round_trip(
        secure, secure.sasl, security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER",
        sasl_oauth_token_url=endpoint.url, sasl_oauth_client_id=CLIENT, sasl_oauth_scope="kafka",
        sasl_oauth_client_secret_file=password_file(tmp_path, SECRET),
    )  # fmt: skip
    assert found == [b"plain", b"in a transaction"]
    assert endpoint.asked[0][1] == {"grant_type": ["client_credentials"], "scope": ["kafka"]}


def refused(config: KafkaConfig, caplog: pytest.LogCaptureFixture) -> str:
    """Try to send and to read, and return everything that was said about it."""
    caplog.set_level(logging.DEBUG)
    sink, source = KafkaProducerSink(config), KafkaSource(config)
    source.start({})
    said = []
    sink.send("any", None, b"never")
    try:
        with pytest.raises(SourceError) as caught:
            sink.flush()
        said.append("".join(traceback.format_exception(caught.value)))
        for _ in range(3):
            try:
                assert source.poll(1, 0.5) == []
            except MonitorError as error:
                said.append("".join(traceback.format_exception(error)))
        assert not source.ready()
    finally:
        sink.close()
        source.close()
    return "\n".join([*said, caplog.text, repr(config), str(config.model_dump(mode="json"))])


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_refused_and_never_shown(
    secure: SecureBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture, mechanism: str
) -> None:
    config = KafkaConfig(
        bootstrap_servers=(f"127.0.0.1:{secure.sasl}",), topics=("any",), security_protocol="SASL_SSL",
        ssl_cafile=secure.certificate, sasl_mechanism=mechanism, sasl_plain_username=USER,
        sasl_plain_password_file=Path(password_file(tmp_path, WRONG)), bootstrap_timeout_ms=4_000,
    )  # fmt: skip
    said = refused(config, caplog)
    assert "uthentication" in said
    assert WRONG not in said
    assert base64.b64encode(WRONG.encode()).decode() not in said


def test_a_certificate_that_nobody_trusts_is_refused(
    secure: SecureBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, other = _keystore(tmp_path, "other")
    config = KafkaConfig(
        bootstrap_servers=(f"127.0.0.1:{secure.ssl}",), topics=("any",), security_protocol="SSL", ssl_cafile=other,
        bootstrap_timeout_ms=4_000,
    )  # fmt: skip
    assert "ertificate" in refused(config, caplog) or "CERTIFICATE" in caplog.text


def test_a_client_secret_that_is_wrong_is_never_shown(
    secure: SecureBroker, tmp_path: Path, endpoint: TokenEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    config = KafkaConfig(
        bootstrap_servers=(f"127.0.0.1:{secure.sasl}",), topics=("any",), security_protocol="SASL_SSL",
        ssl_cafile=secure.certificate, sasl_mechanism="OAUTHBEARER", sasl_oauth_token_url=endpoint.url,
        sasl_oauth_client_id=CLIENT, sasl_oauth_client_secret_file=Path(password_file(tmp_path, WRONG)),
        bootstrap_timeout_ms=4_000,
    )  # fmt: skip
    said = refused(config, caplog)
    assert endpoint.asked, "the endpoint was asked"
    assert WRONG not in said
    assert base64.b64encode(f"{CLIENT}:{WRONG}".encode()).decode() not in said
