"""Files and stdin: compression told by content, damage told by name and place, memory bounded."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import FileSource, Record, TopicPartition, read_lines
from monitor.sources._bytes import plain_chunks, split_lines

LINES = [b'{"n": %d, "text": "%s"}' % (number, b"x" * (number % 50)) for number in range(5000)]
BODY = b"\n".join(LINES) + b"\n"


def everything(source: FileSource) -> list[Record]:
    source.start({})
    found: list[Record] = []
    while not source.exhausted:
        found += source.poll(100, 0.0)
    return found


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", ["traffic.jsonl", "traffic.gz", "traffic.zst"])
def test_compression_is_told_by_content_and_not_by_name(
    pack: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(BODY))
    assert list(read_lines(path)) == LINES


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_archives_that_were_appended_to_are_read_whole(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "traffic"
    path.write_bytes(pack(BODY) + pack(b'{"more": 1}\n') + b"\0" * 100)
    assert list(read_lines(path)) == [*LINES, b'{"more": 1}']


@pytest.mark.parametrize(("kind", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_a_truncated_archive_gives_what_is_whole_and_then_says_so_for_good(
    kind: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "traffic.jsonl.gz"
    noise = b"\n".join(os.urandom(30).hex().encode() for _ in range(20_000))
    path.write_bytes(pack(noise)[:-2000])
    source = FileSource(path)
    source.start({})
    found: list[Record] = []

    def read_on() -> None:
        while True:
            found.extend(source.poll(1000, 0.0))

    with pytest.raises(SourceError, match=f"traffic.jsonl.gz: truncated {kind} archive; everything before the break"):
        read_on()
    assert [one.value for one in found] == noise.split(b"\n")[: len(found)]
    if kind == "gzip":
        assert len(found) > 10_000
    assert not source.exhausted
    assert not source.ready()
    with pytest.raises(SourceError, match="truncated"):
        source.poll(1, 0.0)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "traffic.gz"
    packed = bytearray(gzip.compress(BODY))
    packed[-8:-4] = b"\xff" * 4  # the checksum
    path.write_bytes(bytes(packed))
    with pytest.raises(SourceError, match=r"traffic\.gz: damaged gzip archive"):
        list(read_lines(path))


def test_an_empty_archive_is_no_archive_and_an_empty_file_is_no_traffic(tmp_path: Path) -> None:
    (tmp_path / "a.gz").touch()
    with pytest.raises(SourceError, match=r"a\.gz: an empty file is not a complete archive"):
        list(read_lines(tmp_path / "a.gz"))
    (tmp_path / "a.jsonl").touch()
    assert list(read_lines(tmp_path / "a.jsonl")) == []


def test_a_missing_file_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(BODY)
    source = FileSource([tmp_path / "there", tmp_path / "missing"])
    with pytest.raises(SourceError, match="missing: no such file"):
        source.start({})
    with pytest.raises(SourceError, match="is a directory; name files"):
        FileSource(tmp_path).start({})
    with pytest.raises(SourceError, match="named twice"):
        FileSource([tmp_path / "there", tmp_path / "there"])


def test_offsets_are_line_numbers_and_blank_lines_have_theirs(tmp_path: Path) -> None:
    path = tmp_path / "traffic"
    path.write_bytes(b"\xef\xbb\xbf{}\r\n\r\n  \n[1]\n\n7")
    assert [(one.offset, one.value) for one in everything(FileSource(path))] == [(0, b"{}"), (3, b"[1]"), (5, b"7")]


def test_several_files_are_read_in_order_each_from_its_own_position(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(b"".join(b"%s%d\n" % (name.encode(), n) for n in range(3)))
    source = FileSource([tmp_path / "b", tmp_path / "a"])
    source.start({TopicPartition(str(tmp_path / "b"), 0): 2, TopicPartition(str(tmp_path / "a"), 0): 1})
    assert [one.value for one in source.poll(100, 0.0)] == [b"b2", b"a1", b"a2"]


def test_stdin_hands_out_lines_as_they_come_and_waits_no_longer_than_told() -> None:
    reading, writing = os.pipe()
    source = FileSource("-", stdin=os.fdopen(reading, "rb"))
    source.start({})
    assert source.poll(10, 0.01) == []
    assert not source.exhausted
    os.write(writing, b"one\ntw")
    assert [one.value for one in source.poll(10, 0.01)] == [b"one"]
    os.write(writing, b"o\n")
    assert [one.value for one in source.poll(10, 1.0)] == [b"two"]
    os.close(writing)
    assert source.poll(10, 1.0) == []
    assert source.exhausted


def test_a_compressed_stdin_is_read_while_it_comes() -> None:
    reading, writing = os.pipe()
    packed = gzip.compress(BODY)
    writer = threading.Thread(target=lambda: (os.write(writing, packed), os.close(writing)))
    writer.start()
    assert [one.value for one in everything(FileSource("-", stdin=os.fdopen(reading, "rb")))] == LINES
    writer.join()


def test_stdin_can_be_a_file_of_the_shell(tmp_path: Path) -> None:
    path = tmp_path / "traffic.zst"
    path.write_bytes(zstandard.compress(BODY))
    code = "from monitor.sources import read_lines; print(sum(1 for _ in read_lines('-')))"
    with path.open("rb") as stdin:
        done = subprocess.run([sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True, check=True)
    assert done.stdout == "5000\n"


@given(
    lines=st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line and b"\r" not in line), max_size=8),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    ending=st.sampled_from([b"\n", b"\r\n"]),
)
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[bytes], cuts: list[int], ending: bytes) -> None:
    body = ending.join(lines)
    edges = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    chunks = [body[low:high] for low, high in itertools.pairwise(edges)]
    found = [line for line in split_lines(iter(chunks), 1000) if line is not None]
    expected = lines if not lines or lines[-1] else lines[:-1]
    assert found == expected


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 7))
def test_an_overlong_line_is_cut_and_its_neighbours_are_whole(lengths: list[int], size: int) -> None:
    lines = [bytes([97 + index]) * length for index, length in enumerate(lengths)]
    body = b"\n".join(lines)
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    found = list(split_lines(chunks, 10))
    assert found == [line[:10] if len(line) > 10 else line for line in lines]


@given(st.binary(max_size=300))
def test_any_bytes_are_lines_or_a_named_fault(body: bytes) -> None:
    told = "input: "
    try:
        list(split_lines(plain_chunks(iter([body] if body else []), "input"), 100))
    except SourceError as error:
        told = str(error)
    assert told.startswith("input: ")


@given(st.data())
def test_an_archive_cut_anywhere_never_passes_for_whole(data: st.DataObject) -> None:
    packed = data.draw(st.sampled_from([gzip.compress(BODY[:500]), zstandard.compress(BODY[:500])]))
    cut = data.draw(st.integers(4, len(packed) - 1))
    with pytest.raises(SourceError):
        list(plain_chunks(iter([packed[:cut]]), "x.gz"))
