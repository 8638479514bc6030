"""Sets up the service's own logs: one JSON object a line on stderr, with keys and values and never a text."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "event", ...extra}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
            fields["frames"] = traceback.format_tb(record.exc_info[2])
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """`time level logger: event key=value ...`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class names it so
        """The line, with what was passed as `extra`."""
        more = [f"{key}={value}" for key, value in record.__dict__.items() if key not in _STANDARD]
        return " ".join([super().formatMessage(record), *more])

    def formatException(self, ei: Any) -> str:  # noqa: N802 - as above
        """Where it happened and of what kind."""
        return silent_traceback(ei[0], ei[2])


def silent_traceback(kind: type[BaseException] | None, trace: TracebackType | None) -> str:
    """Frames and the kind of an exception, not its message: that may quote the record that caused it."""
    frames = "".join(traceback.format_tb(trace))
    return f"Traceback (most recent call last):\n{frames}{kind.__name__ if kind else 'no exception'}"


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread is not None else "a thread"
    print(f"{name} failed", silent_traceback(failure.exc_type, failure.exc_traceback), sep="\n", file=sys.stderr)  # noqa: T201 - the last resort, as Python's own hook


def configure(level: str, form: str) -> None:
    """Send every logger to stderr at `level` (debug, info, warning, error), as `json` or `text`."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    threading.excepthook = _thread_failed
    for noisy in ("kafka", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
