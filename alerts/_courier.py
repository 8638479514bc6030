"""One sink's way through the outbox, a step at a time: no thread and no sleep in here."""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

from alerts._herald import Herald, NoticeHook
from alerts.changes import ChangeQueue
from alerts.config import AlertsConfig
from alerts.errors import OutboxError
from alerts.outbox import LONGEST_WAIT, Entry, Outbox
from alerts.pacing import TokenBucket
from alerts.sinks import Delivered, Outcome, Rejected, Retry, Sink, attempt

IDLE_SECONDS: Final = 5.0
"""How long to sleep at most when nothing is due: the bound on the delay of an event whose wake-up was missed."""
TROUBLE_SECONDS: Final = 2.0
"""How long to leave an outbox alone that can't be read or written."""
CHORES_SECONDS: Final = 3600.0

DeliveryHook = Callable[[str, Literal["sent", "retry", "rejected"]], None]
"""Told the sink's name and what came of a delivery; for counters. It must not raise."""


class Courier:
    """Delivers what is due for one sink, in order, at a bounded pace.

    Args:
        database: the SQLite file that holds the outbox.
        sink: where to deliver.
        config: pace, back-off and retention.
        known: names of all sinks; what waits for others is refused.
        on_delivery: counts deliveries.
        on_notice: hears of refusals and of an outbox that can't be read or written.
        now: epoch seconds.
        rng: draws the jitter.
    """

    def __init__(
        self,
        database: Path,
        sink: Sink,
        config: AlertsConfig,
        *,
        known: Sequence[str],
        on_delivery: DeliveryHook,
        on_notice: NoticeHook,
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.sink = sink
        self.left = 0
        """Events for this sink that wait in the outbox, as of the last look."""
        self._database = database
        self._known = known
        self._config = config
        self._on_delivery = on_delivery
        self._on_notice = on_notice
        self._now = now
        self._rng = rng
        self._outbox: Outbox | None = None
        self._connection: sqlite3.Connection | None = None
        self._bucket = _bucket(config, sink.name)
        self._owed: deque[tuple[Entry, Outcome]] = deque()
        self._failures = 0
        self._held_until = 0.0
        self._chores_at = 0.0
        self._refresh = getattr(sink, "refresh_seconds", None)
        self._refresh_at = 0.0
        self._new = True
        self._herald = Herald(sink, on_notice)

    def step(self) -> float:
        """Deliver at most one event; returns the seconds until the next step is worth while, 0 for at once."""
        try:
            outbox = self._opened()
            wait = self._deliver_next(outbox)
            self.left = outbox.depth(self.sink.name)
        except OutboxError as error:
            self._on_notice(self.sink.name, str(error))
            return TROUBLE_SECONDS
        return wait

    def close(self) -> None:
        """Close the connection and the sink."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._outbox = None
        self.sink.close()

    def _opened(self) -> Outbox:
        if self._outbox is not None:
            return self._outbox
        try:
            # Opened here and not in the constructor, since a connection belongs to the thread that made it.
            # mode=rw: a file that is gone is a fault to report, not to be replaced by an empty one.
            uri = f"{self._database.resolve().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
            # A mark that a power cut undoes costs a repeated event, which the receiver joins to the first.
            self._connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            raise OutboxError(f"outbox: {self._database} can't be opened: {error}") from error
        self._outbox = Outbox(self._connection, now=self._now, rng=self._rng, backoff=self._config.backoff)
        self._herald.queue = ChangeQueue(self._connection, self._now)
        return self._outbox

    def _deliver_next(self, outbox: Outbox) -> float:
        now = self._now()
        self._settle(outbox)
        # A clock that was set back must not keep the sink on hold for longer than any hold lasts.
        self._held_until = min(self._held_until, now + LONGEST_WAIT)
        if now < self._held_until:
            return self._held_until - now
        owed = {entry.seq for entry, _ in self._owed}
        entry = next((one for one in outbox.due(self.sink.name, len(owed) + 1) if one.seq not in owed), None)
        if entry is None:
            # What rings nobody goes when nothing waits that does.
            return TROUBLE_SECONDS if owed else 0.0 if self._herald.tell(now) else self._idle(outbox, now)
        if not self._bucket.take(now):
            return self._bucket.wait(now)
        self._owed.append((entry, self._attempt(entry)))
        self._settle(outbox)
        return max(0.0, self._held_until - self._now())

    def _attempt(self, entry: Entry) -> Outcome:
        outcome = attempt(partial(self.sink.deliver, entry.message))
        if isinstance(outcome, Retry):
            # Other events would meet the same fate, but a single one that its receiver chokes on must not hold
            # them up: the hold grows with failures in a row, while the event itself backs off by its own count.
            hold = self._config.backoff.delay(self._failures, self._rng) if outcome.after is None else outcome.after
            self._held_until = self._now() + min(hold, LONGEST_WAIT)
            self._failures += 1
        else:
            self._failures = 0
        return outcome

    def _settle(self, outbox: Outbox) -> None:
        """Write down what became of deliveries; what can't be written now (disk full) is owed, and not sent again."""
        try:
            while self._owed:
                entry, outcome = self._owed[0]
                self._mark(outbox, entry, outcome)
                self._owed.popleft()
        except OutboxError as error:
            self._on_notice(self.sink.name, f"{len(self._owed)} deliveries can't be written down: {error}")

    def _mark(self, outbox: Outbox, entry: Entry, outcome: Outcome) -> None:
        match outcome:
            case Delivered():
                outbox.mark_sent(entry)
                self._on_delivery(self.sink.name, "sent")
            case Retry(reason, after):
                outbox.mark_retry(entry, reason, after)
                self._on_delivery(self.sink.name, "retry")
            case Rejected(reason):
                outbox.mark_rejected(entry, reason)
                self._on_delivery(self.sink.name, "rejected")
                self._on_notice(self.sink.name, f"{entry.message.dedup_key} was refused: {reason}")

    def _idle(self, outbox: Outbox, now: float) -> float:
        # Only here, since chores write: neither a full disk nor a long commit may hold up what can be sent.
        if now >= self._chores_at and self._chores(outbox, now):
            return 0.0
        if self._refresh is not None and now >= self._refresh_at:
            self._refresh_at = now + self._refresh
            self._repeat(outbox)
        at, wait = outbox.next_due(self.sink.name), self._herald.wait(now)
        return min(wait, IDLE_SECONDS if at is None else min(IDLE_SECONDS, max(0.05, at - now)))

    def _repeat(self, outbox: Outbox) -> None:
        """Tell again what is open, to a receiver that forgets; a failure is told again at the next turn."""
        for message in outbox.open_triggers(self.sink.name):
            if isinstance(attempt(partial(self.sink.deliver, message)), Delivered):
                continue
            self._on_delivery(self.sink.name, "retry")
            # Soon, since the receiver may have lost them all; and not one after the other into a dead connection.
            self._refresh_at = self._now() + min(IDLE_SECONDS, self._refresh or IDLE_SECONDS)
            return

    def _chores(self, outbox: Outbox, now: float) -> bool:
        """What a new process settles once, and pruning; True when there is something to send now."""
        self._chores_at = now + CHORES_SECONDS
        again = 0
        try:
            if self._new:
                again = outbox.requeue_refused(self.sink.name)
                dropped = outbox.drop_unknown_sinks(self._known)
                self._new = False
                if dropped:
                    self._on_notice(self.sink.name, f"{dropped} events waited for sinks that are no longer configured")
            outbox.prune(self._config.retention_days * 86400.0)
            self._herald.prune(self._config.retention_days * 86400.0)
        except OutboxError as error:
            self._chores_at = now + IDLE_SECONDS
            self._on_notice(self.sink.name, str(error))
        if again:
            self._on_notice(self.sink.name, f"{again} refused events about open incidents are tried again")
        return again > 0


def _bucket(config: AlertsConfig, name: str) -> TokenBucket:
    for sink in config.sinks:
        if sink.name == name:
            return TokenBucket(sink.rate_per_minute, sink.burst)
    return TokenBucket(per_minute=60.0, burst=10)
