"""A word that stands in prompts and answers alone turns up in nothing that any command writes but asked-for bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_world import World
from command import Done, alignwatch
from exchanges import EPOCH, native, openai, write

CANARY = "zqxcanaryzqx"


def said(**fields: Any) -> dict[str, Any]:
    return native(prompt=f"How do I boil a {CANARY}?", response=f"Put the {CANARY} in water.", **fields)


def deep(levels: int) -> Any:
    value: Any = CANARY
    for _ in range(levels):
        value = [value]
    return value


def records() -> list[Any]:
    turns = [{"role": "user", "content": CANARY}, {"role": "tool", "content": [{"type": "text", "text": CANARY}]}]
    chat = openai(id="o-1")
    chat["request"]["messages"][1]["content"] = CANARY
    chat["response"]["choices"][0]["message"]["content"] = CANARY
    good = [said(id=f"r-{n}", timestamp=EPOCH + n) for n in range(40)]
    bad = [
        said(id=...), said(timestamp=...), said(timestamp=CANARY), said(deployment={"x": CANARY}), said(user=[CANARY]),
        native(prompt=[CANARY]), native(response={"x": CANARY}), native(messages=CANARY), native(messages=[CANARY]),
        native(messages=[{"role": 1, "content": CANARY}]),
        native(messages=[{"role": "user", "content": {"x": CANARY}}]),
        native(labels={"request": {"harm": CANARY, "category": CANARY}}), native(labels=CANARY),
        {"input": CANARY, "output": CANARY}, [CANARY], CANARY, deep(40),
        {f"{CANARY} in water": {f"the {CANARY}": CANARY}}, [said(id="x"), {"y": CANARY}],
        json.dumps(said())[:-3], json.dumps(said()).replace('"id"', '"id": "q", "id"'), f'{{"prompt": {CANARY}}}',
        json.dumps(said()).replace('"r-1"', "NaN"), openai(response={"error": {"message": CANARY}}),
        openai(response=f"data: {CANARY}\n"), openai(response={"choices": [{"message": CANARY}]}),
        openai(request={"messages": CANARY}), "x" * 20 + CANARY + "x" * 2_000_000,
    ]  # fmt: skip
    return [*good, chat, native(prompt=..., messages=turns, id="m-1"), *bad]


LABELS = [
    {"id": "r", "timestamp": EPOCH, "deployment": "d", "request": {"harm": CANARY, "category": CANARY}},
    {"id": "r", "timestamp": CANARY, "deployment": "d"},
    {"id": "r", "timestamp": EPOCH, "deployment": "d", "prompt": CANARY, "response": CANARY},
    CANARY,
    f"{{{CANARY}",
]


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    folder = tmp_path.parent / f"{tmp_path.name}-source"
    folder.mkdir()
    return write(folder / "traffic.jsonl", records())


def everything_written(folder: Path, done: Done) -> Iterator[tuple[str, bytes]]:
    yield "stdout", done.out.encode()
    yield "stderr", done.err.encode()
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()


def check(folder: Path, done: Done) -> None:
    for name, content in everything_written(folder, done):
        assert CANARY.encode() not in content, f"{name}: ...{content[content.find(CANARY.encode()) - 200 :][:300]!r}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("classify", "{traffic}"),
        ("classify", "{traffic}", "--out", "labels.jsonl"),
        ("baseline", "fit", "{traffic}", "--out", "b.json"),
        ("replay", "{traffic}", "--json"),
        ("replay", "{traffic}", "--baseline", "{baseline}", "--follow", "--report", "report.html"),
        ("detect", "{traffic}", "--json"),
        ("inspect-envelope", "{traffic}", "--records", "1000"),
        ("inspect-envelope", "{traffic}", "--records", "1000", "--json"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_no_command_repeats_what_was_said(
    arguments: tuple[str, ...], traffic: Path, world: World, tmp_path: Path
) -> None:
    named = [one.format(traffic=traffic, baseline=world.baseline) for one in arguments]
    done = alignwatch(*named, expect=None)
    assert done.code in {0, 1}, done.err
    assert done.err or done.out
    check(tmp_path, done)


def test_detection_does_not_repeat_what_stands_among_labels(tmp_path: Path) -> None:
    source = write(tmp_path.parent / f"{tmp_path.name}-labels", LABELS)
    check(tmp_path, alignwatch("detect", source, "--json"))
    check(tmp_path, alignwatch("baseline", "fit", "--labels", source, "--out", "b.json", expect=None))


@pytest.mark.parametrize("log", ["json", "text"])
def test_the_service_keeps_no_text_in_logs_state_or_dead_letters(log: str, traffic: Path, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        f"""
        [source]
        kind = "file"
        [source.file]
        paths = ["{traffic}"]
        [intake]
        max_past_seconds = 1e9
        max_future_seconds = 1e9
        [dead_letters]
        kind = "file"
        path = "dead.jsonl"
        [http]
        enabled = false
        [log]
        level = "debug"
        format = "{log}"
        """
    )
    done = alignwatch("run", "-c", "a.toml")
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) > 20
    assert (tmp_path / "alignwatch-state.sqlite3").exists()
    check(tmp_path, done)


def test_the_canary_would_be_seen(traffic: Path, tmp_path: Path) -> None:
    (tmp_path / "leak").write_bytes(traffic.read_bytes())
    with pytest.raises(AssertionError, match="leak"):
        check(tmp_path, Done(0, "", ""))
