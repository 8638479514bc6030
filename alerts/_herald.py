"""Tells one sink of changes, a step at a time: slowly, in order, and each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, runtime_checkable

from alerts.changes import ChangeEvent, ChangeQueue
from alerts.pacing import TokenBucket
from alerts.sinks import Outcome, Rejected, Retry, Sink, attempt

PER_MINUTE: Final = 6.0
BURST: Final = 5
LONGEST_SECONDS: Final = 5.0
"""How long to wait at most for the next look."""

NoticeHook = Callable[[str, str], None]
"""Told the sink's name and a sentence that an operator should read; for the log. It must not raise."""


@runtime_checkable
class HearsChanges(Protocol):
    """A sink that has something to do with a change."""

    def deliver_change(self, change: ChangeEvent) -> Outcome:
        """Send one; failures are returned, never raised."""


class Herald:
    """Delivers changes to a sink that hears of such; does nothing for another.

    Args:
        sink: where to.
        on_notice: hears of refusals.
    """

    def __init__(self, sink: Sink, on_notice: NoticeHook) -> None:
        self.queue: ChangeQueue | None = None
        """Set once the database is open."""
        self._name = sink.name
        self._sink = sink if isinstance(sink, HearsChanges) else None
        self._on_notice = on_notice
        self._pace = TokenBucket(PER_MINUTE, BURST)
        self._told: set[int] = set()
        """Sent, but not written down yet."""

    def tell(self, now: float) -> bool:
        """Deliver one change if one is due and the pace allows; True when one was tried.

        Raises:
            OutboxError: the database can't be read or written; what was sent is not sent again.
        """
        due = self.queue.due(self._name) if self.queue is not None and self._sink is not None else None
        if self.queue is None or self._sink is None or due is None:
            return False
        if due.seq not in self._told:
            if not self._pace.take(now):
                return False
            outcome = attempt(partial(self._sink.deliver_change, due.event))
            if isinstance(outcome, Retry):
                self.queue.later(due, outcome.reason, outcome.after)
                return True
            if isinstance(outcome, Rejected):
                self._on_notice(self._name, f"a change event was refused: {outcome.reason}")
                self.queue.let_go(due, outcome.reason)
                return True
            self._told.add(due.seq)
        self.queue.sent(due)
        self._told.discard(due.seq)
        return True

    def wait(self, now: float) -> float:
        """Seconds until the next look is worth while."""
        at = self.queue.next_due(self._name) if self.queue is not None and self._sink is not None else None
        if at is None:
            return LONGEST_SECONDS
        return min(LONGEST_SECONDS, max(0.05, at - now, self._pace.wait(now)))

    def prune(self, keep_seconds: float) -> None:
        """Forget what was settled longer ago than this."""
        if self.queue is not None:
            self.queue.prune(keep_seconds)
