from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli_world import World
from command import alignwatch
from exchanges import native, write
from shipped import traffic, write_traffic


def read(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text())["baselines"])


def test_a_fitted_baseline_waits_for_approval(world: World, tmp_path: Path) -> None:
    (fitted,) = read(world.unapproved)
    (approved,) = read(world.baseline)
    assert fitted["approved_by"] is None
    assert approved["approved_by"] == "the tests"
    assert "not approved" in alignwatch("baseline", "show", world.unapproved).out
    shown = alignwatch("baseline", "show", world.baseline)
    assert "approved by the tests" in shown.out
    assert "self_harm" in shown.out
    assert shown.err == ""
    (line,) = alignwatch("baseline", "show", world.baseline, "--json").lines
    assert line["deployment"] == "chat-demo"


def test_results_may_be_had_as_json(world: World, tmp_path: Path) -> None:
    (fitted,) = alignwatch("baseline", "fit", world.labels, "--out", tmp_path / "b.json", "--json").lines
    assert (fitted["deployment"], fitted["approved_by"]) == ("chat-demo", None)
    (approved,) = alignwatch("baseline", "approve", tmp_path / "b.json", "--by", "me", "--json").lines
    assert approved == {**fitted, "approved_by": "me"}


def test_exchanges_and_their_labels_give_the_same_baseline(world: World, tmp_path: Path) -> None:
    labels, fitted = tmp_path / "labels.jsonl", tmp_path / "fitted.json"
    alignwatch("classify", "--sampled", world.calm, "--out", labels)
    done = alignwatch("baseline", "fit", labels, "--out", fitted)
    assert "approve it with: alignwatch baseline approve" in done.err
    assert done.out == ""
    ours, theirs = read(world.unapproved)[0], read(fitted)[0]
    for one in (ours, theirs):
        del one["fitted_at"]
        one.pop("digest", None)
    assert ours == theirs


def test_labels_from_stdin_have_to_be_announced(world: World, tmp_path: Path) -> None:
    done = alignwatch("baseline", "fit", "-", "--labels", "--out", tmp_path / "b.json", stdin=world.labels.read_bytes())
    assert read(tmp_path / "b.json")[0]["deployment"] == "chat-demo"
    assert "chat-demo: " in done.err


def test_a_file_of_several_deployments_gives_a_baseline_each(tmp_path: Path) -> None:
    both = [*traffic(200, deployment="one"), *traffic(200, deployment="two", seed=9)]
    path = write_traffic(tmp_path / "both.jsonl.zst", both)
    done = alignwatch("baseline", "fit", path, "--out", tmp_path / "b.json")
    assert [one["deployment"] for one in read(tmp_path / "b.json")] == ["one", "two"]
    assert "fewer cost detection delay" in done.err
    alignwatch("baseline", "approve", tmp_path / "b.json", "--by", "me", "--deployment", "two")
    assert [one["approved_by"] for one in read(tmp_path / "b.json")] == [None, "me"]


def test_bad_input_exits_with_2_and_says_which(world: World, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.jsonl", [])
    unreadable = write(tmp_path / "unreadable.jsonl", ["{", native(id=...)])
    edited = tmp_path / "edited.json"
    edited.write_text(world.baseline.read_text().replace('"the tests"', '"someone else"'))
    cases: dict[tuple[Any, ...], str] = {
        ("fit", empty, "--out", tmp_path / "b.json"): "no labels to fit from",
        ("fit", unreadable, "--out", tmp_path / "b.json"): "no labels to fit from",
        ("fit", tmp_path / "missing", "--out", tmp_path / "b.json"): "missing: no such file",
        ("fit", world.labels, "--out", tmp_path / "no" / "b.json"): "No such file or directory",
        ("fit", world.labels): "Missing option '--out'",
        ("show", tmp_path / "missing"): "No such file or directory",
        ("show", world.labels): "not JSON",
        ("approve", world.unapproved): "Missing option '--by'",
        (
            "approve",
            world.unapproved,
            "--by",
            "me",
            "--deployment",
            "other",
        ): "no deployment 'other'; it holds chat-demo",
    }
    for arguments, told in cases.items():
        done = alignwatch("baseline", *arguments, expect=2)
        assert told in done.err, arguments
        assert done.out == ""
    assert not (tmp_path / "b.json").exists()


def test_a_baseline_of_nothing_says_what_could_not_be_read(world: World, tmp_path: Path) -> None:
    done = alignwatch("baseline", "fit", "-", "--out", tmp_path / "b", stdin=world.labels.read_bytes(), expect=2)
    assert "records could not be read: missing-field" in done.err
    assert "no labels to fit from" in done.err


def test_rates_that_were_edited_after_the_fit_are_refused(world: World, tmp_path: Path) -> None:
    edited = tmp_path / "edited.json"
    body = json.loads(world.baseline.read_text())
    body["baselines"][0]["labels"] += 1
    edited.write_text(json.dumps(body))
    assert "do not match its digest" in alignwatch("baseline", "show", edited, expect=2).err
