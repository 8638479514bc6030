"""The Prometheus rules and their unit tests, read for tests; and where the programs that judge them are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
RULE_TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.yml"))


def program(*names: str) -> str:
    """Path of a program; skips the test where there is none, fails it with CI=true."""
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        said = f"needs {names[0]} (Debian packages prometheus and prometheus-alertmanager)"
        if os.environ.get("CI") == "true":
            pytest.fail(said)
        pytest.skip(said)
    return found


def rules(kind: str) -> Iterator[dict[str, Any]]:
    """All rules that have the key `alert` or `record`."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from (rule for rule in group["rules"] if kind in rule)


def rule_tests() -> Iterator[dict[str, Any]]:
    """Every test group of promtool's unit tests."""
    for path in RULE_TESTS:
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
