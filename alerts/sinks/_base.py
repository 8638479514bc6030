"""What every sink is, and the HTTP that those which need it share."""

from __future__ import annotations

import email.utils
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import httpx

from alerts.config import HttpSinkBase, TlsConfig
from alerts.errors import AlertConfigError
from alerts.message import Message
from alignwatch import __version__

REASON_LENGTH: Final = 300
_TOO_EARLY: Final = frozenset({408, 425, 429})
"""4xx codes that speak about the moment and not about the request."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has taken charge of the event."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not get through, or may not have; the same event is to be sent again."""

    reason: str
    after: float | None = None
    """Seconds that the receiver asked for; None leaves it to the back-off."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The receiver refuses this event for good; sending it again can't help."""

    reason: str


Outcome = Delivered | Retry | Rejected


def attempt(send: Callable[[], Outcome]) -> Outcome:
    """What sending came to; a fault in one sink must cost neither its thread nor a page, and is tried again."""
    try:
        return send()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return Retry(f"fault in the sink: {type(error).__name__}")


class Sink(Protocol):
    """Somewhere that alerts go."""

    @property
    def name(self) -> str:
        """The name under which the outbox keeps its events."""

    def deliver(self, message: Message) -> Outcome:
        """Send one event; failures are returned, never raised."""

    def close(self) -> None:
        """Let go of connections."""


class Secret:
    """A secret that is read anew each time, so that a rotated one needs no restart.

    Args:
        what: what it is, for messages.
        file: the file that holds it, or None.
        variable: the environment variable that holds it, or None.
    """

    def __init__(self, what: str, file: Path | None, variable: str | None) -> None:
        self._what = what
        self._file = file
        self._variable = variable

    @property
    def given(self) -> bool:
        """Whether the settings name one."""
        return self._file is not None or self._variable is not None

    def read(self) -> str:
        """The secret without surrounding white space.

        Raises:
            AlertConfigError: the file can't be read, the variable is unset, or it is empty.
        """
        if self._file is None:
            where = f"environment variable {self._variable}"
            value = os.environ.get(self._variable or "", "")
        else:
            where = f"file {self._file}"
            try:
                value = self._file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "not UTF-8"
                raise AlertConfigError(f"{self._what}: {where} can't be read: {why}") from error
        if not value.strip():
            raise AlertConfigError(f"{self._what}: {where} is empty or unset; it must hold the secret")
        return value.strip()


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    text: str
    retry_after: float | None


class HttpPoster:
    """Posts JSON and turns what can go wrong on the way into `Retry`."""

    def __init__(self, config: HttpSinkBase) -> None:
        # httpx logs whole URLs at INFO, and a webhook's URL is often its secret.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        try:
            self._client = httpx.Client(
                timeout=config.timeout_seconds,
                verify=_tls(config.tls),
                follow_redirects=False,
                headers={"User-Agent": f"alignwatch/{__version__}", "Content-Type": "application/json"},
            )
        except (OSError, ssl.SSLError) as error:
            raise AlertConfigError(f"alerts sink {config.name!r}: TLS files can't be loaded: {error}") from error

    def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Reply | Retry:
        """The receiver's answer, or why there is none."""
        try:
            response = self._client.post(url, content=body, headers=headers)
        except httpx.TimeoutException as error:
            return Retry(f"no answer in time ({type(error).__name__})")
        except httpx.HTTPError as error:
            return Retry(one_line(f"{type(error).__name__}: {error}"))
        except (httpx.InvalidURL, ValueError, OSError) as error:
            # The message may hold the URL, and the URL a token.
            return Retry(f"the request can't be made ({type(error).__name__})")
        return Reply(response.status_code, response.text, retry_after(response.headers.get("Retry-After")))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def judge(reply: Reply, *, accepted: range | tuple[int, ...]) -> Outcome:
    """What an answer means: 4xx other than 408, 425 and 429 is final, anything else unexpected is tried again."""
    if reply.status in accepted:
        return Delivered()
    reason = one_line(f"HTTP {reply.status}: {reply.text}" if reply.text.strip() else f"HTTP {reply.status}")
    if 400 <= reply.status < 500 and reply.status not in _TOO_EARLY:  # noqa: PLR2004
        return Rejected(reason)
    return Retry(reason, reply.retry_after)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds of a `Retry-After` header, given as seconds or as a date (RFC 9110, 10.2.3); None when unreadable.

    >>> retry_after("120"), retry_after("soon"), retry_after("Tue, 14 Nov 2023 22:13:30 GMT", now=1_700_000_000.0)
    (120.0, None, 10.0)
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    current = email.utils.localtime().timestamp() if now is None else now
    return max(0.0, at.timestamp() - current)


def one_line(text: str, limit: int = REASON_LENGTH) -> str:
    """At most `limit` printable characters on one line."""
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())[:limit]


def _tls(config: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    if config.cert_file is not None:
        context.load_cert_chain(str(config.cert_file), str(config.key_file) if config.key_file else None)
    return context
