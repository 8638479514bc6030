"""What systemd hears, on a real datagram socket: ready, alive, stopping, and silence where the loop hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.systemd import Systemd

FINE = lambda: (True, "ok")  # noqa: E731


class Listener:
    """The end that systemd holds."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.environment = {"NOTIFY_SOCKET": address}

    def next(self, seconds: float = 60.0) -> list[str]:
        self.socket.settimeout(seconds)
        return self.socket.recv(4096).decode().split("\n")

    def until(self, wanted: str, seconds: float = 60.0) -> list[list[str]]:
        """Everything up to the first message with that line."""
        heard, end = [], time.monotonic() + seconds
        while wanted not in (heard[-1] if heard else ()):
            heard.append(self.next(end - time.monotonic()))
        return heard


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    one = Listener(
        str(tmp_path / "notify") if request.param == "path" else f"@alignwatch-{os.getpid()}-{tmp_path.name}"
    )
    yield one
    one.socket.close()


def quiet_within(listener: Listener, messages: int) -> bool:
    """Whether half a second passes without a word, after a few that were under way."""
    for _ in range(messages):
        try:
            listener.next(0.5)
        except TimeoutError:
            return True
    return False


def test_it_is_told_of_start_life_and_end(listener: Listener) -> None:
    systemd = Systemd(listener.environment | {"WATCHDOG_USEC": "40000"})
    systemd.ready()
    assert listener.next() == ["READY=1"]
    with systemd.watched(FINE, FINE):
        assert [listener.next() for _ in range(3)] == [["WATCHDOG=1", "STATUS=working"]] * 3
        systemd.stopping()
        systemd.stopping()
        heard = listener.until("STOPPING=1")
        assert heard[-1] == ["STOPPING=1", "STATUS=stopping"]
        assert listener.until("WATCHDOG=1"), "a drain is not cut short"
    listener.socket.setblocking(False)
    rest = []
    try:
        while True:
            rest.append(listener.socket.recv(4096))
    except BlockingIOError:
        pass
    assert b"STOPPING=1\nSTATUS=stopping" not in rest, "and it is said once"


def test_a_service_that_is_not_ready_is_alive_and_says_why(listener: Listener) -> None:
    systemd = Systemd(listener.environment | {"WATCHDOG_USEC": "40000"})
    with systemd.watched(FINE, lambda: (False, "source kafka:\nnot connected")):
        assert listener.next() == ["WATCHDOG=1", "STATUS=not ready: source kafka: not connected"]


def test_a_loop_that_hangs_is_not_reported_alive(listener: Listener) -> None:
    systemd = Systemd(listener.environment | {"WATCHDOG_USEC": "20000"})
    alive = [True]
    with systemd.watched(lambda: (alive[0], "the loop has not turned"), FINE):
        listener.next()
        alive[0] = False
        assert quiet_within(listener, 50)
        alive[0] = True
        assert listener.next()[0] == "WATCHDOG=1"


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nowhere/at/all"}]
)
def test_without_systemd_nothing_is_sent_and_nothing_fails(environment: dict[str, str]) -> None:
    systemd = Systemd(environment)
    systemd.ready()
    with systemd.watched(FINE, FINE):
        systemd.stopping()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_heeded_where_it_means_us(environment: dict[str, str], seconds: float | None) -> None:
    assert Systemd(environment).watchdog_seconds == seconds


def test_a_supervisor_that_does_not_read_holds_up_nothing(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "full"))
    systemd = Systemd(listener.environment)
    for _ in range(2000):
        systemd.ready()
    listener.socket.close()


@pytest.mark.slow
def test_the_real_process_says_ready_alive_and_stopping(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "notify"))
    environment = os.environ | listener.environment | {
        "WATCHDOG_USEC": "1000000",
        "ALIGNWATCH__SOURCE__KIND": "http",
        "ALIGNWATCH__STATE__PATH": str(tmp_path / "state.sqlite3"),
        "ALIGNWATCH__SOURCE__HTTP__SPOOL": str(tmp_path / "spool"),
        "ALIGNWATCH__HTTP__PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-c", "from monitor.cli import main; main()", "run"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=(tmp_path / "err").open("w"))
    try:
        assert listener.next() == ["READY=1"], (tmp_path / "err").read_text()
        assert listener.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        assert listener.until("STOPPING=1")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        listener.socket.close()
