"""Where time comes from: the machine, a test, or a demo that runs faster than life."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, and a way to wait for some of them."""

    def now(self) -> float:
        """Epoch seconds."""

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Wait `seconds` of this clock's time, or until `wake` is set."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Wait in real time."""
        (wake or threading.Event()).wait(max(0.0, seconds))


class ManualClock:
    """A test's clock: stands still until told, and sleeping moves it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Epoch seconds, as last set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        self._now += seconds

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Return at once, the time having passed."""
        del wake
        self.advance(max(0.0, seconds))


class ScaledClock:
    """`speed` seconds of its time pass in each real second: the demo's days in minutes."""

    def __init__(self, start: float, speed: float) -> None:
        if speed <= 0:
            raise ValueError(f"speed={speed}; it must be above 0")
        self.speed = speed
        self._start = start
        self._origin = time.monotonic()

    def now(self) -> float:
        """Epoch seconds in scaled time."""
        return self._start + (time.monotonic() - self._origin) * self.speed

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Wait `seconds` of scaled time."""
        (wake or threading.Event()).wait(max(0.0, seconds / self.speed))
