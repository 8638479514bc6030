"""A Kafka cluster in memory, as far as transactions, consumer groups and compacted topics go; no threads, no time.

Rebalances are the test's to decide: `assign` starts a generation, and each member learns of it at its next poll, as a
member does that was busy meanwhile. A transaction from a member of an older generation is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from monitor.errors import SourceError
from monitor.partition_state import Entries
from monitor.sources import Header, Record, TopicPartition
from monitor.sources._base import PositionOf

Fault = Literal["before", "after"]
"""A commit that fails before it has happened, or after: the caller can't tell which."""


class Kept(NamedTuple):
    key: bytes | None
    value: bytes | None


@dataclass
class _Group:
    generation: int = 0
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    owners: dict[str, frozenset[TopicPartition]] = field(default_factory=dict)


class MemoryCluster:
    """Topics and groups."""

    def __init__(self, partition_of: Callable[[bytes | None, int], int]) -> None:
        self.topics: dict[str, list[list[Kept]]] = {}
        self._groups: dict[str, _Group] = {}
        self._partition_of = partition_of

    def create(self, topic: str, partitions: int) -> None:
        self.topics[topic] = [[] for _ in range(partitions)]

    def append(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        parts = self.topics[topic]
        parts[self._partition_of(key, len(parts)) if partition is None else partition].append(Kept(key, value))

    def parts(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in range(len(self.topics[topic]))]

    def end(self, part: TopicPartition) -> int:
        return len(self.topics[part.topic][part.partition])

    def group(self, name: str) -> _Group:
        return self._groups.setdefault(name, _Group())

    def assign(self, group: str, owners: Mapping[str, frozenset[TopicPartition]]) -> None:
        found = self.group(group)
        found.generation += 1
        found.owners = dict(owners)


class MemoryMember:
    """A source that is one member of a group; the twin of a Kafka source in all that the workers ask of it."""

    exhausted = False

    def __init__(self, cluster: MemoryCluster, group: str, name: str, position_of: PositionOf | None = None) -> None:
        self.cluster, self.name = cluster, name
        self._group = group
        self._position_of = position_of
        self._generation = 0
        self._next: dict[TopicPartition, int] = {}
        self._lost: set[TopicPartition] = set()
        self._unsettled: set[TopicPartition] = set()
        self._paused = False

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        pass

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        group = self.cluster.group(self._group)
        if self._generation != group.generation:
            mine = group.owners.get(self.name, frozenset())
            held = self.assigned()
            self._lost |= held - mine
            self._unsettled |= mine - held
            self._unsettled &= mine
            for part in held - mine:
                del self._next[part]
            self._generation = group.generation
        for part in sorted(self._unsettled):
            asked = self._position_of(part) if self._position_of is not None else None
            self._next[part] = asked if asked is not None else group.offsets.get(part, 0)
            self._unsettled.discard(part)
        found: list[Record] = []
        for part in sorted(self._next) if not self._paused else []:
            log = self.cluster.topics[part.topic][part.partition]
            upto = min(len(log), self._next[part] + max_records - len(found))
            found += [
                Record(log[offset].value or b"", part, offset, (), log[offset].key)
                for offset in range(self._next[part], upto)
            ]
            self._next[part] = max(upto, self._next[part])
        return found

    def lost(self) -> frozenset[TopicPartition]:
        lost, self._lost = frozenset(self._lost), set()
        return lost

    def rewind(self) -> None:
        self._unsettled |= set(self._next)

    def committed(self, part: TopicPartition) -> int | None:
        return self.cluster.group(self._group).offsets.get(part)

    def partitions_of(self, topic: str) -> int:
        return len(self.cluster.topics.get(topic, ()))

    def membership(self) -> Any:
        return (self._group, self.name, self._generation)

    def ack(self, positions: Mapping[TopicPartition, int]) -> None:
        raise AssertionError("offsets go with the transaction")

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def lag(self) -> dict[TopicPartition, int]:
        return {part: self.cluster.end(part) - place for part, place in self._next.items()}

    def assigned(self) -> frozenset[TopicPartition]:
        return frozenset(self._next) | frozenset(self._unsettled)

    def ready(self) -> bool:
        return True

    def close(self) -> None:
        pass


class MemoryTransactions:
    """All or nothing, and nothing from a member whose generation is over."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self._messages: list[tuple[str, bytes | None, bytes | None, int | None]] = []
        self.fault: Fault | None = None
        self.recovered = 0

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
    ) -> None:
        self._messages.append((topic, key, value, partition))

    def flush(self) -> None:
        pass

    def commit(self, offsets: Mapping[TopicPartition, int], membership: Any) -> None:
        messages, self._messages = self._messages, []
        fault, self.fault = self.fault, None
        if fault == "before":
            raise SourceError("memory: the broker went away before the commit")
        group, member, generation = membership
        found = self._cluster.group(group)
        if generation != found.generation or member not in found.owners:
            raise SourceError("memory: ILLEGAL_GENERATION")
        for topic, key, value, partition in messages:
            self._cluster.append(topic, key, value, partition)
        found.offsets |= offsets
        if fault == "after":
            raise SourceError("memory: no answer to the commit")

    def recover(self) -> None:
        self.recovered += 1

    def discard(self) -> None:
        self._messages.clear()

    def close(self) -> None:
        self._messages.clear()


class MemoryStateStore:
    """Reads a compacted topic."""

    def __init__(self, cluster: MemoryCluster, topic: str) -> None:
        self._cluster, self.topic = cluster, topic

    def prepare(self, partitions: int) -> None:
        if self.topic not in self._cluster.topics:
            self._cluster.create(self.topic, partitions)

    def read(self, partition: int) -> Entries:
        found: Entries = {}
        for key, value in self._cluster.topics[self.topic][partition]:
            assert key is not None
            found.pop(key, None)
            if value is not None:
                found[key] = value
        return found

    def close(self) -> None:
        pass
