"""Local receivers that check what they are sent: Slack's incoming webhook and Alertmanager's API v2."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = tuple[int, str]
SLACK_LIMITS = {"header": 150, "section": 3000, "field": 2000, "context": 2000}


class Receiver:
    """Serves POSTs on a free port while it is open; `judge` decides the answer, scripted faults come first."""

    def __init__(self, judge: Callable[[str, Any], Answer]) -> None:
        self.requests: list[tuple[str, Any]] = []
        """Path and body of everything that was accepted."""
        self.answers: list[int] = []
        self._judge = judge
        self._faults: deque[tuple[int, str | None]] = deque()
        self._changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # As in pagerduty.py: no 40 ms between the head and the body of an answer.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, text, after = outer._answer(self.path, body)
                data = text.encode()
                self.send_response(status)
                if after is not None:
                    self.send_header("Retry-After", after)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def fail(self, status: int, *, retry_after: str | None = None, times: int = 1) -> None:
        """Answer the next requests with this status."""
        self._faults.extend([(status, retry_after)] * times)

    def wait_until(self, condition: Callable[[Receiver], bool], timeout: float = 60.0) -> bool:
        """Wait until the condition holds, looking after every request."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def _answer(self, path: str, body: bytes) -> tuple[int, str, str | None]:
        with self._changed:
            status, text, after = self._decide(path, body)
            self.answers.append(status)
            self._changed.notify_all()
            return status, text, after

    def _decide(self, path: str, body: bytes) -> tuple[int, str, str | None]:
        if self._faults:
            status, after = self._faults.popleft()
            return status, "fault", after
        try:
            value = json.loads(body)
        except ValueError:
            return 400, "invalid_payload", None
        status, text = self._judge(path, value)
        if status < 300:
            self.requests.append((path, value))
        return status, text, None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


class SlackReceiver(Receiver):
    """An incoming webhook: `ok`, or 400 with Slack's own words for what is wrong."""

    def __init__(self) -> None:
        super().__init__(lambda _, body: _slack(body))

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.requests]


def _slack(body: Any) -> Answer:
    if not isinstance(body, dict) or not str(body.get("text", "")).strip():
        return 400, "no_text"
    if not set(body) <= {"text", "attachments", "blocks", "unfurl_links", "unfurl_media", "mrkdwn"}:
        return 400, "invalid_payload"
    for attachment in body.get("attachments", ()):
        for block in attachment.get("blocks", ()):
            if _block_fault(block):
                return 400, "invalid_blocks"
    return 200, "ok"


def _block_fault(block: dict[str, Any]) -> bool:
    kind = block.get("type")
    if kind == "header":
        return _text_fault(block.get("text"), "header", "plain_text")
    if kind == "section":
        fields = block.get("fields")
        if fields is None:
            return _text_fault(block.get("text"), "section", "mrkdwn")
        return not 1 <= len(fields) <= 10 or any(_text_fault(one, "field", "mrkdwn") for one in fields)
    if kind == "context":
        elements = block.get("elements", ())
        return not 1 <= len(elements) <= 10 or any(_text_fault(one, "context", "mrkdwn") for one in elements)
    return True


def _text_fault(text: Any, limit: str, kind: str) -> bool:
    return (
        not isinstance(text, dict)
        or text.get("type") != kind
        or not 0 < len(str(text.get("text", ""))) <= SLACK_LIMITS[limit]
    )


class AlertmanagerReceiver(Receiver):
    """Alertmanager's API v2, as far as alerts are posted; `active(now)` is what its page would show."""

    def __init__(self) -> None:
        super().__init__(self._take)
        self.alerts: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}

    def forget(self) -> None:
        """What a restart does."""
        self.alerts.clear()

    def active(self, now: datetime) -> list[dict[str, Any]]:
        return [alert for alert in self.alerts.values() if datetime.fromisoformat(alert["endsAt"]) > now]

    def _take(self, path: str, body: Any) -> Answer:
        if path != "/api/v2/alerts":
            return 404, "not found"
        if not isinstance(body, list):
            return 400, "not a list"
        for alert in body:
            if faults := list(_alert_faults(alert)):
                return 400, "; ".join(faults)
            self.alerts[frozenset(alert["labels"].items())] = alert
        return 200, ""


def _alert_faults(alert: Any) -> list[str]:
    labels = alert.get("labels")
    faults = [] if labels and labels.get("alertname") else ["at least one label pair required"]
    for group in ("labels", "annotations"):
        for name, value in alert.get(group, {}).items():
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) or not isinstance(value, str):
                faults.append(f"invalid {group}: {name}")
    begin, end = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
    if begin.tzinfo is None or end.tzinfo is None or begin.astimezone(UTC) > end.astimezone(UTC):
        faults.append("start time must be before end time")
    return faults
