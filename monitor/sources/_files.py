"""Recorded traffic as a source: JSONL files, plain or compressed, and stdin."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from monitor.errors import SourceError
from monitor.sources._base import Record, TopicPartition
from monitor.sources._bytes import file_chunks, pipe_chunks, plain_chunks, split_lines

STDIN: Final = "-"
MAX_LINE: Final = 16 << 20
"""Longer lines are cut here; decoding rejects far shorter ones."""


class FileSource:
    """Lines of files, one record each, file after file; blank lines are skipped.

    Args:
        paths: files in the order to read them; `-` is stdin; a single text is one path.
        stdin: what `-` reads; the process's own when None.

    The offset of a record is its line number from 0, so that a position in a compressed file means the same as in the
    plain one. Stdin can't be read again: its numbers go on from the given position.
    """

    def __init__(self, paths: Sequence[str | Path] | str | Path, *, stdin: BinaryIO | None = None) -> None:
        names = [paths] if isinstance(paths, str | Path) else list(paths)
        self._parts = [TopicPartition(str(name), 0) for name in names]
        if len(set(self._parts)) != len(self._parts):
            raise SourceError("files: a file is named twice; offsets are kept for each name once")
        self._stdin = stdin
        self._lines: Iterator[Record | None] = iter(())
        self._timeout = 0.0
        self._fault: SourceError | None = None
        self._paused = self._done = self._started = False

    def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Check that every file is there, and begin at `positions` (line numbers).

        Raises:
            SourceError: a file is missing or is not a file.
        """
        for part in self._parts:
            if part.topic != STDIN and not Path(part.topic).exists():
                raise SourceError(f"{part.topic}: no such file")
            if part.topic != STDIN and Path(part.topic).is_dir():
                raise SourceError(f"{part.topic}: is a directory; name files")
        self._lines = self._records(dict(positions))
        self._started = True

    def _records(self, positions: dict[TopicPartition, int]) -> Iterator[Record | None]:
        for part in self._parts:
            yield from self._read(part, positions.get(part, 0))

    def _read(self, part: TopicPartition, first: int) -> Iterator[Record | None]:
        with ExitStack() as stack:
            if part.topic == STDIN:
                raw = pipe_chunks(self._stdin or sys.stdin.buffer, lambda: self._timeout)
                number, skip_below = first, 0
            else:
                raw = file_chunks(stack.enter_context(Path(part.topic).open("rb")))
                number, skip_below = 0, first
            for line in split_lines(plain_chunks(raw, part.topic), MAX_LINE):
                if line is None:
                    yield None
                    continue
                if number >= skip_below and line and not line.isspace():
                    yield Record(line, part, number)
                number += 1

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """The next lines; only stdin ever waits.

        Raises:
            SourceError: a file can't be read further; everything before the fault was handed out, and the fault stays.
        """
        if self._paused:
            time.sleep(timeout)
            return []
        if self._fault is not None:
            raise self._fault
        self._timeout = timeout
        found: list[Record] = []
        try:
            while len(found) < max_records:
                record = next(self._lines)
                if record is None:
                    break
                found.append(record)
        except StopIteration:
            self._done = self._started
        except SourceError as error:
            self._fault = error
        except OSError as error:
            self._fault = SourceError(f"{error.filename or 'file'}: can't be read: {error.strerror}")
        if self._fault is not None and not found:
            raise self._fault
        return found

    def ack(self, positions: Mapping[TopicPartition, int]) -> None:
        """Files remember nothing: the caller's state does."""

    def pause(self) -> None:
        """Hand out nothing."""
        self._paused = True

    def resume(self) -> None:
        """Hand out again."""
        self._paused = False

    def lag(self) -> dict[TopicPartition, int]:
        """Unknown until read: {}."""
        return {}

    def assigned(self) -> frozenset[TopicPartition]:
        """Every file, once started."""
        return frozenset(self._parts) if self._started else frozenset()

    @property
    def exhausted(self) -> bool:
        """True when the last line of the last file was handed out."""
        return self._done

    def ready(self) -> bool:
        """True once started, unless a file failed."""
        return self._started and self._fault is None

    def close(self) -> None:
        """Close the file that is open."""
        close = getattr(self._lines, "close", None)
        if close is not None:
            close()
        self._lines = iter(())
        self._started = False


def read_lines(path: str | Path) -> Iterator[bytes]:
    """Non-blank lines of one file or of stdin (`-`), decompressed.

    Raises:
        SourceError: it can't be opened or read.
    """
    source = FileSource(path)
    source.start({})
    try:
        while not source.exhausted:
            yield from (record.value for record in source.poll(100, 1.0))
    finally:
        source.close()
