"""The in-memory twin of the other sinks: keeps what it is given, and fails as it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from alerts.changes import ChangeEvent
from alerts.message import Message
from alerts.sinks._base import Delivered, Outcome


class MemorySink:
    """Accepts everything, unless outcomes are scripted; `messages` holds what it took, in order.

    Args:
        name: the sink's name.
        outcomes: what the next deliveries come to; once used up, every delivery succeeds.
    """

    def __init__(self, name: str = "memory", outcomes: Iterable[Outcome] = ()) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.changes: list[ChangeEvent] = []
        self.attempts = 0
        self._outcomes = deque(outcomes)

    def deliver(self, message: Message) -> Outcome:
        """Take the message, or do as scripted."""
        self.attempts += 1
        outcome = self._outcomes.popleft() if self._outcomes else Delivered()
        if isinstance(outcome, Delivered):
            self.messages.append(message)
        return outcome

    def deliver_change(self, change: ChangeEvent) -> Outcome:
        """Take the change, or do as scripted."""
        outcome = self._outcomes.popleft() if self._outcomes else Delivered()
        if isinstance(outcome, Delivered):
            self.changes.append(change)
        return outcome

    def fail(self, *outcomes: Outcome) -> None:
        """Script what the next deliveries come to."""
        self._outcomes.extend(outcomes)

    def close(self) -> None:
        """Keep everything: a test looks at it afterwards."""
