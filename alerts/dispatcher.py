"""Carries alerts from the outbox to the sinks: a thread for each, so that one that hangs delays no other page."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from alerts._courier import Courier, DeliveryHook
from alerts._herald import NoticeHook
from alerts.config import AlertsConfig
from alerts.sinks import Sink


class Dispatcher:
    """Drains the outbox of a state file until stopped.

    Each thread has a connection of its own, so the file must be in WAL mode, where readers and the pipeline's
    commits don't wait for each other.

    Args:
        database: the SQLite file that `Outbox.enqueue` writes to.
        sinks: where to deliver; their names are those of the routes that were enqueued.
        config: pace, back-off and retention.
        on_delivery: counts deliveries.
        on_notice: hears of refusals and of an outbox that can't be read or written.
        now: epoch seconds.
        rng: draws the jitter.
    """

    def __init__(
        self,
        database: Path,
        sinks: Sequence[Sink],
        config: AlertsConfig,
        *,
        on_delivery: DeliveryHook | None = None,
        on_notice: NoticeHook | None = None,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._stop = threading.Event()
        self._deadline = float("inf")
        self.couriers = tuple(
            Courier(
                database,
                sink,
                config,
                known=[one.name for one in sinks],
                on_delivery=on_delivery or _ignore,
                on_notice=on_notice or _ignore,
                now=now,
                rng=rng or random.Random(),  # noqa: S311 - jitter, not a secret
            )
            for sink in sinks
        )
        self._wakes = tuple(threading.Event() for _ in sinks)
        self._threads: tuple[threading.Thread, ...] = ()

    def start(self) -> None:
        """Start delivering, what an earlier process left behind first."""
        if self._threads:
            raise RuntimeError("the dispatcher has been started already; make a new one")
        self._threads = tuple(
            # Daemons, because a receiver that hangs must not hold up the end of the process.
            threading.Thread(target=self._loop, args=pair, name=f"alerts-{pair[0].sink.name}", daemon=True)
            for pair in zip(self.couriers, self._wakes, strict=True)
        )
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look into the outbox now; call it after a commit that enqueued something."""
        for event in self._wakes:
            event.set()

    def drain(self, deadline: float = 10.0) -> int:
        """Deliver what is due, then stop; returns the number of events that stay behind for the next start.

        Waits at most `deadline` seconds, and never for a back-off: those events are safe in the outbox. What is being
        sent when time is up may be sent again after the next start.
        """
        self._deadline = time.monotonic() + deadline
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(max(0.0, self._deadline - time.monotonic()))
        return sum(courier.left for courier in self.couriers)

    def _loop(self, courier: Courier, wake: threading.Event) -> None:
        try:
            while True:
                # Both before looking: what is committed after the look sets `wake` again, and only a look that began
                # after `drain` was called has seen everything.
                wake.clear()
                stopping = self._stop.is_set()
                wait = courier.step()
                if stopping and (wait > 0 or time.monotonic() >= self._deadline):
                    return
                wake.wait(wait)
        finally:
            courier.close()


def _ignore(*_: str) -> None:
    """Nobody listens."""
