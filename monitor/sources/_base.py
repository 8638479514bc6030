"""The source and producer protocols and the records that pass through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Header = tuple[str, bytes]


class TopicPartition(NamedTuple):
    """What offsets count in: a Kafka partition, a file as `(path, 0)`, a memory source as `(name, partition)`."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """One message as the source delivered it, undecoded.

    Attributes:
        value: the body; empty for a Kafka tombstone.
        where: the partition it came from.
        offset: its place there; the next position is `offset + 1`.
        headers: in the order sent.
        key: the message key, if any.
        timestamp: epoch seconds that the transport stamped it with, if any.
    """

    value: bytes
    where: TopicPartition
    offset: int
    headers: tuple[Header, ...] = ()
    key: bytes | None = None
    timestamp: float | None = None


PositionOf = Callable[[TopicPartition], int | None]
"""Next offset of a partition according to the caller's state, None where it has none. Called on the polling thread."""

CheckNew = Callable[[TopicPartition, int | None], None]
"""Told of a partition and the group's offset there; raises SourceError to refuse it."""


class Source(Protocol):
    """A stream of records that can be resumed from stated positions.

    One thread calls `start`, `poll`, `ack`, `pause`, `resume` and `close`; `lag`, `assigned` and `ready` may be called
    from any thread and never wait for the network.
    """

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin; `positions` are next offsets from the caller's own state and win over what the broker remembers.

        Raises:
            SourceError: it can never work (a missing file). A broker that is down is not an error: `ready` is False.
        """

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Up to `max_records` records in order, waiting at most about `timeout` seconds; [] while paused or down.

        Raises:
            SourceError: it can't go on without an operator; polling again tries again, nothing was skipped.
        """

    def ack(self, positions: Mapping[TopicPartition, int]) -> None:
        """Tell the origin that everything below these next offsets is done; only after the caller's state committed.

        Raises:
            SourceError: it could not be told; harmless, tell it again later.
        """

    def pause(self) -> None:
        """Hand out nothing until `resume`; `poll` must still be called, it keeps the group membership."""

    def resume(self) -> None:
        """Hand out records again, from where `pause` stopped."""

    def lag(self) -> dict[TopicPartition, int]:
        """Records waiting behind the last one handed out, where that is known."""

    def assigned(self) -> frozenset[TopicPartition]:
        """Partitions that are ours just now."""

    @property
    def exhausted(self) -> bool:
        """True once no record will ever follow (files read to their end)."""

    def ready(self) -> bool:
        """True while the origin answers and our part of it is settled."""

    def close(self) -> None:
        """Let go of everything; acknowledges nothing."""


class Producer(Protocol):
    """Sends records to topics, at least once."""

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[Header] = ()) -> None:
        """Hand a record over; it is durable only when a later `flush` returns."""

    def flush(self) -> None:
        """Wait until everything handed over is durable.

        Raises:
            SourceError: something is not; it is kept and tried again at the next flush.
        """

    def close(self) -> None:
        """Let go of connections; what was not flushed is lost."""
