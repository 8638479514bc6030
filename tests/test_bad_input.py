"""Every kind of bad input that the design names is in docs/bad-input.md, and every test named there exists."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from alignwatch import Behaviour, Incident, Label, RequestLabel
from monitor.baseline import fit
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
PROMISED = (
    "not JSON, wrong types, missing id/timestamp/deployment, > max size, binary, deep nesting",
    "unknown envelope",
    "redacted or empty text",
    "duplicate id",
    "clock skew: far future or far past",
    "half of a request/response pair",
    "bad config",
    "model file missing or digest mismatch",
    "PagerDuty, Alertmanager or webhook down",
    "Kafka down",
    "disk full / state file corrupt",
    "unauthenticated or oversize HTTP",
)
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ROWS = {
    cells[0].strip(): cells[2]
    for line in PAGE.splitlines()
    if line.startswith("| ") and len(cells := line.strip("|").split("|")) == 3 and "`tests/" in line
}


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the test functions of a file, as pytest would collect them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_promised_row_is_there_and_no_other() -> None:
    assert tuple(ROWS) == PROMISED


@pytest.mark.parametrize("row", PROMISED)
def test_every_row_is_shown_by_tests(row: str) -> None:
    assert REFERENCE.findall(ROWS[row])


@pytest.mark.parametrize(("path", "name"), REFERENCE.findall(PAGE), ids=lambda part: part.rpartition("/")[2])
def test_every_test_that_is_named_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert not name or name in names_in(ROOT / path)


BEGAN = datetime(2026, 11, 2, tzinfo=UTC)


def labels(count: int, unlabelable_every: int, start: datetime, prefix: str) -> list[Label]:
    """Traffic in which every so-manieth prompt can't be read."""
    refused = Behaviour(refusal=0.95, partial=0.0, compliance=0.05)
    answered = Behaviour(refusal=0.01, partial=0.0, compliance=0.99)
    found = []
    for number in range(count):
        at = {"id": f"{prefix}-{number}", "timestamp": start + timedelta(seconds=10 * number), "deployment": "d"}
        if number % unlabelable_every == 0:
            found.append(Label.model_validate(at | {"unlabelable": "redacted"}))
        else:
            sensitive = number % 3 == 0
            request = RequestLabel(harm=0.9 if sensitive else 0.01, category="cyber" if sensitive else "none")
            behaviour = refused if sensitive else answered
            found.append(Label.model_validate(at | {"request": request, "behaviour": behaviour, "response_harm": 0.01}))
    return found


def pages_after(unlabelable_every: int) -> list[Incident]:
    config = DetectionConfig()
    baseline = fit(labels(6000, 100, BEGAN, "calm"), config)["d"].approve("the tests")
    engine = Engine(config, {"d": baseline})
    live = BEGAN + timedelta(days=7)
    return engine.process(
        [*labels(500, 100, live, "a"), *labels(1500, unlabelable_every, live + timedelta(hours=2), "b")]
    )


def test_a_rise_of_unlabelable_traffic_is_a_data_quality_incident() -> None:
    found = pages_after(4)
    assert {one.verdict for one in found} == {"data-quality"}
    assert found[0].detected_at > BEGAN + timedelta(days=7, hours=2)
    assert pages_after(100) == []
