from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from cli_world import World
from command import alignwatch
from exchanges import native, write
from shipped import traffic, write_traffic

from alignwatch import Label
from classifiers import Pair, load_classifier


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_traffic(tmp_path / "small.jsonl", traffic(60))


def test_every_exchange_becomes_one_label_a_line(small: Path, tmp_path: Path) -> None:
    done = alignwatch("classify", small)
    labels = [Label.model_validate_json(line) for line in done.out.splitlines()]
    asked = [json.loads(line) for line in small.read_text().splitlines()]
    assert [label.id for label in labels] == [one["id"] for one in asked]
    assert {label.weight for label in labels} == {1.0}
    assert all(label.request is not None and label.behaviour is not None for label in labels)
    assert all(len(line.encode()) <= 600 for line in done.out.splitlines())
    assert done.err == "60 labels\n"
    assert alignwatch("classify", small, "--out", tmp_path / "labels").out == ""
    assert (tmp_path / "labels").read_text() == done.out


def test_stdin_and_compressed_files_give_the_same_labels(small: Path, tmp_path: Path) -> None:
    expected = alignwatch("classify", small).out
    body = small.read_bytes()
    (tmp_path / "small.jsonl.gz").write_bytes(gzip.compress(body))
    (tmp_path / "small.jsonl.zst").write_bytes(zstandard.compress(body))
    assert alignwatch("classify", "-", stdin=body).out == expected
    assert alignwatch("classify", "-", stdin=gzip.compress(body)).out == expected
    assert alignwatch("classify", tmp_path / "small.jsonl.gz").out == expected
    assert alignwatch("classify", tmp_path / "small.jsonl.zst").out == expected


def test_a_label_does_not_depend_on_what_it_is_read_with(small: Path, tmp_path: Path) -> None:
    texts = [json.loads(line) for line in small.read_text().splitlines()][:24]
    pairs = [Pair(one["prompt"], one["response"]) for one in texts]
    classifier = load_classifier()
    assert classifier.label(pairs) == [classifier.label([pair])[0] for pair in pairs]


def test_sampling_as_configured_is_asked_for(small: Path) -> None:
    labels = [Label.model_validate_json(line) for line in alignwatch("classify", "--sampled", small).out.splitlines()]
    assert 0 < len(labels) < 60
    assert {label.selection for label in labels} <= {"uniform", "screen"}
    assert {label.weight for label in labels} <= {1.0, 10.0}


def test_verdicts_do_not_depend_on_sampling(world: World, tmp_path: Path) -> None:
    every = {one["id"]: one for one in alignwatch("classify", world.attack).lines}
    for one in map(json.loads, world.labels.read_text().splitlines()):
        assert one["request"] == every[one["id"]]["request"]
        assert one["behaviour"] in (None, every[one["id"]]["behaviour"])


def test_labels_leave_while_the_pipe_is_still_open() -> None:
    code = "from monitor.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "classify", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(2):
            process.stdin.write(json.dumps(native(id=f"r-{number}")).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == f"r-{number}"
        process.stdin.close()
        assert process.wait(60) == 0


def test_losses_are_told_on_stderr_and_the_rest_is_labelled(tmp_path: Path) -> None:
    mixed = [native(id="a"), "{broken", native(id="b"), native(id="a"), native(id="c", response=""), {"x": 1}]
    done = alignwatch("classify", write(tmp_path / "mixed.jsonl", mixed))
    assert [one["id"] for one in done.lines] == ["a", "b", "c"]
    assert done.err.splitlines() == [
        "3 labels",
        "1 records could not be read: not-json",
        "1 records could not be read: unknown-envelope",
        "1 could not be labelled: empty",
        "1 duplicates were ignored",
    ]


@pytest.mark.parametrize("arguments", [(), ("missing.jsonl",), (".",)], ids=["none", "missing", "folder"])
def test_bad_usage_and_input_exit_with_2(arguments: tuple[str, ...]) -> None:
    done = alignwatch("classify", *arguments, expect=2)
    assert done.out == ""
    assert "rror: " in done.err
    assert "Traceback" not in done.err


def test_an_output_that_cannot_be_written_exits_with_2(small: Path, tmp_path: Path) -> None:
    done = alignwatch("classify", small, "--out", tmp_path / "no" / "folder", expect=2)
    assert done.err == f"error: {tmp_path}/no/folder: No such file or directory\n"


def test_a_truncated_archive_keeps_what_was_read_and_exits_with_2(small: Path, tmp_path: Path) -> None:
    packed = gzip.compress(small.read_bytes())
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) * 3 // 4])
    done = alignwatch("classify", tmp_path / "cut.gz", expect=2)
    assert 0 < len(done.lines) < 60
    assert "truncated gzip archive" in done.err
