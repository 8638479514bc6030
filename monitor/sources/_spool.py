"""An append-only spool on disk: records are durable when `append` returns and go once they are acknowledged.

A folder of segments, each named by the offset of its first record. A record is a frame: length and CRC-32 of what
follows, how many bytes of the same append come behind it, arrival time, headers, value. A crash may spoil the last
append, which nobody was told is durable: it is cut off. A fault anywhere else is reported, never skipped.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from monitor.errors import SourceError
from monitor.sources._base import Record, TopicPartition
from monitor.sources._inbox import Incoming

log = logging.getLogger(__name__)

SUFFIX: Final = ".spool"
_FRAME: Final = struct.Struct(">III")
_FIXED: Final = struct.Struct(">dI")
MAX_FRAME: Final = 1 << 30
_DIGITS: Final = 20


class Frame(NamedTuple):
    """One record as it lies in a segment."""

    timestamp: float
    headers: bytes
    value: bytes
    size: int
    """Of the frame, in bytes."""


class BadFrameError(ValueError):
    """What should be a frame is none; `end` is where its append ends, None where not even that can be read."""

    def __init__(self, what: str, end: int | None) -> None:
        super().__init__(what)
        self.end = end


def encode(records: Sequence[Incoming]) -> bytes:
    """The frames of one append."""
    bodies = [_body(one) for one in records]
    behind = sum(map(len, bodies)) + _FRAME.size * len(bodies)
    parts = []
    for body in bodies:
        behind -= _FRAME.size + len(body)
        parts += [_FRAME.pack(len(body), zlib.crc32(body), behind), body]
    return b"".join(parts)


def _body(record: Incoming) -> bytes:
    headers = b""
    if record.headers:
        headers = json.dumps([[name, value.decode("latin-1")] for name, value in record.headers]).encode()
    return b"".join((_FIXED.pack(record.timestamp or 0.0, len(headers)), headers, record.value))


def read_frame(file: BinaryIO) -> Frame | None:
    """The next frame; None at the end, also where half a frame follows.

    Raises:
        BadFrameError: what follows is no frame.
    """
    began = file.tell()
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    length, checksum, behind = _FRAME.unpack(head)
    if not _FIXED.size <= length <= MAX_FRAME:
        raise BadFrameError("length", None)
    body = file.read(length)
    if len(body) < length:
        return None
    end = began + _FRAME.size + length + behind
    if zlib.crc32(body) != checksum:
        raise BadFrameError("checksum", end)
    timestamp, headers = _FIXED.unpack_from(body)
    cut = _FIXED.size + headers
    if cut > length:
        raise BadFrameError("headers", end)
    return Frame(timestamp, body[_FIXED.size : cut], body[cut:], _FRAME.size + length)


def record_of(frame: Frame, where: TopicPartition, offset: int) -> Record:
    """A frame as the record that a source hands out."""
    pairs = json.loads(frame.headers) if frame.headers else ()
    headers = tuple((str(name), str(value).encode("latin-1")) for name, value in pairs)
    return Record(frame.value, where, offset, headers, None, frame.timestamp or None)


class Spool:
    """A folder of segments. One thread appends while another reads and removes.

    Args:
        folder: made when missing, readable by its owner alone: it holds prompts and answers until they are read.
        segment_bytes: a new segment begins beyond this.

    Raises:
        SourceError: the folder can't be used, another process uses it, or it is damaged.
    """

    def __init__(self, folder: Path, *, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._sizes: dict[int, int] = {}
        self._mutex = threading.Lock()
        self._file: BinaryIO | None = None
        self._current = -1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("ab")
            os.chmod(folder / "lock", 0o600)  # noqa: PTH101 - the mode of an open file
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(
                f"{folder}: another process uses this spool; give each its own source.http.spool"
            ) from None
        except OSError as error:
            raise SourceError(f"{folder}: the spool can't be opened: {error.strerror}") from error
        self.next = self._recover()
        """The offset that the next record gets."""
        self.bytes = sum(self._sizes.values())
        """Of all segments."""

    @property
    def first(self) -> int:
        """The lowest offset that is still here; `next` where nothing is."""
        return min(self._sizes, default=self.next)

    def _recover(self) -> int:
        names = sorted(self._folder.glob(f"*{SUFFIX}"))
        for path in names:
            self._sizes[int(path.stem)] = path.stat().st_size
        if not names:
            return 0
        last = names[-1]
        offset, good = int(last.stem), 0
        with last.open("r+b") as file:
            try:
                while (frame := read_frame(file)) is not None:
                    offset += 1
                    good += frame.size
            except BadFrameError as fault:
                self._expect_torn(file, good, last, fault)
            if good < self._sizes[int(last.stem)]:
                log.warning("cut half a record off the spool", extra={"file": str(last), "from": good})
                file.truncate(good)
                os.fsync(file.fileno())
        self._sizes[int(last.stem)] = good
        return offset

    def _expect_torn(self, file: BinaryIO, good: int, path: Path, fault: BadFrameError) -> None:
        """Of the last append a crash may have left anything; what a later append follows was durable."""
        file.seek(good)
        rest = file.read()
        torn = fault.end >= good + len(rest) if fault.end is not None else not rest.strip(b"\0")
        if not torn:
            raise SourceError(
                f"{path}: damaged at byte {good} ({fault}); restore it, or cut it there to lose what follows"
            ) from None

    def start_at(self, offset: int) -> None:
        """Number records from `offset` on: the folder is new, but a state knows of records before."""
        assert offset > self.next
        for first in list(self._sizes):
            self._remove(first)
        self._close_file()
        self.next = offset

    def append(self, records: Sequence[Incoming]) -> None:
        """Write records and wait until the disk has them.

        Raises:
            SourceError: it does not; none of them was kept.
        """
        if not records:
            return
        frames = encode(records)
        with self._mutex:
            self._write(frames)
            self.next += len(records)

    def _write(self, frames: bytes) -> None:
        if self._file is None or self._sizes[self._current] > self._segment_bytes:
            self._begin_segment()
        assert self._file is not None
        before = self._sizes[self._current]
        try:
            self._file.write(frames)
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self._take_back(before)
            raise SourceError(f"{self._folder}: can't write: {error.strerror}") from error
        self._sizes[self._current] = before + len(frames)
        self.bytes += len(frames)

    def _begin_segment(self) -> None:
        self._close_file()
        # After a restart the last segment goes on.
        last = max(self._sizes, default=self.next)
        if last in self._sizes and self._sizes[last] > self._segment_bytes:
            last = self.next
        path = self._path(last)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise SourceError(f"{path}: can't be made: {error.strerror}") from error
        self._current = last
        self._sizes.setdefault(last, 0)

    def _take_back(self, size: int) -> None:
        """Remove what a failed write may have left, or the next one would follow half a frame."""
        assert self._file is not None
        try:
            self._file.truncate(size)
        except OSError:
            # Then the segment ends here: half a frame at the end of a file that is read no further.
            self._close_file()
            self._sizes[self.next] = 0

    def read(self, offset: int) -> Iterator[tuple[int, Frame]]:
        """Frames from `offset` on, through the segments, up to what was there when each was opened.

        Raises:
            SourceError: a segment is damaged or gone.
        """
        with self._mutex:
            plan = self._spans()
        for first, end in plan:
            if end > offset:
                yield from self._read_segment(first, end, offset)

    def _spans(self) -> list[tuple[int, int]]:
        """First offset and end of each segment, in order."""
        firsts = sorted(self._sizes)
        return list(pairwise([*firsts, self.next]))

    def _read_segment(self, first: int, end: int, offset: int) -> Iterator[tuple[int, Frame]]:
        path = self._path(first)
        try:
            with path.open("rb") as file:
                for number in range(first, end):
                    frame = read_frame(file)
                    if frame is None:
                        raise SourceError(f"{path}: ends before record {number}")
                    if number >= offset:
                        yield number, frame
        except BadFrameError as fault:
            raise SourceError(f"{path}: damaged at record {number} ({fault}); restore it") from None
        except OSError as error:
            raise SourceError(f"{path}: can't be read: {error.strerror}") from error

    def drop_below(self, offset: int) -> None:
        """Remove the segments that hold nothing from `offset` on."""
        with self._mutex:
            for first, end in self._spans():
                if end > offset:
                    break
                if self._file is not None and first == self._current:
                    self._close_file()
                self._remove(first)

    def _remove(self, first: int) -> None:
        self._path(first).unlink(missing_ok=True)
        self.bytes -= self._sizes.pop(first)

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:0{_DIGITS}d}{SUFFIX}"

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Close files and let others use the folder."""
        self._close_file()
        self._lock.close()
