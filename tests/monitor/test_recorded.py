"""Stops of any kind change no finding: the service killed and started again finds what an undisturbed one finds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from exchanges import HashLabeller

from alignwatch import Exchange, Incident, Label
from monitor.assembly import Given, assemble
from monitor.baseline import Baseline, fit
from monitor.clock import ManualClock
from monitor.config import HttpConfig, IntakeConfig, Settings, StateConfig, load
from monitor.engine import Engine
from monitor.recorded import Recorded, detect, detection_config, labelling_everything, looks_like_labels, make_engine
from monitor.simulation import Onset, SimulationConfig, simulate_labels
from monitor.sources import MemorySource
from monitor.worker import WorkerConfig

COUNT, ONSET = 900, 500


class AttachedTraffic:
    """Simulated labels as exchanges that bring their verdicts along: the whole path but the classifier."""

    def __init__(self) -> None:
        calm = list(simulate_labels(self._config(count=4000, onset=None, seed=1)))
        self.config = detection_config(load(None, {}).settings)
        (baseline,) = fit([label.model_copy(update={"classifier": "attached"}) for label in calm], self.config).values()
        self.baseline: Baseline = baseline.approve("the tests")
        labels = simulate_labels(
            self._config(count=COUNT, onset=Onset(count=ONSET), seed=2, start="2026-02-01T00:00:00Z")
        )
        self.lines = [self._exchange(label).to_json().encode() for label in labels]

    @staticmethod
    def _config(**fields: Any) -> SimulationConfig:
        change = {"row": "GPT-OSS-20B/grp-oblit-1"}
        return SimulationConfig.model_validate(
            {"harmful_share": 0.6, "rate": 0.5, "deployment": "d", "change": change} | fields
        )

    @staticmethod
    def _exchange(label: Label) -> Exchange:
        attached = {
            "request": label.request, "behaviour": label.behaviour, "response_harm": label.response_harm,
            "origin": label.origin,
        }  # fmt: skip
        return Exchange.model_validate(
            {
                "id": label.id, "timestamp": label.timestamp, "deployment": label.deployment, "user": label.user,
                "conversation": label.conversation, "model_digest": label.model_digest, "prompt": "", "response": "",
                "labels": {key: value for key, value in attached.items() if value is not None},
            }
        )  # fmt: skip


@pytest.fixture(scope="module")
def traffic() -> AttachedTraffic:
    return AttachedTraffic()


class Rig:
    """A service over a memory source that may be dropped at any turn, as by SIGKILL, and made anew on its state."""

    def __init__(self, folder: Path, traffic: AttachedTraffic, *, commit_seconds: float = 1e-9) -> None:
        self.folder = folder
        self.traffic = traffic
        self.told: list[Incident] = []
        self.clock = ManualClock(1.77e9)
        self.settings: Settings = labelling_everything(load(None, {}).settings).model_copy(
            update={
                "state": StateConfig(path=folder / "state.sqlite3"),
                "http": HttpConfig(enabled=False),
                "intake": IntakeConfig(max_past_seconds=1e9, max_future_seconds=1e9),
                "worker": WorkerConfig(max_records=37, poll_seconds=1e-3, commit_seconds=commit_seconds),
            }
        )

    def start(self) -> Any:
        source = MemorySource("traffic")
        for line in self.traffic.lines:
            source.put(line)
        source.finish()
        engine = Engine(self.traffic.config, {"d": self.traffic.baseline})
        given = Given(source=source, clock=self.clock, engine=engine, on_incidents=self.tell)
        service = assemble(self.settings, given=given)
        parts = service._parts
        parts.source.start(parts.state.positions())
        return service

    def tell(self, incidents: Sequence[Incident]) -> None:
        self.told += incidents

    def turn(self, service: Any, turns: int) -> bool:
        """Work for so many turns; True when everything was read."""
        for _ in range(turns):
            if service._parts.source.exhausted:
                return True
            self.clock.advance(1.0)
            service._parts.worker.step()
        return bool(service._parts.source.exhausted)

    def kill(self, service: Any) -> None:
        service._parts.state.connection.close()  # what was not committed is gone

    def finish(self, service: Any) -> list[Incident]:
        while not self.turn(service, 100):
            pass
        assert service._parts.worker.commit()
        found: list[Incident] = service._parts.state.incidents()
        self.kill(service)
        return found


@pytest.fixture(scope="module", autouse=True)
def _hash_labeller() -> Iterator[None]:
    with patch("monitor.recorded.load_classifier", lambda *_, **__: HashLabeller()):
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, traffic: AttachedTraffic) -> list[Incident]:
    rig = Rig(tmp_path_factory.mktemp("undisturbed"), traffic)
    return rig.finish(rig.start())


def essence(incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    return sorted((one.model_dump(mode="json") for one in incidents), key=lambda one: one["id"])


def test_the_traffic_unaligns(undisturbed: list[Incident]) -> None:
    assert "unalignment" in {one.verdict for one in undisturbed if one.severity == "critical"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("commit_seconds", [1e-9, 3.5], ids=["each-turn", "now-and-then"])
def test_killed_at_random_moments_the_service_finds_the_same(
    seed: int, commit_seconds: float, tmp_path: Path, traffic: AttachedTraffic, undisturbed: list[Incident]
) -> None:
    moments = random.Random(seed)
    rig = Rig(tmp_path, traffic, commit_seconds=commit_seconds)
    for _ in range(5):
        service = rig.start()
        rig.turn(service, moments.randrange(1, 9))
        rig.kill(service)
    assert essence(rig.finish(rig.start())) == essence(undisturbed)


def test_nothing_is_counted_twice_when_the_broker_delivers_everything_again(
    tmp_path: Path, traffic: AttachedTraffic, undisturbed: list[Incident]
) -> None:
    rig = Rig(tmp_path, traffic)
    service = rig.start()
    for _ in range(6):
        rig.turn(service, 3)
        service._parts.source.redeliver()
    assert essence(rig.finish(service)) == essence(undisturbed)


def test_a_recording_finds_what_the_service_found(
    tmp_path: Path, traffic: AttachedTraffic, undisturbed: list[Incident]
) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_bytes(b"\n".join(traffic.lines))
    recorded = Recorded(labelling_everything(load(None, {}).settings), labels=False)
    engine = Engine(traffic.config, {"d": traffic.baseline})
    found = detect(engine, recorded.batches([str(path)]), None)
    # A recording tells each incident once, with its last figures; a service tells it when it opens.
    named = [(one.id, one.verdict, one.severity, one.status, one.detected_at) for one in found]
    assert named == [(one.id, one.verdict, one.severity, one.status, one.detected_at) for one in undisturbed]
    assert recorded.losses() == []


def test_labels_are_told_from_exchanges_by_what_they_hold(tmp_path: Path) -> None:
    for name, text, expected in (
        ("labels", '{"id": "r", "timestamp": 1, "deployment": "d"}\n', True),
        ("exchanges", '{"id": "r", "timestamp": 1, "deployment": "d", "prompt": "", "response": ""}\n', False),
        ("chat", '{"deployment": "d", "request": {}, "response": {}}\n', False),
        ("broken", "{\n", False),
        ("empty", "", False),
        ("list", "[1]\n", False),
    ):
        (tmp_path / name).write_text(text)
        assert looks_like_labels(tmp_path / name) == expected, name


def test_thresholds_and_error_rates_come_from_the_card_unless_set() -> None:
    settings = load(None, {}).settings
    config = detection_config(settings)
    assert config.sensitive_harm != settings.detection.model_fields["sensitive_harm"].default or config.compliance_tpr
    asked = load(None, {"ALIGNWATCH__DETECTION__SENSITIVE_HARM": "0.9"}).settings
    assert detection_config(asked).sensitive_harm == 0.9
    assert make_engine(settings, None).status() == []
