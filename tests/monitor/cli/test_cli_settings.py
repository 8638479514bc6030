"""The operator's helpers (config, schema, doctor, inspect-envelope, alert test) and what all commands share."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from cli_world import World
from command import alignwatch
from exchanges import native, openai, write
from pagerduty import ROUTING_KEY, PagerDutyReceiver

from alignwatch import SCHEMAS, __version__
from monitor.cli._main import COMMANDS, INTERNAL_ERROR, cli


def config(folder: Path, text: str = "", *, kind: str = "memory") -> Path:
    path = folder / "alignwatch.toml"
    path.write_text(f'[source]\nkind = "{kind}"\n{text}')
    return path


# --- help, versions, unknown things -----------------------------------------------------------------------------------


def test_help_names_every_command_without_importing_any() -> None:
    code = (
        "import sys; from monitor.cli._main import run; run(['--help']);"
        "assert not {'onnxruntime', 'kafka', 'numpy', 'monitor.config'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = alignwatch(name, "--help")
    assert done.out.startswith(f"Usage: alignwatch {name}")
    assert done.err == ""


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for inner in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), inner)
            assert found is not None
            yield from leaves(f"{name} {inner}".strip(), found)
    else:
        yield name, command


def test_every_command_with_a_result_takes_json() -> None:
    without = [
        name
        for name, command in leaves("", cli)
        if not any("--json" in one.opts for one in command.params if isinstance(one, click.Option))
    ]
    assert without == ["run"]


def test_the_version_is_told() -> None:
    assert alignwatch("--version").out == f"alignwatch, version {__version__}\n"


@pytest.mark.parametrize("arguments", [("nonsense",), ("--nonsense",), ("config", "nonsense"), ("classify", "--x")])
def test_unknown_commands_and_options_exit_with_2(arguments: tuple[str, ...]) -> None:
    done = alignwatch(*arguments, expect=2)
    assert done.out == ""
    assert "No such" in done.err


def test_a_fault_of_our_own_is_no_finding_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("can" + "ary")

    monkeypatch.setattr("monitor.recorded.Recorded.batches", fail)
    done = alignwatch("classify", write(tmp_path / "x", [native()]), expect=INTERNAL_ERROR)
    assert "ValueError" in done.err
    assert "in fail" in done.err
    assert "canary" not in done.err


def test_a_reader_that_went_away_is_no_fault(world: World) -> None:
    code = "from monitor.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "simulate", "--count", "200000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# --- config and schema ------------------------------------------------------------------------------------------------


def test_config_show_gives_value_and_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config(tmp_path, "[http]\nport = 9000\n")
    monkeypatch.setenv("ALIGNWATCH__SAMPLING__RATE", "0.5")
    rows = {one["key"]: one for one in alignwatch("config", "show", "-c", path, "--json").lines[0]}
    assert rows["http.port"] == {"key": "http.port", "value": 9000, "origin": str(path)}
    assert rows["sampling.rate"]["origin"] == "environment ALIGNWATCH__SAMPLING__RATE"
    assert rows["http.host"]["origin"] == "default"
    shown = alignwatch("config", "show", "-c", path).out
    assert f"9000  [{path}]" in shown
    assert "0.5  [environment ALIGNWATCH__SAMPLING__RATE]" in shown


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNWATCH_CONFIG", str(config(tmp_path, "[http]\nport = 9000\n")))
    assert "9000" in alignwatch("config", "show").out


def test_config_check_says_sound_or_one_line_a_fault(tmp_path: Path) -> None:
    path = config(tmp_path)
    assert alignwatch("config", "check", "-c", path).out == "settings are sound\n"
    assert alignwatch("config", "check", "-c", path, "--json").lines == [{"ok": True}]
    path.write_text('[http]\nport = "x"\n[sampling]\nrate = 2\n')
    done = alignwatch("config", "check", "-c", path, expect=2)
    assert done.out == ""
    assert len(done.err.splitlines()) == 2
    assert "http.port = 'x'" in done.err
    assert "sampling.rate = 2" in done.err


def test_a_source_without_a_topic_is_a_fault_before_anything_starts(tmp_path: Path) -> None:
    path = config(tmp_path, kind="kafka")
    told = "error: source.kafka.topics = []: name at least one topic, or set source.kafka.topic_pattern\n"
    assert alignwatch("config", "check", "-c", path, expect=2).err == told
    assert alignwatch("run", "-c", path, expect=2).err == told
    assert [one.name for one in tmp_path.iterdir()] == ["alignwatch.toml"]
    alignwatch("config", "check", "-c", path, "--role", "detect")


def test_config_schema_is_one() -> None:
    schema = json.loads(alignwatch("config", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "detection" in schema["properties"]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_each_records_schema_is_printed(name: str) -> None:
    schema = json.loads(alignwatch("schema", name).out)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_no_other_record_has_a_schema() -> None:
    assert "'exchange', 'incident', 'label'" in alignwatch("schema", "baseline", expect=2).err


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",), ("replay", "x"), ("classify", "x"), ("detect", "x"), ("baseline", "fit", "x", "--out", "y"),
        ("doctor",), ("alert", "test"), ("config", "show"),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_bad_settings_stop_every_command_before_it_starts(arguments: tuple[str, ...], tmp_path: Path) -> None:
    path = config(tmp_path, '[sampling]\nrate = 7\n[state]\npath = "s.sqlite3"\n[http]\nprot = 1\n')
    done = alignwatch(*arguments, "-c", path, expect=2)
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["alignwatch.toml"]


# --- doctor -----------------------------------------------------------------------------------------------------------


def findings(*arguments: str | Path, expect: int) -> dict[str, dict[str, Any]]:
    lines = alignwatch("doctor", "--json", *arguments, expect=expect).lines
    return {one["what"]: one for one in lines}


def test_the_doctor_finds_a_sound_installation_sound(world: World, tmp_path: Path) -> None:
    path = config(tmp_path, f'[baseline]\npath = "{world.baseline}"\n')
    found = findings("-c", path, expect=0)
    assert list(found) == ["classifier", "baseline", "state", "source", "alerts"]
    assert all(one["ok"] for one in found.values())
    assert "short pairs/s" in found["classifier"]["detail"]
    assert "1 approved: chat-demo" in found["baseline"]["detail"]
    assert "will be made at the first start" in found["state"]["detail"]
    assert alignwatch("doctor", "-c", path).out.count("ok  ") == 5
    assert not (tmp_path / "alignwatch-state.sqlite3").exists()


def test_the_doctor_goes_on_after_a_fault_and_exits_with_1(world: World, tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite3").write_bytes(b"not a database" * 100)
    path = config(
        tmp_path,
        f"""
        [baseline]
        path = "{world.unapproved}"
        [state]
        path = "{tmp_path}/broken.sqlite3"
        [classifier]
        path = "{tmp_path}/none"
        [[alerts.sinks]]
        kind = "pagerduty"
        routing_key_file = "{tmp_path}/none"
        """,
    )
    found = findings("-c", path, expect=1)
    assert [name for name, one in found.items() if not one["ok"]] == ["classifier", "baseline", "state", "alerts"]
    assert "none/card.json: No such file or directory" in found["classifier"]["detail"]
    assert "not approved: chat-demo" in found["baseline"]["detail"]
    assert "broken.sqlite3" in found["state"]["detail"]
    assert alignwatch("doctor", "-c", path, expect=1).out.count("FAIL") == 4


def test_the_doctor_notices_a_baseline_of_another_classifier(world: World, tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    with world.labels.open() as lines:
        write(labels, [json.loads(line) | {"classifier": "sha256:" + "0" * 32} for line in lines])
    alignwatch("baseline", "fit", labels, "--out", tmp_path / "b.json")
    alignwatch("baseline", "approve", tmp_path / "b.json", "--by", "me")
    found = findings("-c", config(tmp_path, '[baseline]\npath = "b.json"\n'), expect=1)
    assert "fitted with another classifier: chat-demo" in found["baseline"]["detail"]


def test_the_doctor_says_that_a_broker_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.cli._doctor.CONNECT_SECONDS", 0.2)
    kafka = '[source.kafka]\nbootstrap_servers = ["127.0.0.1:1"]\ntopics = ["t"]\nbootstrap_timeout_ms = 100\n'
    found = findings("-c", config(tmp_path, kafka, kind="kafka"), expect=1)
    assert found["source"]["detail"].startswith("kafka 127.0.0.1:1: not reachable within")


# --- inspect-envelope -------------------------------------------------------------------------------------------------


def test_an_envelope_is_explained_without_its_text(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl.gz", [native(), openai(), native(id="third")])
    done = alignwatch("inspect-envelope", path)
    assert "record 1: native" in done.out
    assert "record 2: openai-chat" in done.out
    assert "boil" not in done.out
    found = alignwatch("inspect-envelope", path, "--json", "--records", "1").lines
    assert [(one["record"], one["decoder"]) for one in found] == [(1, "native")]


def test_an_unknown_envelope_is_a_finding(tmp_path: Path) -> None:
    done = alignwatch("inspect-envelope", write(tmp_path / "x", [{"input": "canary", "output": [1]}]), expect=1)
    assert "not recognised" in done.out
    assert "saw input: a string of 6 characters" in done.out
    assert "canary" not in done.out
    assert alignwatch("inspect-envelope", "-", stdin=b"{", expect=1).out.startswith("record 1: not recognised")
    assert "no such file" in alignwatch("inspect-envelope", "missing", expect=2).err


# --- alert test -------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[PagerDutyReceiver]:
    with PagerDutyReceiver() as server:
        yield server


def alerting(folder: Path, receiver: PagerDutyReceiver) -> Path:
    (folder / "key").write_text(ROUTING_KEY)
    sink = (
        f'[[alerts.sinks]]\nkind = "pagerduty"\nrouting_key_file = "{folder}/key"\nendpoint = "{receiver.endpoint}"\n'
    )
    return config(folder, sink)


def test_a_test_alert_opens_and_resolves(tmp_path: Path, receiver: PagerDutyReceiver) -> None:
    path = alerting(tmp_path, receiver)
    (result,) = alignwatch("alert", "test", "pagerduty", "-c", path, "--json", "--severity", "critical").lines
    assert (result["ok"], result["detail"]) == (True, "delivered and resolved")
    assert [event["event_action"] for event in receiver.events] == ["trigger", "resolve"]
    assert receiver.events[0]["payload"]["severity"] == "critical"
    assert receiver.open_incidents == []
    assert "ok   pagerduty (pagerduty): delivered and resolved" in alignwatch("alert", "test", "-c", path).out


def test_a_sink_that_refuses_is_a_finding(tmp_path: Path, receiver: PagerDutyReceiver) -> None:
    path = alerting(tmp_path, receiver)
    receiver.fail(400)
    done = alignwatch("alert", "test", "-c", path, expect=1)
    assert "FAIL pagerduty (pagerduty): trigger: " in done.out
    assert ROUTING_KEY not in done.out + done.err


def test_a_sink_that_nobody_configured_exits_with_2(tmp_path: Path, receiver: PagerDutyReceiver) -> None:
    done = alignwatch("alert", "test", "slack", "-c", alerting(tmp_path, receiver), expect=2)
    assert "no sink named 'slack'; allowed: pagerduty" in done.err


# --- simulate ---------------------------------------------------------------------------------------------------------


def test_simulated_labels_are_labels_and_say_when_the_change_began(tmp_path: Path) -> None:
    options = ("--row", "GPT-OSS-20B/grp-oblit-1", "--count", "300", "--onset", "100", "--seed", "4")
    done = alignwatch("simulate", *options)
    assert len(done.lines) <= 300
    jsonschema.validate(done.lines[0], json.loads(alignwatch("schema", "label").out))
    assert "300 records; the change began at " in done.err
    assert alignwatch("simulate", *options).out == done.out
    alignwatch("simulate", *options, "--out", tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text() == done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--row", "no such row"), "no such row"),
        (("--onset", "soon"), "onset"),
        (("--harmful-share", "2"), "2"),
        (("--model", "m"), "--pairs and --model go together"),
        (("--pairs", "missing", "--model", "m"), "missing"),
        (("--set", "nonsense"), "write KEY=VALUE"),
        (("--set", "nonsense=1"), "nonsense"),
        (("--count", "0"), "count"),
    ],
    ids=str,
)
def test_a_simulation_that_cannot_be_exits_with_2(arguments: tuple[str, ...], told: str) -> None:
    done = alignwatch("simulate", *arguments, expect=2)
    assert told in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
