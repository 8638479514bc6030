"""One JSON line an event, for whoever collects the process's output; also a record that nothing can rate-limit."""

from __future__ import annotations

import json
from typing import IO, Any

from alerts.config import AlertsConfig
from alerts.guidance import details, headline
from alerts.message import Message
from alerts.sinks._base import Delivered, Outcome, Retry


class LogSink:
    """Writes to a text stream, and flushes after every line."""

    def __init__(self, name: str, stream: IO[str], alerts: AlertsConfig) -> None:
        self.name = name
        self._stream = stream
        self._alerts = alerts

    def deliver(self, message: Message) -> Outcome:
        """Write one line."""
        line: dict[str, Any] = {
            "event": "alert",
            "action": message.action,
            "cause": message.cause,
            "severity": message.incident.severity,
            "summary": headline(message),
            "dedup_key": message.dedup_key,
            "incident": details(message, self._alerts),
        }
        if message.test:
            line["test"] = True
        try:
            # One write call, so that lines of several threads do not mix.
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            return Retry(f"the stream can't be written: {error}")
        return Delivered()

    def close(self) -> None:
        """Leave the stream open: it is the process's."""
