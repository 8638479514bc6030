"""Remembers which exchange ids were counted, so that a record delivered twice changes nothing.

The horizon: an id is known for `dedup_window_seconds` of event time (an hour by default) behind the newest one, and
within the latest `dedup_capacity` ids. A record sent twice further apart than that counts twice; records delivered
twice by Kafka do not, however far apart, because offsets commit together with what they led to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from hashlib import blake2b


def id_hash(deployment: str, identifier: str) -> int:
    """63 bits of a hash of the id within its deployment; a chance collision drops one label in 1e13."""
    digest = blake2b(f"{deployment}\0{identifier}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class SeenIds:
    """Ids counted within a window of event time, at most `capacity` of them.

    Args:
        window: seconds of event time an id is remembered for.
        capacity: upper bound; beyond it the oldest are forgotten first.
    """

    def __init__(self, window: float, capacity: int = 500_000) -> None:
        self.window = window
        self.capacity = capacity
        self._known: set[int] = set()
        self._order: deque[tuple[int, float]] = deque()
        self._new: list[tuple[int, float]] = []
        self._latest = float("-inf")

    def add(self, key: int, timestamp: float) -> bool:
        """True when `key` was not known; it is now."""
        if key in self._known:
            return False
        self._remember(key, timestamp)
        self._new.append((key, timestamp))
        return True

    def _remember(self, key: int, timestamp: float) -> None:
        self._known.add(key)
        self._order.append((key, timestamp))
        self._latest = max(self._latest, timestamp)
        while self._order and (len(self._order) > self.capacity or self._order[0][1] < self.horizon):
            self._known.discard(self._order.popleft()[0])

    @property
    def horizon(self) -> float:
        """Event time before which nothing is remembered."""
        return self._latest - self.window

    def restore(self, rows: Iterable[tuple[int, float]]) -> None:
        """Take over what a state file remembered."""
        for key, timestamp in rows:
            self._remember(key, timestamp)

    def fresh(self) -> list[tuple[int, float]]:
        """What was added since the last `committed`."""
        return list(self._new)

    def committed(self) -> None:
        """What `fresh` returned is safe."""
        self._new.clear()

    def rollback(self) -> None:
        """Forget what was added since the last `committed`: its records will come again."""
        for key, _ in reversed(self._new):
            self._known.discard(key)
            if self._order and self._order[-1][0] == key:
                self._order.pop()
        self._new.clear()

    def __len__(self) -> int:
        return len(self._known)
