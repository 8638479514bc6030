"""The server on a real loopback socket."""

from __future__ import annotations

import socket
import threading

import httpx
import pytest
from fake_service import FakeView

from alignwatch import AlignwatchError
from monitor.http import HttpServer, HttpServerError, create_app
from monitor.metrics import Metrics


def fresh(**where) -> HttpServer:
    return HttpServer(create_app(FakeView(), Metrics()), **where)


@pytest.fixture
def server():
    server = fresh()
    server.start()
    yield server
    server.stop()


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def test_it_listens_on_loopback_and_a_free_port_by_default(server):
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert get(f"{server.url}/livez").text == "ok\n"


def test_answers_do_not_name_the_server_software(server):
    assert "server" not in get(f"{server.url}/livez").headers


def test_stopping_frees_the_port_and_ends_the_thread(server):
    port = server.port
    server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]
    with pytest.raises(httpx.ConnectError):
        get(f"http://127.0.0.1:{port}/livez")
    again = fresh(port=port)
    again.start()
    assert get(f"{again.url}/livez").status_code == 200
    again.stop()


def test_stopping_twice_or_unstarted_is_fine():
    server = fresh()
    server.stop()
    server.stop()


def test_a_taken_port_is_named_in_one_sentence(server):
    with pytest.raises(HttpServerError, match=rf"can't listen on 127\.0\.0\.1:{server.port} .*http\.port"):
        fresh(port=server.port).start()
    assert issubclass(HttpServerError, AlignwatchError)


def test_two_services_live_side_by_side(server):
    other = fresh()
    other.start()
    assert other.port != server.port
    assert get(f"{other.url}/readyz").status_code == get(f"{server.url}/readyz").status_code == 200
    other.stop()


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8077"), ("::", "http://[::1]:8077"), ("10.0.0.7", "http://10.0.0.7:8077")],
)
def test_the_url_is_one_that_a_browser_can_open(host, url):
    assert fresh(host=host, port=8077).url == url


def test_garbage_on_the_socket_is_answered_with_400_and_the_server_lives(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert b"400" in raw.recv(200)
    assert get(f"{server.url}/livez").status_code == 200
