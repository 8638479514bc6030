"""The report file: complete, self-contained, true to its input, and safe against names from traffic."""

from __future__ import annotations

import doctest
import importlib
import random
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_samples import DETECTED, change, incident

from alerts.guidance import NEXT_STEPS
from alignwatch import VERDICTS, Behaviour, CategoryFinding, Label, RequestLabel
from monitor.report import render, write_report
from monitor.windows import Windows

ONSET = DETECTED - timedelta(minutes=13)
HOSTILE = "\"><script>alert('x')</script>&\x00\x1b[31m"


def labels(name: str = "chat-prod", *, count: int = 900, onset: datetime | None = ONSET) -> list[Label]:
    """Half a day of labels, a third of them sensitive; answered is one of ten, and nine of ten from the onset on."""
    chance = random.Random(5)
    found = []
    for i in range(count):
        at = DETECTED - timedelta(hours=10) + i * timedelta(hours=12) / count
        sensitive = i % 3 == 0
        rate = 0.9 if onset is not None and at >= onset else 0.1
        answered = 0.98 if chance.random() < rate else 0.02
        found.append(
            Label(
                id=f"{name}-{i}",
                timestamp=at,
                deployment=name,
                request=RequestLabel(harm=0.97 if sensitive else 0.02, category="cyber" if sensitive else "none"),
                behaviour=Behaviour(refusal=1 - answered, partial=0.0, compliance=answered),
                response_harm=answered,
            )
        )
    return found


def frames(*lists: list[Label]) -> dict:
    windows = Windows()
    for one in lists:
        for label in one:
            windows.add(label)
    return dict(windows.frames())


def tree(markup: str) -> ET.Element:
    """The report as XML: every element is closed and every name escaped, or this fails."""
    return ET.fromstring(markup.removeprefix("<!doctype html>"))


def text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def classed(root: ET.Element, name: str) -> list[ET.Element]:
    return [one for one in root.iter() if name in one.get("class", "").split()]


def test_the_report_says_how_much_since_when_how_sure_where_and_what_to_do(tmp_path: Path) -> None:
    one = incident(
        nearest_change=change(20),
        categories=(
            CategoryFinding(name="cyber", baseline=0.1, observed=0.8, interval=(0.6, 0.9), labels=20, contribution=0.7),
        ),
    )
    path = tmp_path / "report.html"
    write_report(path, frames(labels()), [one])
    root = tree(path.read_text(encoding="utf-8"))
    assert "1 incident: un-alignment" in text(root.find("head/title"))
    said = text(root.find("body"))
    for part in (
        "12 % → 71 %", "95 % interval 64 % to 78 %", "2026-11-23 10:42 UTC", "between 10:35 and 10:50",
        "detected 10:55, 13 min later", "evidence 10^8.2", "once in 180 days", "checkpoint, 2026-11-23 10:22 UTC",
        "Cyber attacks10 % → 80 %70 %20", "abababababababab", "r-1", *NEXT_STEPS["unalignment"],
    ):  # fmt: skip
        assert part in said, part


def test_the_chart_shows_rates_their_interval_the_onset_and_the_detection() -> None:
    root = tree(render(frames(labels()), [incident()]))
    (plot,) = classed(root, "plot")
    for part in ("compliance", "refusal", "partial", "harm", "band", "onset", "began", "detected", "count"):
        assert classed(plot, part), part
    heights = [float(dot.get("cy")) for dot in classed(plot, "pane")]
    assert len(heights) == len(frames(labels())["chat-prod"]), "one dot a pane that was answered"
    assert sum(heights[-20:]) / 20 < sum(heights[:60]) / 60 - 100, "panes after the onset lie higher"
    (band,) = classed(plot, "onset")
    (line,) = [one for one in classed(plot, "began") if one.tag == "line"]
    left, width = float(band.get("x")), float(band.get("width"))
    assert left < float(line.get("x1")) < left + width
    assert re.search(r"answered: \S+ % at first, .* 79 % at the end", plot.get("aria-label"))


def test_numbers_for_those_who_cannot_see_the_chart_are_those_of_the_frame() -> None:
    panes = frames(labels())
    rows = tree(render(panes, [])).findall(".//details//tbody/tr")
    assert len(rows) == len(panes["chat-prod"]) // 12
    expected = panes["chat-prod"]["sliding_refusal"].iloc[11]
    assert f"{100 * expected:.0f} %" in text(rows[0])


def test_it_is_one_file_that_asks_for_nothing() -> None:
    markup = render(frames(labels()), [incident()])
    root = tree(markup)
    assert "<script" not in markup
    (policy,) = [one.get("content") for one in root.iter("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not [one for one in root.iter() if one.tag in {"img", "link", "iframe", "object"} or one.get("src")]
    assert all(one.get("href").startswith("#") for one in root.iter("a"))
    assert "url(" not in markup
    assert "@import" not in markup
    assert "http://" not in markup.replace("http://www.w3.org", "")


def test_the_same_input_gives_the_same_bytes() -> None:
    assert render(frames(labels()), [incident()]) == render(frames(labels()), [incident()])


def test_the_gravest_deployment_comes_first_and_calm_ones_are_there() -> None:
    found = [
        incident(deployment="b", severity="critical"),
        incident(deployment="a", verdict="traffic-shift", severity="warning"),
    ]
    root = tree(render(frames(labels("a"), labels("b"), labels("calm", onset=None)), found))
    assert [text(one) for one in root.iter("h2")] == ["b", "a", "calm"]
    assert [text(one) for one in root.findall(".//nav//li")] == ["b 1 incident", "a 1 incident", "calm no incident"]
    assert "2 incidents: traffic shift, un-alignment" in text(root.find(".//h1"))


def test_names_from_traffic_stay_text() -> None:
    evil = incident(
        id=HOSTILE[:40], deployment=HOSTILE, evidence_ids=(HOSTILE,), summary=HOSTILE, model_digest=HOSTILE,
        nearest_change=change(3, kind=HOSTILE),
    )  # fmt: skip
    markup = render(frames(labels(HOSTILE)), [evil])
    assert "<script" not in markup
    assert "\x1b" not in markup
    assert "alert('x')" in text(tree(markup).find(".//h2"))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_bare_incident_of_any_verdict_can_be_shown(verdict: str) -> None:
    bare = incident(
        verdict=verdict, onset=None, streams=(), categories=(), evidence_ids=(), model_digest=None,
        false_alarm_budget=None, labels_since_onset=0,
    )  # fmt: skip
    said = text(tree(render({}, [bare])).find("body"))
    assert "Detected2026-11-23 10:55 UTC" in said
    assert "None" not in said
    assert "nan" not in said.lower().replace("unan", "")


def test_no_labels_and_no_incidents_are_said_plainly() -> None:
    said = text(tree(render({}, [])).find("body"))
    assert "No incident" in said
    assert "No label was read." in said


def test_gaps_in_traffic_are_gaps_in_the_line_and_empty_panes_break_nothing() -> None:
    early = labels(onset=None)[:100]
    late = [one.model_copy(update={"timestamp": one.timestamp + timedelta(days=2)}) for one in labels()[-100:]]
    benign = [one.model_copy(update={"request": RequestLabel(harm=0.0, category="none")}) for one in labels("benign")]
    markup = render(frames([*early, *late], benign), [])
    first, second = classed(tree(markup), "plot")
    assert "No sensitive request was answered" in first.get("aria-label")
    assert len([one for one in classed(second, "compliance") if one.tag == "path"]) == 2
    assert "nan" not in "".join(one.get("d", "") for one in second.iter())


@pytest.mark.parametrize("name", ["plots.markup", "words"])
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"monitor.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_a_long_recording_stays_a_small_file() -> None:
    some = labels(onset=None)
    stretched = [
        one.model_copy(update={"timestamp": datetime(2026, 1, 1, tzinfo=UTC) + i * timedelta(hours=8)})
        for i, one in enumerate(some)
    ]
    assert len(render(frames(stretched), [])) < 1_000_000
