"""Records that gateways deliver over HTTP as a source: spooled to disk when accepted, replayed after a restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final

from monitor.errors import SourceError
from monitor.sources._base import Record, TopicPartition
from monitor.sources._config import HttpSourceConfig
from monitor.sources._inbox import GroupCommit, InboxFullError, Incoming, size_of
from monitor.sources._spool import Frame, Spool, record_of

log = logging.getLogger(__name__)

WHERE: Final = TopicPartition("http", 0)


class HttpSource:
    """One partition, `http[0]`, whose records come in through `put` and lie in a spool until acknowledged.

    `put` may be called from any thread; the rest as the Source protocol says.

    Args:
        config: the folder and its bounds.
    """

    def __init__(self, config: HttpSourceConfig) -> None:
        self._config = config
        self._spool: Spool | None = None
        self._group: GroupCommit | None = None
        self._changed = threading.Condition()
        self._cursor = 0
        self._frames: Iterator[tuple[int, Frame]] = iter(())
        self._paused = self._closed = False
        self._fault: str | None = None

    def put(self, records: Sequence[Incoming]) -> Future[None]:
        """Spool records; the future is done once the disk has them.

        Raises:
            InboxFullError: the spool is at its bound.
            SourceError: not started, or closed.
        """
        with self._changed:
            spool, group = self._spool, self._group
            if spool is None or group is None:
                raise SourceError("http: not started yet")
            if spool.bytes + size_of(records) > self._config.max_bytes:
                raise InboxFullError(f"http: the spool holds {spool.bytes} bytes; at most {self._config.max_bytes}")
        return group.put(records)

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Open the spool and begin at the state's position.

        Raises:
            SourceError: the spool can't be opened, is damaged, or belongs to another process.
        """
        spool = Spool(self._config.spool, segment_bytes=self._config.segment_bytes)
        position = positions.get(WHERE, spool.first)
        if position > spool.next:
            # All was acknowledged and removed, or the folder is a new one: numbers must not be used twice.
            spool.start_at(position)
        elif position < spool.first:
            log.warning("the spool begins after the state", extra={"state": position, "spool": spool.first})
            position = spool.first
        with self._changed:
            self._cursor = position
            self._spool = spool
            self._group = GroupCommit("spool", self._append, queue_bytes=self._config.queue_bytes)
            self._closed = False

    def _append(self, records: Sequence[Incoming]) -> None:
        assert self._spool is not None
        try:
            # The flush is outside the lock: reading goes on meanwhile, up to `next`, which moves last.
            self._spool.append(records)
            self._fault = None
        except SourceError as error:
            self._fault = str(error)
            raise
        with self._changed:
            self._changed.notify_all()

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """The next records of the spool.

        Raises:
            SourceError: the spool is damaged at this place.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._available() > 0, timeout)
            if self._available() == 0 or self._spool is None:
                return []
            end = self._spool.next
        found = self._take(min(max_records, end - self._cursor))
        if found:
            self._cursor = found[-1].offset + 1
        return found

    def _take(self, count: int) -> list[Record]:
        found = [record_of(frame, WHERE, offset) for offset, frame in islice(self._frames, count)]
        if not found and self._spool is not None:
            # The iterator ends where the spool ended when it was made; there is more by now.
            self._frames = self._spool.read(self._cursor)
            found = [record_of(frame, WHERE, offset) for offset, frame in islice(self._frames, count)]
        return found

    def _available(self) -> int:
        return 0 if self._paused or self._spool is None else self._spool.next - self._cursor

    def ack(self, positions: Mapping[TopicPartition, int]) -> None:
        """Remove the segments that are done with."""
        offset = positions.get(WHERE)
        if offset is None or self._spool is None:
            return
        try:
            self._spool.drop_below(offset)
        except OSError as error:
            raise SourceError(f"{self._config.spool}: can't remove a segment: {error.strerror}") from error

    def pause(self) -> None:
        """Hand out nothing; deliveries are still taken in, up to the spool's bound."""
        self._paused = True

    def resume(self) -> None:
        """Hand out again."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def lag(self) -> dict[TopicPartition, int]:
        """Records spooled and not handed out."""
        spool = self._spool
        return {} if spool is None else {WHERE: max(0, spool.next - self._cursor)}

    def assigned(self) -> frozenset[TopicPartition]:
        """The one partition, once started."""
        return frozenset() if self._spool is None else frozenset({WHERE})

    @property
    def exhausted(self) -> bool:
        """Never: somebody may deliver."""
        return False

    def ready(self) -> bool:
        """True while deliveries can be made durable."""
        return self._spool is not None and not self._closed and self._fault is None

    def close(self) -> None:
        """Make durable what waits, and let go of the folder."""
        with self._changed:
            self._closed = True
            group, self._group = self._group, None
            self._changed.notify_all()
        if group is not None:
            group.close()
        with self._changed:
            if self._spool is not None:
                self._spool.close()
                self._spool = None
