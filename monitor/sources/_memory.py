"""In-memory twins of a source and a producer: same promises, no network, faults on demand."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.errors import SourceError
from monitor.sources._base import Header, Record, TopicPartition


class MemorySource:
    """Partitions in memory; any thread may `put`, one thread polls.

    Args:
        name: the topic that records claim to come from.
        partitions: how many; records go to partition 0 unless told otherwise.

    Acknowledged records are dropped, so that an endless demo does not grow.
    """

    def __init__(self, name: str = "memory", partitions: int = 1) -> None:
        self._parts = [TopicPartition(name, number) for number in range(partitions)]
        self._records: dict[TopicPartition, deque[Record]] = {part: deque() for part in self._parts}
        self._end = dict.fromkeys(self._parts, 0)
        self._next = dict.fromkeys(self._parts, 0)
        self._acked: dict[TopicPartition, int] = {}
        self._changed = threading.Condition()
        self._finished = self._paused = self._started = self._closed = self._down = False
        self._poll_faults: deque[Exception] = deque()
        self._ack_faults: deque[Exception] = deque()

    def put(
        self,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        timestamp: float | None = None,
        partition: int = 0,
    ) -> int:
        """Append a record and return its offset."""
        where = self._parts[partition]
        with self._changed:
            offset = self._end[where]
            self._records[where].append(Record(value, where, offset, tuple(headers), key, timestamp))
            self._end[where] = offset + 1
            self._changed.notify_all()
        return offset

    def finish(self) -> None:
        """No record will follow: `exhausted` turns True once all were handed out."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def fail_poll(self, error: Exception | None = None, times: int = 1) -> None:
        """The next `times` polls raise `error` (a SourceError when None)."""
        self._poll_faults.extend([error or SourceError("memory: injected poll fault")] * times)

    def fail_ack(self, error: Exception | None = None, times: int = 1) -> None:
        """The next `times` acknowledgements raise `error` (a SourceError when None)."""
        self._ack_faults.extend([error or SourceError("memory: injected ack fault")] * times)

    def go_down(self, *, down: bool = True) -> None:
        """Behave like a broker that is away (not ready, empty polls) until called with `down=False`."""
        with self._changed:
            self._down = down
            self._changed.notify_all()

    def redeliver(self) -> None:
        """Hand out again everything that was not acknowledged, as after a rebalance without a state."""
        with self._changed:
            self._next = {part: self._acked.get(part, 0) for part in self._parts}
            self._changed.notify_all()

    @property
    def acked(self) -> dict[TopicPartition, int]:
        """Next offsets as last acknowledged."""
        return dict(self._acked)

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin at `positions`; elsewhere at what was acknowledged, or the start."""
        with self._changed:
            for part in self._parts:
                first = self._records[part][0].offset if self._records[part] else self._end[part]
                self._next[part] = positions.get(part, self._acked.get(part, 0))
                if self._next[part] < first:
                    raise SourceError(
                        f"memory: {part.topic}[{part.partition}] starts at {first}, after {self._next[part]}"
                    )
            self._started, self._closed = True, False

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Records of all partitions in turn; waits on a condition, never sleeps past a `put`."""
        if self._poll_faults:
            raise self._poll_faults.popleft()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._available() or self._over(), timeout)
            if not self._available():
                return []
            found: list[Record] = []
            for part in self._parts:
                found += self._take(part, max_records - len(found))
            return found

    def _available(self) -> bool:
        blocked = self._paused or self._down or not self._started
        return not blocked and any(self._next[part] < self._end[part] for part in self._parts)

    def _over(self) -> bool:
        return self._finished and all(self._next[part] >= self._end[part] for part in self._parts)

    def _take(self, part: TopicPartition, count: int) -> list[Record]:
        records = self._records[part]
        if not records or count <= 0:
            return []
        skip = max(0, self._next[part] - records[0].offset)
        taken = list(itertools.islice(records, skip, skip + count))
        if taken:
            self._next[part] = taken[-1].offset + 1
        return taken

    def ack(self, positions: Mapping[TopicPartition, int]) -> None:
        """Remember and drop what lies below."""
        if self._ack_faults:
            raise self._ack_faults.popleft()
        with self._changed:
            for part, offset in positions.items():
                if part not in self._records:
                    continue
                self._acked[part] = offset
                records = self._records[part]
                while records and records[0].offset < offset:
                    records.popleft()

    def pause(self) -> None:
        """Hand out nothing."""
        self._paused = True

    def resume(self) -> None:
        """Hand out again."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def lag(self) -> dict[TopicPartition, int]:
        """Records not handed out yet."""
        return {part: self._end[part] - self._next[part] for part in self._parts}

    def assigned(self) -> frozenset[TopicPartition]:
        """All partitions, once started."""
        return frozenset(self._parts) if self._started else frozenset()

    @property
    def exhausted(self) -> bool:
        """True after `finish` once all was handed out."""
        return self._over()

    def ready(self) -> bool:
        """True between `start` and `close`, unless told to be down."""
        return self._started and not self._closed and not self._down

    def close(self) -> None:
        """Wake a waiting poll and stop."""
        with self._changed:
            self._closed, self._started = True, False
            self._changed.notify_all()


class Sent(NamedTuple):
    """What a producer was given."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[Header, ...]


class MemoryProducer:
    """Keeps what it is given: `pending` until flushed, then `durable`."""

    def __init__(self) -> None:
        self.pending: list[Sent] = []
        self.durable: list[Sent] = []
        self._faults = 0

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[Header] = ()) -> None:
        """Keep a record."""
        self.pending.append(Sent(topic, key, value, tuple(headers)))

    def fail_flush(self, times: int = 1) -> None:
        """The next `times` flushes fail and keep everything pending."""
        self._faults += times

    def flush(self) -> None:
        """Make pending records durable."""
        if self._faults:
            self._faults -= 1
            raise SourceError(f"memory: injected flush fault, {len(self.pending)} records kept")
        self.durable += self.pending
        self.pending.clear()

    def close(self) -> None:
        """Lose what was not flushed."""
        self.pending.clear()
