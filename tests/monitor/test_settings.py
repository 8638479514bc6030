"""Settings: one file and the environment, every fault told at once, origins kept and secrets masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import Settings, load, mask
from monitor.config_file import flatten, merge, read_environment
from monitor.errors import ConfigError

ROOT = Path(__file__).parents[2]


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "alignwatch.toml"
    path.write_text(text)
    return path


def faults(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return caught.value.faults


def test_without_a_file_every_setting_has_a_sound_default() -> None:
    loaded = load(None, {})
    assert loaded.settings == Settings()
    assert {origin for _, _, origin in loaded.rows()} == {"default"}


def test_the_example_that_ships_is_sound() -> None:
    assert load(ROOT / "deploy" / "alignwatch.example.toml", {}).settings.source.kind == "kafka"


def test_the_environment_wins_over_the_file_and_both_are_named_as_origins(tmp_path: Path) -> None:
    path = file(tmp_path, '[http]\nport = 9000\nhost = "0.0.0.0"\n')
    loaded = load(path, {"ALIGNWATCH__HTTP__PORT": "9001", "UNRELATED": "1"})
    rows = {key: (value, origin) for key, value, origin in loaded.rows()}
    assert rows["http.port"] == (9001, "environment ALIGNWATCH__HTTP__PORT")
    assert rows["http.host"] == ("0.0.0.0", str(path))
    assert rows["http.enabled"] == (True, "default")


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("ALIGNWATCH__SAMPLING__RATE", "0.25", "sampling.rate", 0.25),
        ("ALIGNWATCH__HTTP__ENABLED", "false", "http.enabled", False),
        ("ALIGNWATCH__SOURCE__KAFKA__TOPICS", "a, b", "source.kafka.topics", ["a", "b"]),
        ("ALIGNWATCH__SOURCE__KAFKA__TOPICS", '["a"]', "source.kafka.topics", ["a"]),
        ("ALIGNWATCH__STATE__PATH", "/var/lib/s.sqlite3", "state.path", "/var/lib/s.sqlite3"),
        ("alignwatch__log__level", "debug", "log.level", "debug"),
        ("ALIGNWATCH__SOURCE__KAFKA__GROUP_ID", "g-1", "source.kafka.group_id", "g-1"),
    ],
)
def test_a_variable_sets_any_value(name: str, text: str, key: str, value: Any) -> None:
    rows = {row[0]: row[1] for row in load(None, {name: text}).rows()}
    assert rows[key] == value


def test_every_fault_is_told_at_once_one_line_each(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        """
        [source]
        kind = "rabbit"
        [http]
        port = 70000
        prot = 1
        [sampling]
        rate = 0
        [log]
        level = "loud"
        [nonsense]
        x = 1
        """,
    )
    found = faults(path, {"ALIGNWATCH__CLASSIFIER__THREADS": "many"})
    assert len(found) == 7
    assert all("\n" not in line for line in found)
    told = {line.split(" ")[0].rstrip(":"): line for line in found}
    assert (
        told["source.kind"] == f"source.kind = 'rabbit' ({path}): Input should be 'kafka', 'http', 'file' or 'memory'"
    )
    assert "70000" in told["http.port"]
    assert "less than or equal to 65535" in told["http.port"]
    assert told["http.prot"] == f"http.prot ({path}): no such setting"
    assert "greater than 0" in told["sampling.rate"]
    assert "'debug', 'info', 'warning' or 'error'" in told["log.level"]
    assert told["nonsense"].endswith("no such setting")
    assert "(environment ALIGNWATCH__CLASSIFIER__THREADS)" in told["classifier.threads"]
    assert "'many'" in told["classifier.threads"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[http\nport = 1", "not TOML"),
        ("port = = 1", "not TOML"),
        ('x = "\udcff"', "not TOML"),
    ],
    ids=["table", "value", "encoding"],
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "alignwatch.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    (line,) = faults(path)
    assert line.startswith(f"{path}: {told}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.toml") == [f"{tmp_path}/none.toml: can't be read: No such file or directory"]
    assert faults(tmp_path) == [f"{tmp_path}: can't be read: Is a directory"]


def test_a_section_cannot_be_reached_through_a_value(tmp_path: Path) -> None:
    path = file(tmp_path, "[http]\nport = 1\n")
    (line,) = faults(path, {"ALIGNWATCH__HTTP__PORT__X": "1"})
    assert line == "ALIGNWATCH__HTTP__PORT__X: http.port.x can't be set, port is a value and not a section"


def test_a_table_in_place_of_a_value_is_a_fault(tmp_path: Path) -> None:
    (line,) = faults(file(tmp_path, "http = 7\n"))
    assert line.startswith("http = 7")


@pytest.mark.parametrize(
    ("key", "value", "masked"),
    [
        ("sasl_plain_password", "hunter2", True),
        ("client_secret", "x", True),
        ("routing_key", "R" * 32, True),
        ("bearer_token", "x", True),
        ("key", "sampled-by-this", True),
        ("routing_key_file", "/run/secrets/key", False),
        ("sasl_plain_password_env", "KAFKA_PASSWORD", False),
        ("password", "", False),
        ("topics", ["a"], False),
    ],
)
def test_secrets_are_masked_and_the_names_of_their_holders_are_not(key: str, value: Any, masked: bool) -> None:
    assert (mask(("section", key), value) == "********") == masked
    assert mask(("section", key), value) in ("********", value)


def test_a_secret_in_the_wrong_place_is_not_printed_in_its_fault(tmp_path: Path) -> None:
    path = file(tmp_path, '[source.kafka]\nsasl_plain_password = "hunter2"\n')
    (line,) = faults(path)
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "sink",
    [
        {"kind": "pagerduty", "routing_key": "R" * 32},
        {"kind": "pagerdty", "routing_key": "R" * 32},
        {"kind": "pagerduty", "routing_key_file": "k", "routing_key_env": "K", "endpoint": "gopher://R" + "R" * 31},
        [{"token": "R" * 32}],
        "R" * 32,
    ],
    ids=["misplaced", "wrong-kind", "two-holders", "list", "text"],
)
def test_no_fault_prints_a_table_that_may_hold_secrets(sink: Any) -> None:
    for line in faults(None, {"ALIGNWATCH__ALERTS__SINKS": json.dumps([sink])}):
        assert line.startswith("alerts.sinks.0")
        assert "(environment ALIGNWATCH__ALERTS__SINKS)" in line
        assert "\n" not in line
        if not isinstance(sink, str):
            assert "RRRR" not in line or "gopher" in line


def test_two_settings_that_contradict_each_other_are_one_fault_without_the_table() -> None:
    kafka = {"topics": ["a"], "topic_pattern": "b", "sasl_plain_username": "someone"}
    (line,) = faults(None, {"ALIGNWATCH__SOURCE__KAFKA": json.dumps(kafka)})
    where, _, what = line.partition(": ")
    assert where == "source.kafka (environment ALIGNWATCH__SOURCE__KAFKA)"
    assert what == "topics and topic_pattern are both set; only one of them is allowed"


def test_the_schema_describes_what_a_file_may_hold() -> None:
    schema = Settings.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"http": {"port": 1}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"http": {"prot": 1}}, schema)


TREES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("abc"), TREES, max_size=3))
def test_flattening_and_merging_are_inverse(tree: dict[str, Any]) -> None:
    overrides = {key: ("NAME", value) for key, value in flatten(tree)}
    assert merge({}, overrides) == tree


@given(st.dictionaries(st.text(st.characters(max_codepoint=126), max_size=20), st.text(max_size=10), max_size=4))
def test_no_environment_breaks_the_reading_of_it(environ: dict[str, str]) -> None:
    named = {f"ALIGNWATCH__{name}": value for name, value in environ.items()}
    for key, (name, _) in read_environment(named | environ).items():
        assert key == tuple(part.lower() for part in name.upper().removeprefix("ALIGNWATCH__").split("__") if part)


def test_an_environment_value_that_looks_like_json_is_taken_as_json() -> None:
    found = read_environment({"ALIGNWATCH__A__B": json.dumps([1, {"c": None}]), "ALIGNWATCH__A__C": "plain"})
    assert {key: value for key, (_, value) in found.items()} == {("a", "b"): [1, {"c": None}], ("a", "c"): "plain"}
