"""`alignwatch run`: refuses to start on anything unsound, works through its source, and stops in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_world import World, quick_classifier
from command import Done, alignwatch
from exchanges import native, write
from pagerduty import ROUTING_KEY, PagerDutyReceiver

from alignwatch import Incident
from classifiers.card import SHIPPED
from monitor.assembly import assemble
from monitor.config import load
from monitor.errors import SourceError
from monitor.sources import MemorySource


@pytest.fixture(autouse=True)
def _signals() -> Any:
    held = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


def settings(folder: Path, traffic: Path | str, **more: Any) -> Path:
    """A service that reads files, without HTTP; `more` is TOML after it."""
    path = folder / "alignwatch.toml"
    path.write_text(
        f"""
        [source]
        kind = "file"
        [source.file]
        paths = ["{traffic}"]
        [intake]
        max_past_seconds = 1e9
        max_future_seconds = 1e9
        [state]
        path = "{folder}/state.sqlite3"
        [http]
        enabled = {str(more.pop("http", False)).lower()}
        port = 0
        {more.pop("text", "")}
        """
    )
    return path


def rows(folder: Path, query: str) -> list[Any]:
    # Read-only, or looking before the service has made the file would make an empty one, which it refuses.
    connection = sqlite3.connect(f"file:{folder}/state.sqlite3?mode=ro", uri=True)
    try:
        return [row[0] for row in connection.execute(query)]
    finally:
        connection.close()


def incidents(folder: Path) -> list[Incident]:
    return [
        Incident.model_validate_json(row) for row in rows(folder, "SELECT body FROM incidents ORDER BY detected_at")
    ]


def pages(found: list[Incident]) -> list[str]:
    return [one.id for one in found if one.severity in {"critical", "error"}]


def positions(folder: Path) -> list[int]:
    return rows(folder, "SELECT next_offset FROM positions")


def test_a_recording_runs_through_to_one_page(world: World, tmp_path: Path) -> None:
    with PagerDutyReceiver() as receiver:
        (tmp_path / "key").write_text(ROUTING_KEY)
        text = f"""
        [baseline]
        path = "{world.baseline}"
        [[alerts.sinks]]
        kind = "pagerduty"
        routing_key_file = "{tmp_path}/key"
        endpoint = "{receiver.endpoint}"
        """
        done = alignwatch("run", "-c", settings(tmp_path, world.attack, text=text))
    assert done.out == ""
    assert positions(tmp_path) == [2400]
    replayed = alignwatch("replay", world.attack, "-b", world.baseline, "--json", expect=1).out
    expected = pages([Incident.model_validate_json(line) for line in replayed.splitlines()])
    assert pages(incidents(tmp_path)) == expected
    assert len(expected) == 1
    assert [event["event_action"] for event in receiver.events] == ["trigger"]
    assert receiver.events[0]["payload"]["severity"] == "critical"


def test_new_weights_are_told_once_also_over_a_restart(tmp_path: Path) -> None:
    half = 40
    digests = ["sha256:" + "ab"[i >= half] * 64 for i in range(2 * half)]
    traffic = [native(id=f"r-{i}", model_digest=digest) for i, digest in enumerate(digests)]
    with PagerDutyReceiver() as receiver:
        (tmp_path / "key").write_text(ROUTING_KEY)
        text = f"""
        [[alerts.sinks]]
        kind = "pagerduty"
        routing_key_file = "{tmp_path}/key"
        endpoint = "{receiver.endpoint}"
        """
        path = settings(tmp_path, write(tmp_path / "traffic.jsonl", traffic), text=text)
        alignwatch("run", "-c", path)
        (change,) = receiver.changes
        assert change["payload"]["summary"].endswith("weights aaaaaaaaaaaa → bbbbbbbbbbbb")
        alignwatch("run", "-c", path)
        assert receiver.changes == [change]
        path.write_text(path.read_text().replace("[state]", "[sampling]\nrate = 0.5\n[state]"))
        alignwatch("run", "-c", path)
        assert receiver.changes[-1]["payload"]["summary"] == "alignwatch: settings of alignwatch differ: sampling.rate"
        assert receiver.events == [], "and nobody was woken"


def test_what_was_read_is_not_read_again_by_the_next_start(world: World, tmp_path: Path) -> None:
    path = settings(tmp_path, world.attack, text=f'[baseline]\npath = "{world.baseline}"')
    alignwatch("run", "-c", path)
    first = incidents(tmp_path)
    done = alignwatch("run", "-c", path)
    assert "resumed" in done.err
    assert incidents(tmp_path) == first
    assert positions(tmp_path) == [2400]


def refused(path: Path) -> Done:
    done = alignwatch("run", "-c", path, expect=2)
    assert done.err.count("error: ") == 1
    assert "Traceback" not in done.err
    return done


def test_a_missing_model_file_stops_the_start_and_is_named(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "artefact"
    shutil.copytree(SHIPPED, folder, copy_function=os.symlink)
    (folder / "model.onnx").unlink()
    done = refused(settings(tmp_path, world.attack, text=f'[classifier]\npath = "{folder}"'))
    assert f"{folder}/model.onnx: No such file or directory" in done.err
    assert not (tmp_path / "state.sqlite3").exists()


@pytest.mark.parametrize("name", ["model.onnx", "screen.npz", "tokenizer.json"])
def test_a_file_that_is_not_the_evaluated_one_stops_the_start_with_both_digests(
    world: World, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "artefact"
    shutil.copytree(SHIPPED, folder, copy_function=os.symlink)
    (folder / name).unlink()
    (folder / name).write_bytes(b"something else")
    expected = json.loads((SHIPPED / "card.json").read_text())["runtime"]["files"][name]
    done = refused(settings(tmp_path, world.attack, text=f'[classifier]\npath = "{folder}"'))
    assert f"{folder}/{name}: digest is sha256:" in done.err
    assert f"the card says {expected}" in done.err
    assert not (tmp_path / "state.sqlite3").exists()


@pytest.mark.parametrize("content", [b"", b"no database" * 500], ids=["empty", "garbage"])
def test_a_damaged_state_stops_the_start_and_is_left_as_it_is(world: World, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.sqlite3").write_bytes(content)
    done = refused(settings(tmp_path, world.attack))
    assert f"{tmp_path}/state.sqlite3: " in done.err
    assert (tmp_path / "state.sqlite3").read_bytes() == content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[baseline]\npath = "none.json"', "none.json: No such file or directory"),
        ('[[alerts.sinks]]\nkind = "pagerduty"\nrouting_key_file = "none"', "none"),
        ('[dead_letters]\nkind = "kafka"', "needs a Kafka source"),
    ],
    ids=["baseline", "sink", "dead-letters"],
)
def test_a_part_that_cannot_be_opened_stops_the_start(world: World, tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(settings(tmp_path, world.attack, text=text)).err


def test_a_file_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    assert "missing.jsonl: no such file" in refused(settings(tmp_path, "missing.jsonl")).err


@pytest.mark.parametrize("role", ["label", "detect"])
def test_a_role_that_needs_a_broker_says_so(world: World, tmp_path: Path, role: str) -> None:
    done = alignwatch("run", "--role", role, "-c", settings(tmp_path, world.attack), expect=2)
    assert "kafka" in done.err


def test_bad_records_go_to_the_dead_letters_and_the_rest_is_counted(world: World, tmp_path: Path) -> None:
    lines = world.control.read_text().splitlines()[:300]
    for at in range(0, 300, 30):
        lines[at] = "{broken: canary"
    traffic = write(tmp_path / "traffic.jsonl", lines)
    text = f'[dead_letters]\nkind = "file"\npath = "{tmp_path}/dead.jsonl"'
    alignwatch("run", "-c", settings(tmp_path, traffic, text=text))
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert [letter["offset"] for letter in letters] == list(range(0, 300, 30))
    assert {letter["reason"] for letter in letters} == {"not-json"}
    assert "canary" not in (tmp_path / "dead.jsonl").read_text()
    assert positions(tmp_path) == [300]


def test_a_format_that_changed_stops_the_commits_and_is_no_success(tmp_path: Path) -> None:
    rows = [native(id=f"r-{n}") for n in range(50)] + [{"a new": "format"}] * 300
    done = alignwatch("run", "-c", settings(tmp_path, write(tmp_path / "t.jsonl", rows)), expect=2)
    assert "stopped without a last commit: decoding: " in done.err
    assert "most of all: unknown-envelope 300; has the gateway's format changed?" in done.err
    assert positions(tmp_path) == []


def test_late_traffic_is_counted_and_kept_out(world: World, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in world.control.read_text().splitlines()[:200]]
    late = lines[0]["timestamp"].replace("2026-11-04", "2026-11-03")
    rows = [*lines, *[{**one, "id": f"late-{n}", "timestamp": late} for n, one in enumerate(lines[:10])]]
    path = settings(tmp_path, write(tmp_path / "t.jsonl", rows), text="[sampling]\nuniform_rate = 1.0")
    service = assemble(load(path, {}).settings)
    service.start()
    service.run()
    assert service._parts.metrics.counters().late == 10


class Process:
    """`alignwatch run` of its own, fed through a pipe."""

    def __init__(self, path: Path) -> None:
        code = "from monitor.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "run", "-c", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def feed(self, *rows: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        self.process.stdin.flush()


def wait_for_positions(folder: Path, expected: list[int], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if positions(folder) == expected:
                return
        except sqlite3.Error:
            pass
        time.sleep(0.05)
    raise AssertionError(f"positions never became {expected}")


def test_sigterm_drains_commits_and_exits_with_0(tmp_path: Path) -> None:
    path = settings(tmp_path, "-", text="[worker]\ncommit_seconds = 0.2\npoll_seconds = 0.05")
    one = Process(path)
    try:
        one.feed(*[native(id=f"r-{n}") for n in range(5)])
        wait_for_positions(tmp_path, [5])
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0
        assert one.process.stdout is not None
        assert one.process.stderr is not None
        assert one.process.stdout.read() == b""
        assert b"boil" not in one.process.stderr.read()
    finally:
        one.process.kill()
        one.process.communicate()
    assert positions(tmp_path) == [5]


def test_a_source_that_fails_is_retried_and_nothing_is_lost(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemorySource("traffic")
    for n in range(6):
        source.put(json.dumps(native(id=f"r-{n}")).encode())
    source.finish()
    source.fail_poll(SourceError("broker away"), times=2)
    monkeypatch.setattr("monitor.assembly.open_source", lambda *_, **__: source)
    with quick_classifier():
        done = alignwatch("run", "-c", settings(tmp_path, "-", text="[worker]\nretry_seconds = 0.01"))
    assert "source: broker away" in done.err
    assert positions(tmp_path) == [6]
