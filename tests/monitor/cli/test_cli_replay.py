"""`replay` and `detect`: the same incidents however the traffic is read, on stdout, with exit code 1."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path

import pytest
from cli_world import BEGAN, LATER, ONSET, World, quick_classifier
from command import alignwatch
from exchanges import write
from shipped import traffic, write_traffic

from alignwatch import Incident

PAGES = {"critical", "error"}


def incidents(out: str) -> list[Incident]:
    return [Incident.model_validate_json(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def replayed(world: World) -> str:
    with quick_classifier():
        return alignwatch("replay", world.attack, "--baseline", world.baseline, "--json", expect=1).out


def test_an_unalignment_is_found_after_it_began_and_its_onset_is_covered(replayed: str) -> None:
    (paged,) = [one for one in incidents(replayed) if one.severity in PAGES]
    assert paged.verdict == "unalignment"
    assert paged.detected_at.timestamp() > BEGAN
    assert paged.onset is not None
    assert paged.onset.low.timestamp() <= BEGAN <= paged.onset.high.timestamp()
    assert "un-align" in paged.summary.lower() or "compliance" in paged.summary.lower()


def test_calm_traffic_finds_nothing_and_exits_with_0(world: World) -> None:
    done = alignwatch("replay", world.control, "--baseline", world.baseline, "--json", expect=None)
    assert [one for one in incidents(done.out) if one.severity in PAGES] == []
    assert done.code == int(bool(done.out))


def test_the_same_file_gives_the_same_incidents_again(world: World, replayed: str) -> None:
    assert alignwatch("replay", world.attack, "--baseline", world.baseline, "--json", expect=1).out == replayed


@pytest.mark.parametrize("cut", [1, 700, 1501, 2399])
def test_a_file_cut_anywhere_gives_the_same_incidents(world: World, replayed: str, cut: int, tmp_path: Path) -> None:
    lines = world.attack.read_text().splitlines()
    parts = [write(tmp_path / "one.jsonl.gz", lines[:cut]), write(tmp_path / "two.jsonl.zst", lines[cut:])]
    assert alignwatch("replay", *parts, "--baseline", world.baseline, "--json", expect=1).out == replayed


def test_a_file_read_twice_counts_once(world: World, replayed: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(world.attack.read_bytes())
    lines = [line for pair in zip_longest(*[world.attack.read_text().splitlines()] * 2) for line in pair]
    twice = write(tmp_path / "twice.jsonl", lines)
    done = alignwatch("replay", twice, "--baseline", world.baseline, "--json", expect=1)
    assert done.out == replayed
    assert "duplicates were ignored" in done.err


def test_labels_and_then_detection_find_what_replay_finds(world: World, replayed: str) -> None:
    assert alignwatch("detect", world.labels, "--baseline", world.baseline, "--json", expect=1).out == replayed
    piped = alignwatch("detect", "-", "--baseline", world.baseline, "--json", stdin=world.labels.read_bytes(), expect=1)
    assert piped.out == replayed


def test_bad_records_in_between_change_nothing(world: World, replayed: str, tmp_path: Path) -> None:
    lines = world.attack.read_text().splitlines()
    for at in range(0, len(lines), 50):
        lines[at] += "\n{broken\n\n[]"
    dirty = write(tmp_path / "dirty.jsonl", lines)
    done = alignwatch("replay", dirty, "--baseline", world.baseline, "--json", expect=1)
    assert done.out == replayed
    assert "48 records could not be read: not-json" in done.err


def test_only_the_deployment_that_went_wrong_is_named(world: World, tmp_path: Path) -> None:
    calm = [*traffic(6000), *traffic(6000, seed=8, deployment="bystander")]
    fitted = tmp_path / "both.json"
    alignwatch("baseline", "fit", write_traffic(tmp_path / "calm.jsonl", calm), "--out", fitted)
    alignwatch("baseline", "approve", fitted, "--by", "the tests")
    both = [
        *traffic(2400, onset=ONSET, seed=2, start=LATER),
        *traffic(2400, seed=6, start=LATER, deployment="bystander"),
    ]
    both.sort(key=lambda one: (one.timestamp, one.deployment))
    mixed = write_traffic(tmp_path / "mixed.jsonl", both)
    done = alignwatch("replay", mixed, "--baseline", fitted, "--json", expect=1)
    assert {one.deployment for one in incidents(done.out) if one.severity in PAGES} == {"chat-demo"}
    assert "bystander: " in done.err


def test_without_an_approved_baseline_nothing_pages_and_the_reason_is_told(world: World) -> None:
    for options in ((), ("--baseline", world.unapproved)):
        done = alignwatch("replay", world.attack, *options, "--json")
        assert done.out == ""
        assert "nothing pages without an approved baseline" in done.err


def test_a_persons_output_has_the_summary_and_the_onset(world: World, replayed: str) -> None:
    done = alignwatch("replay", world.attack, "--baseline", world.baseline, expect=1)
    assert incidents(replayed)[-1].summary in done.out
    assert "  onset 2026-11-" in done.out
    assert "chat-demo: " in done.err


def test_following_tells_every_change(world: World, replayed: str) -> None:
    done = alignwatch("replay", world.attack, "--baseline", world.baseline, "--follow", "--json", expect=1)
    told = incidents(done.out)
    assert {one.id for one in told} == {one.id for one in incidents(replayed)}
    assert len(told) >= len(incidents(replayed))


def test_a_shorter_run_length_alarms_no_later(world: World, replayed: str) -> None:
    def first(arl: str) -> Incident:
        done = alignwatch("detect", world.labels, "-b", world.baseline, "--json", "--arl", arl, expect=None)
        return next(one for one in incidents(done.out) if one.verdict == "unalignment")

    assert first("1000").detected_at <= first("1e9").detected_at
    assert "Invalid value" in alignwatch("detect", world.labels, "--arl", "1", expect=2).err


def test_a_report_is_written_beside_the_incidents(world: World, replayed: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    done = alignwatch("replay", world.attack, "-b", world.baseline, "--json", "--report", path, expect=1)
    assert done.out == replayed
    assert f"report: {path}" in done.err
    page = path.read_text()
    assert json.loads(replayed.splitlines()[0])["id"] in page
    assert "<html" in page


@pytest.mark.parametrize("command", ["replay", "detect"])
def test_bad_input_exits_with_2(command: str, world: World, tmp_path: Path) -> None:
    for arguments, told in {
        ("missing.jsonl",): "missing.jsonl: no such file",
        (str(world.attack), "--baseline", "missing.json"): "missing.json: No such file",
        (str(world.attack), "--baseline", str(world.labels)): "not JSON",
        (): "Missing argument",
    }.items():
        done = alignwatch(command, *arguments, expect=2)
        assert told in done.err
        assert done.out == ""


def test_exchanges_given_to_detect_are_told_as_no_labels(world: World) -> None:
    done = alignwatch("detect", world.attack, "--baseline", world.baseline, "--json")
    assert "2400 records could not be read: not-a-label" in done.err
    assert "chat-demo: 0 labels" in done.err


def test_labels_given_to_replay_are_told_as_unreadable(world: World) -> None:
    done = alignwatch("replay", world.labels, "--baseline", world.baseline, "--json")
    assert "records could not be read: missing-field" in done.err
