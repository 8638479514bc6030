"""From a byte stream to lines: recognises gzip and zstd by content, bounds the length of a line, notices truncation."""

from __future__ import annotations

import io
import os
import select
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import zstandard

from monitor.errors import SourceError

CHUNK: Final = 1 << 20
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
BOM: Final = b"\xef\xbb\xbf"
IDLE: Final = b""
"""A chunk without bytes: nothing has arrived yet. The end of a stream is the end of the iterator."""

Chunks = Iterator[bytes]


def file_chunks(stream: BinaryIO) -> Chunks:
    """A file's bytes, in large pieces."""
    while chunk := stream.read(CHUNK):
        yield chunk


def pipe_chunks(stream: BinaryIO, timeout: Callable[[], float]) -> Chunks:
    """A pipe's bytes as they arrive, and `IDLE` whenever `timeout()` seconds pass without any."""
    try:
        descriptor = stream.fileno()
    except (OSError, io.UnsupportedOperation):
        yield from file_chunks(stream)  # not a real pipe: nothing to wait for
        return
    while True:
        if not select.select([descriptor], [], [], timeout())[0]:
            yield IDLE
        elif chunk := os.read(descriptor, CHUNK):
            yield chunk
        else:
            return


def plain_chunks(chunks: Chunks, name: str) -> Chunks:
    """Decompressed bytes of a stream that may be gzip, zstd or plain, told apart by its first bytes.

    Raises:
        SourceError: a damaged or truncated archive, after everything before the damage was handed out.
    """
    head = b""
    for chunk in chunks:
        if chunk == IDLE:
            yield IDLE
            continue
        head += chunk
        if len(head) >= len(ZSTD):
            break
    if head.startswith(GZIP):
        yield from _inflate(_chain(head, chunks), name, "gzip", _gzip_member)
    elif head.startswith(ZSTD):
        yield from _inflate(_chain(head, chunks), name, "zstd", _zstd_frame)
    elif not head and name.endswith((".gz", ".zst")):
        raise SourceError(f"{name}: an empty file is not a complete archive")
    else:
        head = head.removeprefix(BOM)
        yield from _chain(head, chunks) if head else chunks


def _chain(head: bytes, chunks: Chunks) -> Chunks:
    yield head
    yield from chunks


class _Member:
    """One compressed member or frame; an archive is a sequence of them."""

    def __init__(self, feed: Callable[[bytes], bytes], rest: Callable[[], bytes | None]) -> None:
        self.feed = feed
        self.rest = rest
        """What follows the end, or None while the end has not come."""


def _gzip_member() -> _Member:
    inflater = zlib.decompressobj(wbits=31)
    return _Member(inflater.decompress, lambda: inflater.unused_data if inflater.eof else None)


def _zstd_frame() -> _Member:
    # The stream reader of the library takes a truncated frame for the end of the file; this object tells.
    inflater = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    return _Member(inflater.decompress, lambda: inflater.unused_data if inflater.eof else None)


def _inflate(chunks: Chunks, name: str, kind: str, begin: Callable[[], _Member]) -> Chunks:
    member: _Member | None = None
    for chunk in chunks:
        if chunk == IDLE:
            yield IDLE
            continue
        data = chunk
        while data:
            member = member or begin()
            try:
                out = member.feed(data)
            except (zlib.error, zstandard.ZstdError) as error:
                raise SourceError(f"{name}: damaged {kind} archive") from error
            if out:
                yield out
            rest = member.rest()
            if rest is None:
                break
            # Padding with zeros after the last member is allowed (gzip tapes).
            data, member = rest.lstrip(b"\0"), None
    if member is not None:
        raise SourceError(f"{name}: truncated {kind} archive; everything before the break was read")


def split_lines(chunks: Chunks, limit: int) -> Iterator[bytes | None]:
    r"""Lines without their `\n` or `\r\n`; None for every idle moment; the last line need not end in a line break.

    A line beyond `limit` bytes is cut there and the rest of it skipped, so that a decoder with a smaller limit rejects
    it and memory stays bounded.
    """
    tail = b""
    skipping = False
    for chunk in chunks:
        if chunk == IDLE:
            yield None
            continue
        parts = (tail + chunk).split(b"\n")
        tail = parts.pop()
        if parts and skipping:
            del parts[0]
            skipping = False
        for part in parts:
            yield part[:limit].removesuffix(b"\r")
        if skipping:
            tail = b""
        elif len(tail) > limit:
            yield tail[:limit]
            tail, skipping = b"", True
    if tail and not skipping:
        yield tail.removesuffix(b"\r")
