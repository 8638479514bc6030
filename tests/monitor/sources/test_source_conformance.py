"""Every source that needs no server keeps the same promises; tests/integration runs the same checks over Kafka."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard
from source_conformance import CHECKS, VALUES, Subject

from monitor.sources import FileSource, MemorySource

BODY = b"\n".join(VALUES)


def memory(_: Path) -> Subject:
    def open_memory() -> MemorySource:
        source = MemorySource()
        for value in VALUES:
            source.put(value)
        source.finish()
        return source

    return Subject(open_memory)


def endless_memory(_: Path) -> Subject:
    def open_memory() -> MemorySource:
        source = MemorySource()
        for value in VALUES:
            source.put(value)
        return source

    return Subject(open_memory, finite=False)


def plain(folder: Path) -> Subject:
    path = folder / "traffic.jsonl"
    path.write_bytes(BODY + b"\n")
    return Subject(lambda: FileSource(path))


def unfinished(folder: Path) -> Subject:
    path = folder / "traffic.jsonl"
    path.write_bytes(BODY)
    return Subject(lambda: FileSource(path))


def gzipped(folder: Path) -> Subject:
    path = folder / "traffic.jsonl.gz"
    path.write_bytes(gzip.compress(BODY))
    return Subject(lambda: FileSource(path))


def zstandardised(folder: Path) -> Subject:
    path = folder / "named-as-nothing"
    path.write_bytes(zstandard.compress(BODY))
    return Subject(lambda: FileSource(path))


def piped(_: Path) -> Subject:
    def open_pipe() -> FileSource:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as end:
            end.write(BODY)
        stream: BinaryIO = os.fdopen(reading, "rb")
        return FileSource("-", stdin=stream)

    return Subject(open_pipe, rereadable=False)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "kind", [memory, endless_memory, plain, unfinished, gzipped, zstandardised, piped], ids=lambda kind: kind.__name__
)
def test_a_source_keeps_the_protocols_promises(
    kind: Callable[[Path], Subject], check: Callable[[Subject], None], tmp_path: Path
) -> None:
    check(kind(tmp_path))
