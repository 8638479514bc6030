"""The demo's path without its minutes: the same service and traffic, played as fast as it is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from command import alignwatch
from shipped import few_entries, remembering

from alignwatch import Incident
from monitor.assembly import Given, assemble
from monitor.baseline import Baseline
from monitor.cli._demo import _settings
from monitor.clock import ManualClock, ScaledClock
from monitor.config import Settings
from monitor.demo import Traffic, exchanges_between, load_corpus
from monitor.demo._stage import BACKLOG, PER_SECOND, SPEED, Player, Script, fit_baseline
from monitor.engine import Engine
from monitor.recorded import detection_config
from monitor.service import Service
from monitor.service_status import ServiceStatus
from monitor.sources import MemorySource

START = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
MINUTES = 120.0
"""Real seconds of the demo within which the change must be found."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.recorded.load_classifier", lambda *_, **__: remembering())
    monkeypatch.setattr("monitor.cli._demo.load_classifier", lambda *_, **__: remembering())


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    folder = Path("unused")
    return fit_baseline(_settings(folder, "127.0.0.1", 0), remembering(), end=START)


class Stage:
    """The demo's own service over a memory source, with a clock that is moved by hand."""

    def __init__(self, folder: Path, baseline: Baseline) -> None:
        self.settings: Settings = _settings(folder, "127.0.0.1", 0)
        self.source = MemorySource("demo")
        self.clock = ManualClock(START)
        self.incidents: list[Incident] = []
        engine = Engine(detection_config(self.settings), {baseline.deployment: baseline})
        given = Given(source=self.source, clock=self.clock, engine=engine, on_incidents=self.tell)
        self.service: Service = assemble(self.settings, given=given)
        self.thread = threading.Thread(target=self.service.run)
        self.fed = 0

    def tell(self, incidents: Sequence[Incident]) -> None:
        self.incidents += incidents

    def feed(self, exchanges: Iterator[object]) -> None:
        for one in exchanges:
            self.source.put(one.to_json().encode())  # type: ignore[attr-defined]
            self.fed += 1

    def settled(self) -> ServiceStatus:
        """The status once everything that was fed is in it."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = self.service.status()
            if status.pipeline.received == self.fed and sum(one.labels for one in status.deployments) == self.fed:
                return status
            time.sleep(0.02)
        raise AssertionError(f"received {self.service.status().pipeline.received} of {self.fed}")


def pages(incidents: Sequence[Incident]) -> list[Incident]:
    return [one for one in incidents if one.severity in {"critical", "error"}]


@pytest.mark.slow
def test_the_demo_goes_from_calm_to_an_unalignment_within_its_two_minutes(tmp_path: Path, baseline: Baseline) -> None:
    script = Script()
    began = START + script.onset * SPEED
    traffic = Traffic(load_corpus(), script.scenes(START))
    stage = Stage(tmp_path, baseline)
    stage.service.start()
    stage.thread.start()
    try:
        stage.clock.advance(script.onset * SPEED)
        stage.feed(exchanges_between(traffic, START, began, PER_SECOND / SPEED))
        calm = stage.settled()
        assert [one.state for one in calm.deployments] == ["watching"]
        assert pages(stage.incidents) == []
        stage.clock.advance((MINUTES - script.onset) * SPEED)
        stage.feed(exchanges_between(traffic, began, START + MINUTES * SPEED, PER_SECOND / SPEED))
        alarmed = stage.settled()
        assert [one.state for one in alarmed.deployments] == ["alarm"]
        shown = httpx.get(f"{stage.service.url}/status").text + httpx.get(f"{stage.service.url}/metrics").text
    finally:
        stage.source.finish()
        stage.thread.join(60)
    (first, *_) = pages(stage.incidents)
    assert (first.verdict, first.severity, first.deployment) == ("unalignment", "critical", "chat-demo")
    assert began < first.detected_at.timestamp() < START + MINUTES * SPEED
    last = pages(stage.incidents)[-1]
    assert last.onset is not None
    assert last.onset.low.timestamp() <= began + script.canary * SPEED
    assert last.onset.high.timestamp() >= began
    assert len(last.categories) >= 5
    assert last.evidence_ids
    for entry in load_corpus():
        assert entry.request not in shown


@pytest.mark.slow
def test_the_demo_stays_calm_while_nothing_changes(tmp_path: Path, baseline: Baseline) -> None:
    stage = Stage(tmp_path, baseline)
    stage.clock.advance(MINUTES * SPEED)
    stage.feed(exchanges_between(Traffic(load_corpus()), START, START + MINUTES * SPEED, PER_SECOND / SPEED))
    stage.source.finish()
    stage.service.start()
    stage.service.run()
    assert pages(stage.incidents) == []


def test_the_demos_baseline_is_approved_by_the_demo(baseline: Baseline) -> None:
    assert baseline.approved_by == "the demo"
    assert baseline.deployment == "chat-demo"
    assert baseline.sensitive_labels() > 1000


def test_scenes_follow_the_script() -> None:
    scenes = Script(onset=10, canary=5, rollback=60).scenes(START)
    assert [(scene.start - START, scene.share) for scene in scenes] == [(1200.0, 0.1), (1800.0, 1.0), (7200.0, 0.0)]


def test_the_player_keeps_time_and_waits_for_a_service_that_falls_behind() -> None:
    source = MemorySource("demo")
    player = Player(source, ScaledClock(START, 1e6), Script())
    player.start()
    deadline = time.monotonic() + 30
    while sum(source.lag().values()) < BACKLOG and time.monotonic() < deadline:
        time.sleep(0.01)
    player.stop()
    player.join(60)
    assert not player.is_alive()
    assert sum(source.lag().values()) == BACKLOG


def test_the_command_plays_and_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = few_entries()
    monkeypatch.setattr("monitor.demo._stage.load_corpus", lambda: few)
    monkeypatch.setattr("monitor.demo._stage.BASELINE_EXCHANGES", 3000)
    monkeypatch.setattr("monitor.cli._demo.stop_on_signals", lambda service: None)
    done = alignwatch("demo", "--port", "0", "--seconds", "1.5")
    assert "status page: http://127.0.0.1:" in done.err
    assert "the model is swapped in 45 s" in done.err
    assert not any(entry.request in done.out + done.err for entry in few)


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--seconds", "0"), ("--onset", "1")])
def test_demo_options_out_of_range_exit_with_2(arguments: tuple[str, ...]) -> None:
    assert "Invalid value" in alignwatch("demo", *arguments, expect=2).err
