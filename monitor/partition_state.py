"""What the state topic holds about one partition of labels: encoding, integrity, and what has changed since last time.

Every record is a key of its own, so that a commit writes only what changed and compaction keeps the latest of each:

- `meta`: format, next offset, how many records there are and the exclusive-or of their digests;
- `engine`: what belongs to no deployment; `engine/<deployment>`: one deployment's detectors;
- `seen/<offset>`: hashes of the ids counted up to that offset since the one before;
- `incident/<id>`: an incident, with what the sinks have been told about it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import zstandard

from monitor.detection.codec import pack
from monitor.errors import StateError

FORMAT: Final = 1
META: Final = b"meta"
HEAD: Final = b"engine"
ENGINE: Final = b"engine/"
SEEN: Final = b"seen/"
INCIDENT: Final = b"incident/"
_ROW: Final = struct.Struct("<qd")
CHOICE: Final = "restore the topic, or start anew on purpose with --accept-new-state"

Entries = dict[bytes, bytes]
"""Raw values by key, not compressed."""
MIGRATIONS: Final[dict[int, Callable[[Entries], Entries]]] = {}
"""From an older format to the next: what `read` applies before it checks anything else."""


@dataclass
class PartitionState:
    """The state of one partition at `next_offset`."""

    next_offset: int
    partitions: int
    """Partitions of the labels topic when it was written: with another number, keys lie elsewhere."""
    head: bytes = b""
    engines: dict[str, bytes] = field(default_factory=dict)
    """Each deployment's state, in the engine's order."""
    seen: list[tuple[int, float]] = field(default_factory=list)
    incidents: dict[str, bytes] = field(default_factory=dict)

    @property
    def snapshot(self) -> bytes:
        """The engine's snapshot."""
        return pack([self.head, *self.engines.values()])


def pack_seen(rows: Iterable[tuple[int, float]]) -> bytes:
    """Hashes with their event times."""
    return b"".join(_ROW.pack(*row) for row in rows)


def unpack_seen(value: bytes) -> list[tuple[int, float]]:
    """From `pack_seen`."""
    return [(int(key), float(at)) for key, at in _ROW.iter_unpack(value)]


def compressed(value: bytes) -> bytes:
    """As it lies on the topic."""
    return zstandard.compress(value, 3)


def decompressed(value: bytes) -> bytes:
    """From `compressed`.

    Raises:
        StateError: damaged.
    """
    try:
        return zstandard.ZstdDecompressor().decompress(value, max_output_size=1 << 28)
    except zstandard.ZstdError as error:
        raise StateError(f"a record of the state is damaged ({error}); {CHOICE}") from error


class Book:
    """Knows what lies on the topic for one partition, and says what a commit has to write.

    Args:
        entries: what was read; nothing for a new partition.
    """

    def __init__(self, entries: Mapping[bytes, bytes] | None = None) -> None:
        self._values: dict[bytes, bytes] = {}
        self._digest = 0
        for key, value in (entries or {}).items():
            if key != META:
                self._put(key, value)

    def _put(self, key: bytes, value: bytes | None) -> None:
        before = self._values.pop(key, None)
        if before is not None:
            self._digest ^= digest(key, before)
        if value is not None:
            self._values[key] = value
            self._digest ^= digest(key, value)

    def update(self, entries: Mapping[bytes, bytes | None], facts: Mapping[str, Any]) -> dict[bytes, bytes | None]:
        """Take entries in; those that differ from what lies there, and a new `meta` with `facts`, are to be written."""
        changed = {key: value for key, value in entries.items() if self._differs(key, value)}
        for key, value in changed.items():
            self._put(key, value)
        sums = {"format": FORMAT, "records": len(self._values), "digest": f"{self._digest:064x}"}
        return {**changed, META: json.dumps({**sums, **facts}).encode()}

    def _differs(self, key: bytes, value: bytes | None) -> bool:
        there = self._values.get(key)
        # An unchanged deployment is the very same object, and need not be compared.
        return there is not value and there != value

    def keys(self, prefix: bytes) -> list[bytes]:
        """Keys that lie there, oldest first."""
        return [key for key in self._values if key.startswith(prefix)]

    def value(self, key: bytes) -> bytes | None:
        """What lies under a key."""
        return self._values.get(key)

    @property
    def size(self) -> int:
        """Bytes, not compressed."""
        return sum(map(len, self._values.values()))


def digest(key: bytes, value: bytes) -> int:
    """256 bits of a record."""
    return int.from_bytes(hashlib.sha256(key + b"\0" + value).digest(), "big")


def opened(entries: Entries) -> Entries:
    """Records as they lie on the topic, decompressed.

    Raises:
        StateError: one is damaged.
    """
    return {key: value if key == META else decompressed(value) for key, value in entries.items()}


def read(entries: Entries, where: str) -> PartitionState | None:
    """The state in these records; None when there is nothing.

    Raises:
        StateError: records are missing, damaged, or of a format that this version can't read.
    """
    if not entries:
        return None
    meta = _meta(entries, where)
    while meta["format"] != FORMAT:
        migrate = MIGRATIONS.get(meta["format"])
        if migrate is None:
            raise StateError(f"{where}: state format {meta['format']}; this version reads format {FORMAT}; {CHOICE}")
        entries = migrate(entries)
        meta = _meta(entries, where)
    total, records = 0, 0
    for key, value in entries.items():
        if key != META:
            total ^= digest(key, value)
            records += 1
    if f"{total:064x}" != meta["digest"] or records != meta["records"]:
        raise StateError(
            f"{where}: {records} records do not match the checksum of the {meta['records']} that were written; {CHOICE}"
        )
    return PartitionState(
        next_offset=meta["next_offset"],
        partitions=meta["partitions"],
        head=entries.get(HEAD, b""),
        engines={name: entries[ENGINE + name.encode()] for name in meta["deployments"]},
        seen=[row for key, value in entries.items() if key.startswith(SEEN) for row in unpack_seen(value)],
        incidents={
            key.removeprefix(INCIDENT).decode(): value for key, value in entries.items() if key.startswith(INCIDENT)
        },
    )


def next_offset(entries: Entries) -> int:
    """How far the state reaches, without looking at the rest of it; 0 when that can't be told."""
    try:
        return int(json.loads(entries[META])["next_offset"])
    except (KeyError, ValueError, TypeError):
        return 0


def _meta(entries: Entries, where: str) -> dict[str, Any]:
    try:
        meta = dict(json.loads(entries[META]))
    except (KeyError, ValueError, TypeError) as error:
        raise StateError(f"{where}: the state has no readable head; {CHOICE}") from error
    if not isinstance(meta.get("format"), int):
        raise StateError(f"{where}: the state's head names no format; {CHOICE}")
    return meta
