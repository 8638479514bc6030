"""The dashboards: what is committed is what the source makes, and every panel says what it shows."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from dashboards import FOLDER, Panel, dashboards, filled, metrics_of, panels
from fake_service import SCENES
from prometheus_client.parser import text_string_to_metric_families
from prometheus_files import DEPLOY, rules

from alignwatch import Label
from monitor.metrics import Metrics

PANELS = list(panels())
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)


def names() -> set[str]:
    """Everything that a query may read."""
    metrics = Metrics()
    metrics.watch(lambda: SCENES["fleet"])
    metrics.labelled(Label.model_validate({"id": "a", "timestamp": 0, "deployment": "d", "unlabelable": "empty"}))
    text = metrics.exposition()[0].decode()
    found = {"up", "ALERTS", *(rule["record"] for rule in rules("record"))}
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + suffix for suffix in suffixes}
    return found


def test_generating_them_again_gives_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DEPLOY / "grafana" / "source", tmp_path], check=True, timeout=120)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert set(made) == {f"alignwatch-{name}.json" for name in ("overview", "deployment", "classifier", "pipeline")}


@each_panel
def test_every_panel_says_what_it_shows_and_ends_with_what_it_reads(panel: Panel) -> None:
    text, found, listed = panel.description.partition(" Metrics: ")
    assert found
    assert len(text) > 15
    assert text.endswith(".")
    read = {name for query in panel.queries for name in metrics_of(query)}
    declared = set(listed.rstrip(".").split(", "))
    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in read} == {
        name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in declared
    }


@each_panel
def test_every_query_reads_metrics_that_exist_and_keeps_to_the_choices(panel: Panel) -> None:
    assert panel.queries
    for query in panel.queries:
        assert metrics_of(query) <= names(), query
        assert "ALERTS" in query or 'job=~"$job"' in query, query
        assert "$" not in filled(query)
        if panel.dashboard == "alignwatch-deployment":
            assert 'deployment=~"$deployment"' in query
    for where in (panel.body["datasource"], *(target["datasource"] for target in panel.body["targets"])):
        assert where == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(("uid", "dashboard"), dashboards().items())
def test_panels_do_not_overlap_and_the_first_row_answers_whether_it_is_well(uid: str, dashboard: dict) -> None:
    places = [(one["gridPos"], one["title"]) for one in dashboard["panels"]]
    for (a, first), (b, second) in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        )  # fmt: skip
        assert apart, f"{first} and {second}"
    assert all(place["x"] + place["w"] <= 24 for place, _ in places)
    top = [one for one in dashboard["panels"] if one["gridPos"]["y"] == 0]
    assert {one["type"] for one in top} == {"stat"}
    assert sum(one["gridPos"]["w"] for one in top) == 24
    assert dashboard["uid"] == uid
    assert "id" not in dashboard or dashboard["id"] is None
    assert dashboard["tags"] == ["alignwatch"]


@pytest.mark.parametrize("uid", ["alignwatch-overview", "alignwatch-deployment"])
def test_marks_stand_at_the_time_that_the_metric_tells(uid: str) -> None:
    marks = {one["name"]: one for one in dashboards()[uid]["annotations"]["list"]}
    assert set(marks) == {"Began", "Detected", "Change"}
    for one in marks.values():
        assert one["useValueForTime"] == "on"
        assert one["expr"].endswith("* 1000")
        assert metrics_of(one["expr"]) <= names() | {"alignwatch_incident_change_timestamp_seconds"}


def test_provisioning_points_at_the_dashboards_and_at_prometheus() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "alignwatch.yml").read_text())["providers"]
    assert (source["type"], source["uid"]) == ("prometheus", "prometheus")
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    mounts = {mount.split(":")[1] for mount in compose["services"]["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounts
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose["services"]
