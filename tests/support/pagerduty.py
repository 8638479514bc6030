"""A PagerDuty Events API v2 on a loopback port: it checks what it is sent, joins by key, and fails when told to.

It holds to https://developer.pagerduty.com/docs/events-api-v2/trigger-events/: a trigger joins the open alert of the
same `dedup_key` and routing key or opens a new one, an acknowledged alert notifies nobody when it is triggered again,
a resolved one is never re-opened, and acknowledging or resolving what is not open is accepted and dropped.

    with PagerDutyReceiver() as receiver:
        post(receiver.endpoint, ...)
        assert receiver.incidents[0].status == "triggered"

For a try by hand: `python tests/support/pagerduty.py --port 8078`, then GET /incidents or / on that port.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from pagerduty_schema import faults_of

ROUTING_KEY = "R0UT1NGKEYFORTESTS00000000000000"
"""A well-formed key for tests; 32 characters."""
MAX_BYTES = 512 * 1024


@dataclass
class Alert:
    """An alert and the incident that it opened."""

    dedup_key: str
    routing_key: str
    status: Literal["triggered", "acknowledged", "resolved"]
    summary: str
    severity: str
    notifications: int = 1
    """How often somebody was told: once when it opens; triggers that join notify nobody again."""
    triggers: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of the usual."""

    status: int = 0
    retry_after: str | None = None
    hang: float = 0.0
    """Seconds without an answer, after which the connection is closed."""
    drop: Literal["", "before", "after"] = ""
    """Close the connection without an answer, before or after the event took effect."""


class PagerDutyReceiver:
    """The receiver; a context manager that serves while it is open.

    Args:
        port: 0 takes a free one.
        routing_keys: the keys of existing integrations; others are refused.
        echo: told each event that takes effect, as a line.
        host: the address to listen on.
    """

    def __init__(
        self,
        port: int = 0,
        routing_keys: frozenset[str] | set[str] = frozenset({ROUTING_KEY}),
        echo: Callable[[str], None] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.events: list[dict[str, Any]] = []
        """Accepted events in order, the dropped ones included."""
        self.requests: list[int] = []
        """The status of every request in order; 0 where the connection was closed without one."""
        self.incidents: list[Alert] = []
        """Every alert that was ever opened, in order."""
        self.changes: list[dict[str, Any]] = []
        """Accepted change events."""
        self.routing_keys = set(routing_keys)
        self.echo = echo or (lambda line: None)
        self._faults: deque[Fault] = deque()
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="pagerduty", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def endpoint(self) -> str:
        """Where events are posted."""
        return f"{self.url}/v2/enqueue"

    def fail(self, status: int, times: int = 1, *, retry_after: str | float | None = None) -> None:
        """Answer the next requests with this status."""
        after = None if retry_after is None else str(retry_after)
        self._script(Fault(status=status, retry_after=after), times)

    def hang(self, seconds: float, times: int = 1) -> None:
        """Leave the next requests without an answer for so long, or until the receiver closes."""
        self._script(Fault(hang=seconds), times)

    def drop(self, times: int = 1, *, after_accepting: bool = False) -> None:
        """Close the next connections without an answer, with or without taking the event in."""
        self._script(Fault(drop="after" if after_accepting else "before"), times)

    def _script(self, fault: Fault, times: int) -> None:
        with self._changed:
            self._faults.extend([fault] * times)

    def acknowledge(self, dedup_key: str) -> None:
        """What a responder does on their phone."""
        with self._changed:
            for alert in self._open(dedup_key):
                alert.status = "acknowledged"

    @property
    def open_incidents(self) -> list[Alert]:
        return [alert for alert in self.incidents if alert.status != "resolved"]

    @property
    def notifications(self) -> int:
        """How often somebody's phone rang."""
        return sum(alert.notifications for alert in self.incidents)

    def wait_until(self, condition: Callable[[PagerDutyReceiver], bool], timeout: float = 60.0) -> bool:
        """Wait until the condition holds, looking after every request; False when it never did."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)

    def _open(self, dedup_key: str, routing_key: str | None = None) -> list[Alert]:
        return [
            alert
            for alert in self.open_incidents
            if alert.dedup_key == dedup_key and routing_key in {None, alert.routing_key}
        ]

    def take(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the answer to a request, after it took effect."""
        if path not in {"/v2/enqueue", "/v2/change/enqueue"}:
            return 404, {"status": "not found"}
        if len(body) > MAX_BYTES:
            return 413, {"status": "payload too large", "message": f"limit is {MAX_BYTES} bytes"}
        try:
            event = json.loads(body)
        except ValueError:
            return 400, _invalid(["JSON is invalid"])
        errors = faults_of(event, change=path.endswith("change/enqueue"))
        if not errors and event["routing_key"] not in self.routing_keys:
            errors = ["'routing_key' is not an existing integration key"]
        if errors:
            return 400, _invalid(errors)
        with self._changed:
            if path == "/v2/change/enqueue":
                self.changes.append(event)
                return 202, {"status": "success", "message": "Change event processed"}
            event.setdefault("dedup_key", uuid.uuid4().hex)
            self.events.append(event)
            self._apply(event)
        return 202, {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}

    def _apply(self, event: dict[str, Any]) -> None:
        action, key, routing_key = event["event_action"], event["dedup_key"], event["routing_key"]
        found = self._open(key, routing_key)
        self.echo(f"{action:<11} {'joins' if found else 'new' if action == 'trigger' else 'dropped':<7} {key}")
        if action == "trigger" and not found:
            payload = event["payload"]
            self.echo(f"  {payload['severity']}: {payload['summary']}")
            self.incidents.append(
                Alert(key, routing_key, "triggered", payload["summary"], payload["severity"], 1, [event])
            )
        elif action == "trigger":
            found[0].triggers.append(event)
        elif found:
            found[0].status = "acknowledged" if action == "acknowledge" else "resolved"

    def next_fault(self) -> Fault | None:
        with self._changed:
            return self._faults.popleft() if self._faults else None

    def answered(self, status: int) -> None:
        with self._changed:
            self.requests.append(status)
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        self._released.wait(seconds)


def _invalid(errors: list[str]) -> dict[str, Any]:
    return {"status": "invalid event", "message": "Event object is invalid", "errors": errors}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], receiver: PagerDutyReceiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer are two writes: the second would wait 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        receiver = self.server.receiver
        found = {"incidents": [asdict(alert) for alert in receiver.incidents], "requests": receiver.requests}
        self._answer(200 if self.path in {"/", "/incidents"} else 404, found)

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = receiver.next_fault()
        if fault is None:
            status, answer = receiver.take(self.path, body)
        elif fault.status:
            status, answer = fault.status, {"status": "throttle exceeded" if fault.status == 429 else "error"}
        else:
            if fault.drop == "after":
                receiver.take(self.path, body)
            receiver.answered(0)
            receiver.pause(fault.hang)
            self._hang_up()
            return
        self._answer(status, answer, fault.retry_after if fault else None)
        receiver.answered(status)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, answer: dict[str, Any], retry_after: str | None = None) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Stay quiet: `echo` says what matters."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A local PagerDuty Events API v2 for tries and tests.")
    parser.add_argument("--port", type=int, default=8078, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--routing-key", action="append", help=f"a key to accept (default: {ROUTING_KEY})")
    options = parser.parse_args(arguments)
    keys = frozenset(options.routing_key or [ROUTING_KEY])
    with PagerDutyReceiver(options.port, keys, lambda line: print(line, flush=True), options.host) as receiver:
        print(f"listening on {receiver.endpoint}, routing key {' or '.join(sorted(keys))}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
