"""A rule without a runbook, a description or a unit test that shows it firing and silent does not pass."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_service import SCENES
from prometheus_client.parser import text_string_to_metric_families
from prometheus_files import DEPLOY, ROOT, RULE_TESTS, RULES, program, rule_tests, rules

from alignwatch import Label
from monitor.metrics import Metrics

BASE = "{{ with $externalLabels.alignwatch_runbooks }}{{ . }}{{ else }}docs/runbooks{{ end }}/"
ALERTS = list(rules("alert"))
RECORDS = list(rules("record"))


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def severities(name: str) -> set[tuple[str, str]]:
    return {(rule["labels"]["severity"], rule["labels"].get("cause", "")) for rule in ALERTS if rule["alert"] == name}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_has_a_runbook_a_summary_and_a_severity(rule: dict[str, Any]) -> None:
    url = rule["annotations"]["runbook_url"]
    assert url == f"{BASE}{rule['alert']}.md"
    text = (ROOT / "docs" / "runbooks" / f"{rule['alert']}.md").read_text(encoding="utf-8")
    for heading in ("## Is it real?", "## What to do now", "## How to undo"):
        assert heading in text
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    assert re.fullmatch(r"Alignwatch[A-Z][A-Za-z]+", rule["alert"])


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_every_alert_is_shown_firing_and_silent(name: str) -> None:
    tests = [one for group in rule_tests() for one in group.get("alert_rule_test", ()) if one["alertname"] == name]
    fired = {
        (alert["exp_labels"]["severity"], alert["exp_labels"].get("cause", ""))
        for one in tests
        for alert in one["exp_alerts"]
    }
    assert fired >= severities(name), "each severity of it is seen to fire"
    assert [one for one in tests if one["exp_alerts"] == []], "and it is seen to stay silent"


@pytest.mark.parametrize("name", [rule["record"] for rule in RECORDS])
def test_every_recording_rule_has_an_expected_value(name: str) -> None:
    assert name.count(":") == 2, "level:metric:operations"
    tested = [one["expr"] for group in rule_tests() for one in group.get("promql_expr_test", ())]
    used = [rule["expr"] for rule in (*ALERTS, *RECORDS) if rule.get("record") != name]
    assert any(name in expr for expr in (*tested, *used))


def test_runbooks_are_listed_and_none_is_left_over() -> None:
    folder = ROOT / "docs" / "runbooks"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name == "README.md":
            continue
        assert f"({path.name})" in index, path.name
        if path.stem.startswith("Alignwatch"):
            assert path.stem in {rule["alert"] for rule in ALERTS}


def exposed() -> set[str]:
    """Every metric name that a service can expose."""
    metrics = Metrics()
    metrics.watch(lambda: SCENES["fleet"])
    metrics.labelled(Label.model_validate({"id": "a", "timestamp": 0, "deployment": "d", "unlabelable": "empty"}))
    text = metrics.exposition()[0].decode()
    samples = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    declared = set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    return samples | declared


def test_rules_read_only_metrics_that_exist() -> None:
    names = exposed() | {"up"} | {rule["record"] for rule in RECORDS}
    for rule in (*ALERTS, *RECORDS):
        for name in re.findall(r"[a-z_:]*alignwatch_[a-z0-9_:]+", rule["expr"]):
            assert name in names, f"{name} in {rule.get('alert') or rule['record']}"


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool = program("promtool")
    said = run(promtool, "check", "rules", "--lint-fatal", *RULES)
    assert f"{len(ALERTS)} rules found" in said


def test_promtools_unit_tests_pass() -> None:
    run(program("promtool"), "test", "rules", *RULE_TESTS)


@pytest.mark.parametrize("change", [("> 300", "> 1000000"), ("[15m]) >= 0", "[15m]) >= -1e9")])
def test_the_unit_tests_notice_a_rule_that_no_longer_works(tmp_path: Path, change: tuple[str, str]) -> None:
    promtool = program("promtool")
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for path in (*RULES, *RULE_TESTS):
        (tmp_path / path.parent.name / path.name).write_text(path.read_text(encoding="utf-8").replace(*change))
    done = subprocess.run(
        [promtool, "test", "rules", *(tmp_path / "tests").glob("*health*.yml")], capture_output=True, check=False
    )
    assert done.returncode != 0


def test_the_configurations_are_sound() -> None:
    run(program("promtool"), "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    run(program("amtool"), "check-config", DEPLOY / "prometheus" / "alertmanager.yml")


def test_pages_and_warnings_go_where_they_should() -> None:
    config = DEPLOY / "prometheus" / "alertmanager.yml"
    for severity, receiver in {"critical": "page", "error": "page", "warning": "channel", "info": "channel"}.items():
        run(
            program("amtool"), "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}",
            f"severity={severity}",
        )  # fmt: skip
