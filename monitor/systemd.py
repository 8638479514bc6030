"""Tells systemd how the service does: ready, alive, stopping.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
Datagrams to the socket that `NOTIFY_SOCKET` names; where it names none, nothing is sent, as under any other supervisor.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 10.0
"""How often the line in `systemctl status` is renewed where no watchdog asks for more."""
STATUS_LENGTH: Final = 200

Check = Callable[[], tuple[bool, str]]
"""Whether something holds, and a short reason."""


class Systemd:
    """The supervisor that started us, if it is systemd.

    Args:
        environment: the process's; `NOTIFY_SOCKET`, and for the watchdog `WATCHDOG_USEC` and `WATCHDOG_PID`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._stopping = threading.Event()
        self._done = threading.Event()
        self.watchdog_seconds = _watchdog(environment)
        """Within which systemd must hear from us; None where it does not ask."""

    def ready(self) -> None:
        """The service has started."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The service is about to end; may be called from a signal handler, and more than once."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._tell("STOPPING=1\nSTATUS=stopping")

    @contextmanager
    def watched(self, live: Check, ready: Check) -> Iterator[None]:
        """Say that the service is alive, as long as `live` says so, and what `ready` says of it."""
        if self._address is None:
            yield
            return
        pulse = threading.Thread(target=self._pulse, args=(live, ready), name="systemd", daemon=True)
        pulse.start()
        try:
            yield
        finally:
            self.stopping()
            self._done.set()
            pulse.join(5.0)

    def _pulse(self, live: Check, ready: Check) -> None:
        # Twice within the time, as systemd advises, so that one late turn is no restart.
        every = min(STATUS_SECONDS, (self.watchdog_seconds or 2 * STATUS_SECONDS) / 2)
        while not self._done.is_set():
            alive, reason = live()
            if self._stopping.is_set():
                # A drain has a limit of its own, TimeoutStopSec.
                self._tell("WATCHDOG=1")
            elif alive:
                fine, said = ready()
                status = ("working" if fine else f"not ready: {said}")[:STATUS_LENGTH].replace("\n", " ")
                self._tell(f"WATCHDOG=1\nSTATUS={status}")
            else:
                # Silence: systemd starts us again, which helps where the loop hangs.
                log.error("the watchdog is left alone", extra={"reason": reason})
            self._done.wait(every)

    def _tell(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
                # Never waits: a supervisor that does not read must not hold up a signal handler or a commit.
                one.settimeout(0.0)
                one.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("systemd can't be told", extra={"reason": error.strerror})


def supervisor() -> Systemd:
    """The one of this process."""
    return Systemd(os.environ)


def _address(name: str) -> str | None:
    """A path, or a name in the abstract name space, which begins with an `@` instead of a zero byte."""
    if not name.startswith(("/", "@")):
        return None
    return f"\0{name[1:]}" if name.startswith("@") else name


def _watchdog(environment: Mapping[str, str]) -> float | None:
    text = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(text) / 1e6 if text.isdecimal() and int(text) and meant else None
