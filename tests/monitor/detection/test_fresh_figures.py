"""An incident that is open gets worse or better: who follows its figures is told, who is woken only by news is not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_samples import Clock
from detection_scenes import CONFIG, NAME, baseline_of, live

from alerts.episodes import Route
from alerts.message import Message
from alerts.outbox import Outbox
from alignwatch import Incident, Label
from monitor.dedup import SeenIds
from monitor.engine import Engine
from monitor.metrics import Metrics
from monitor.outlets import DetectOutlet
from monitor.simulation import Change, Onset, simulate_labels
from monitor.state import State

ROUTES = (Route("follows", "warning", update_interval=60.0), Route("woken", "error", updates="material"))


class Sidecar:
    """Detectors, state and outbox as the sidecar has them, and a receiver that takes everything at once."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.state = State(path)
        self.outbox = Outbox(self.state.connection, now=self.clock)
        self.engine = Engine(CONFIG, {NAME: baseline_of(live())})
        body = self.state.snapshot("engine")
        if body is not None:
            self.engine.restore(body)
        self.loud: list[Incident] = []
        self.taken: dict[str, list[Message]] = {"follows": [], "woken": []}
        nowhere: Any = None
        self.outlet = DetectOutlet(
            nowhere, self.engine, self.state, SeenIds(3600.0), metrics=Metrics(), enqueue=self.enqueue,
            on_incidents=self.loud.extend,
        )  # fmt: skip

    def enqueue(self, _: Any, incidents: Any) -> None:
        for one in incidents:
            self.outbox.enqueue(one, ROUTES)

    def feed(self, labels: list[Label]) -> None:
        """Fifty labels a commit, a minute each."""
        for begin in range(0, len(labels), 50):
            self.outlet.count(labels[begin : begin + 50])
            self.outlet.commit({})
            self.clock.advance(60)
            for name, taken in self.taken.items():
                for entry in self.outbox.due(name, 10):
                    taken.append(entry.message)
                    self.outbox.mark_sent(entry)

    def told(self, name: str) -> list[str]:
        return [message.cause for message in self.taken[name]]


@pytest.fixture
def labels() -> list[Label]:
    return list(simulate_labels(live(count=6_000, onset=Onset(count=500), change=Change(odds_ratio=30))))


def test_figures_reach_those_who_follow_them_and_wake_nobody(tmp_path: Path, labels: list[Label]) -> None:
    sidecar = Sidecar(tmp_path / "s.db")
    sidecar.feed(labels)
    first, *updates = sidecar.taken["follows"]
    assert len(updates) >= 3
    assert set(sidecar.told("follows")) == {"opened", "updated"}
    assert updates[-1].incident.labels_since_onset > 10 * first.incident.labels_since_onset
    assert f"{updates[-1].incident.labels_since_onset} labels" in updates[-1].incident.summary, (
        "the line follows as well"
    )
    seen = [one.incident.labels_since_onset for one in sidecar.taken["follows"]]
    assert seen == sorted(seen)
    assert len(sidecar.told("woken")) < len(sidecar.told("follows"))
    assert len({message.dedup_key for message in sidecar.taken["woken"]}) == 1
    assert len(sidecar.loud) == 1, "and nothing is counted or printed as a new turn of the incident"
    (kept,) = sidecar.state.incidents()
    assert kept.labels_since_onset == updates[-1].incident.labels_since_onset, "the record has them, too"


def test_a_restart_tells_no_figures_again(tmp_path: Path, labels: list[Label]) -> None:
    sidecar = Sidecar(tmp_path / "s.db")
    sidecar.feed(labels[:3_000])
    sidecar.state.close()
    again = Sidecar(tmp_path / "s.db")
    again.clock.advance(86_400)
    again.feed([])
    again.outlet.commit({})
    assert again.taken == {"follows": [], "woken": []}
    again.feed(labels[3_000:])
    assert set(again.told("follows")) <= {"updated"}


def test_a_recovery_is_told_with_its_last_figures(tmp_path: Path, labels: list[Label]) -> None:
    sidecar = Sidecar(tmp_path / "s.db")
    sidecar.feed(labels[:2_500])
    later = labels[2_499].timestamp - labels[0].timestamp + timedelta(minutes=1)
    calm = [
        one.model_copy(update={"timestamp": one.timestamp + later, "id": f"calm-{i}"})
        for i, one in enumerate(simulate_labels(live(count=4_000, seed=9)))
    ]
    sidecar.feed(calm)
    assert sidecar.told("woken")[-1] == "recovered"
    assert sidecar.told("follows")[-1] == "recovered"
    assert sidecar.told("follows").count("recovered") == 1
