"""Records that come to us instead of being fetched: an inbox answers for each only once it is durable.

Who delivers over HTTP waits for a future; a thread makes whatever has queued up meanwhile durable in one go, so that
many small deliveries share one flush of the disk or one round trip to the broker.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from monitor.errors import SourceError
from monitor.sources._base import Header, Producer
from monitor.sources._memory import MemorySource

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 4 << 20
"""Records made durable together; more wait for the next turn."""
OVERHEAD: Final = 256
"""Bytes counted for a record besides its value."""


class InboxFullError(SourceError):
    """There is no room just now; the sender should come back later."""


class Incoming(NamedTuple):
    """A record as delivered."""

    value: bytes
    headers: tuple[Header, ...] = ()
    key: bytes | None = None
    """Records that belong together share one: the halves of a call."""
    timestamp: float | None = None
    """Epoch seconds of its arrival."""


class Inbox(Protocol):
    """Takes records in."""

    def put(self, records: Sequence[Incoming]) -> Future[None]:
        """Queue records; the future is done once all are durable, or holds the SourceError that kept them from it.

        Raises:
            InboxFullError: there is no room; nothing was taken.
            SourceError: not open yet, or not any more.
        """


class _Delivery(NamedTuple):
    records: Sequence[Incoming]
    size: int
    done: Future[None]


def size_of(records: Sequence[Incoming]) -> int:
    """Bytes that records count for."""
    return sum(len(one.value) + OVERHEAD for one in records)


class GroupCommit:
    """Makes deliveries durable in groups, in a thread of its own.

    Args:
        name: of the thread.
        commit: makes records durable; raises SourceError when it can't, and must then have taken none of them.
        queue_bytes: deliveries that may wait.
    """

    def __init__(self, name: str, commit: Callable[[Sequence[Incoming]], None], *, queue_bytes: int) -> None:
        self._commit = commit
        self._limit = queue_bytes
        self._queue: queue.SimpleQueue[_Delivery | None] = queue.SimpleQueue()
        self._queued = 0
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, records: Sequence[Incoming]) -> Future[None]:
        """Queue a delivery.

        Raises:
            InboxFullError: too much waits already.
            SourceError: closed.
        """
        delivery = _Delivery(records, size_of(records), Future())
        with self._lock:
            if self._closed:
                raise SourceError("the inbox is closed")
            if self._queued and self._queued + delivery.size > self._limit:
                raise InboxFullError(f"{self._queued} bytes wait to become durable; at most {self._limit} may")
            self._queued += delivery.size
            self._queue.put(delivery)
        return delivery.done

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._next_group()
            if not group:
                continue
            try:
                self._commit([one for delivery in group for one in delivery.records])
            except SourceError as error:
                for delivery in group:
                    delivery.done.set_exception(error)
            except Exception as error:
                # Whatever it was: the senders must hear that nothing was kept, and the thread must live.
                log.exception("records could not be made durable")
                for delivery in group:
                    delivery.done.set_exception(SourceError(f"not durable: {type(error).__name__}"))
            else:
                for delivery in group:
                    delivery.done.set_result(None)
            with self._lock:
                self._queued -= sum(delivery.size for delivery in group)

    def _next_group(self) -> tuple[list[_Delivery], bool]:
        """Wait for a delivery and take those behind it; False once closed."""
        group: list[_Delivery] = []
        size = 0
        while size < BATCH_BYTES:
            try:
                one = self._queue.get(block=not group)
            except queue.Empty:
                break
            if one is None:
                return group, False
            if one.done.set_running_or_notify_cancel():
                group.append(one)
                size += one.size
            else:
                # Nobody waits any more: the sender has gone and will send again.
                with self._lock:
                    self._queued -= one.size
        return group, True

    def close(self, timeout: float = 5.0) -> None:
        """Make what waits durable and stop."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        self._thread.join(timeout)


class ProducerInbox:
    """An inbox whose records go to a topic.

    Args:
        producer: its own, which nothing else uses.
        topic: where records go.
        queue_bytes: what may wait, here and in the producer while the broker is away.
    """

    def __init__(self, producer: Producer, topic: str, *, queue_bytes: int = 64 << 20) -> None:
        self._producer = producer
        self._topic = topic
        self._limit = queue_bytes
        self._stuck = 0
        self._group = GroupCommit("inbox", self._send, queue_bytes=queue_bytes)

    def put(self, records: Sequence[Incoming]) -> Future[None]:
        """Queue records for the topic."""
        if self._stuck > self._limit:
            raise InboxFullError(f"the broker has not confirmed {self._stuck} bytes; at most {self._limit} may wait")
        return self._group.put(records)

    def _send(self, records: Sequence[Incoming]) -> None:
        for one in records:
            self._producer.send(self._topic, one.key, one.value, one.headers)
        try:
            self._producer.flush()
        except SourceError:
            # The producer keeps and repeats them: should the sender come again, the second copy is a duplicate id.
            self._stuck += size_of(records)
            raise
        self._stuck = 0

    def close(self) -> None:
        """Flush and let go of the producer."""
        self._group.close()
        self._producer.close()


class MemoryInbox:
    """The in-memory twin: puts into a MemorySource, with room for so many records and faults on demand."""

    def __init__(self, source: MemorySource, *, capacity: int = 1_000_000) -> None:
        self.source = source
        self.capacity = capacity
        self.fault: SourceError | None = None
        """What the next deliveries fail with, until set to None."""

    def put(self, records: Sequence[Incoming]) -> Future[None]:
        """Durable at once."""
        if sum(self.source.lag().values()) + len(records) > self.capacity:
            raise InboxFullError(f"memory: room for {self.capacity} records")
        done: Future[None] = Future()
        if self.fault is not None:
            done.set_exception(self.fault)
            return done
        for one in records:
            self.source.put(one.value, key=one.key, headers=one.headers, timestamp=one.timestamp)
        done.set_result(None)
        return done
