"""Remembers what a rebalance changed until the polling thread gets to it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener

from monitor.sources._base import TopicPartition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """A listener that only takes notes.

    Its methods run on the client's network thread, where anything slow stops the heartbeats, also while closing.
    Nothing is committed here: offsets follow our own state, and partitions that were lost must not be committed at all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gained: set[TopicPartition] = set()
        self._gone: set[TopicPartition] = set()
        self.count = 0
        """Times that partitions came or went."""

    def on_partitions_assigned(self, assigned: Iterable[tuple[str, int]]) -> None:
        """Note partitions whose position has to be settled."""
        with self._lock:
            self.count += 1
            self._gained |= {TopicPartition(*one) for one in assigned}

    def on_partitions_revoked(self, revoked: Iterable[tuple[str, int]]) -> None:
        """Forget partitions that went to another member."""
        with self._lock:
            self.count += 1
            gone = {TopicPartition(*one) for one in revoked}
            self._gained -= gone
            self._gone |= gone

    def on_partitions_lost(self, lost: Iterable[tuple[str, int]]) -> None:
        """Forget partitions that another member may have had for a while."""
        self.on_partitions_revoked(lost)

    def take_gained(self) -> frozenset[TopicPartition]:
        """Partitions gained since the last call and still ours."""
        with self._lock:
            gained, self._gained = frozenset(self._gained), set()
        return gained

    def take_lost(self) -> frozenset[TopicPartition]:
        """Partitions that went away since the last call, also those that are back."""
        with self._lock:
            gone, self._gone = frozenset(self._gone), set()
        return gone
