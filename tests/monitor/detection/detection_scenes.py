"""Simulated deployments for the engine's tests: an approved baseline, live labels, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

from alignwatch import Incident, Label
from monitor.baseline import Baseline, fit
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.simulation import Change, SimulationConfig, simulate_labels

CONFIG = DetectionConfig()
PAGES = {"critical", "error"}
NAME = "chat-sim"


def live(**settings: object) -> SimulationConfig:
    """A thousand labels an hour, a fifth of them sensitive, 13 % of those answered, unless said otherwise."""
    defaults = {
        "rate": 1000 / 3600,
        "harmful_share": 0.2,
        "compliance": 0.13,
        "count": 6_000,
        "model_digest": "sha256:a",
    }
    return SimulationConfig.model_validate(defaults | settings)


def clean(config: SimulationConfig, count: int) -> SimulationConfig:
    """The same deployment, weeks before, when nothing had changed."""
    return config.model_copy(
        update={"onset": None, "count": count, "seed": config.seed + 1000, "start": config.start - timedelta(days=60)}
    )


@cache
def _baseline(config_json: str, count: int, detection: DetectionConfig) -> Baseline:
    config = SimulationConfig.model_validate_json(config_json)
    (baseline,) = fit(simulate_labels(clean(config, count)), detection).values()
    return baseline.approve("test")


def baseline_of(config: SimulationConfig, count: int = 15_000, detection: DetectionConfig = CONFIG) -> Baseline:
    """Approved, of the deployment's clean traffic."""
    plain = config.model_copy(
        update={
            "onset": None, "count": 1, "ramp": 0, "canary_share": 1.0, "digest_after": None, "id_prefix": None,
            "mix_after": None, "harmful_share_after": None, "change": Change(row=config.change.row),
            "users": config.users.model_copy(update={"noisy_share": 0.0, "noisy_compliance": 0.9}),
        }
    )  # fmt: skip
    return _baseline(plain.model_dump_json(), count, detection)


@dataclass
class Story:
    """What the engine told, by incident."""

    told: list[Incident] = field(default_factory=list)
    """Every opening and change, in order."""

    @property
    def first(self) -> dict[str, Incident]:
        """As first told."""
        return {one.id: one for one in reversed(self.told)}

    @property
    def last(self) -> dict[str, Incident]:
        """As last told."""
        return {one.id: one for one in self.told}

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """(verdict, severity) of each incident as last told, in order of detection."""
        return [(one.verdict, one.severity) for one in sorted(self.last.values(), key=lambda one: one.detected_at)]

    @property
    def paged(self) -> set[str]:
        """Verdicts that paged a person at some time."""
        return {one.verdict for one in self.told if one.severity in PAGES}

    def only(self, verdict: str) -> Incident:
        """The one incident of this verdict, as last told."""
        (found,) = (one for one in self.last.values() if one.verdict == verdict)
        return found


def story(labels: Iterable[Label], baseline: Baseline, detection: DetectionConfig = CONFIG) -> Story:
    """Feed all of it to a new engine."""
    engine = Engine(detection, {baseline.deployment: baseline})
    return Story(engine.process(list(labels)))


def play(config: SimulationConfig, detection: DetectionConfig = CONFIG, baseline: int = 15_000) -> Story:
    """Simulate and feed."""
    return story(simulate_labels(config), baseline_of(config, baseline, detection), detection)


def chapters(*configs: SimulationConfig) -> Iterator[Label]:
    """Simulations one after the other in event time."""
    start = configs[0].start
    for number, config in enumerate(configs):
        last = start
        chapter = config.model_copy(update={"start": start, "seed": config.seed + 31 * number})
        for label in simulate_labels(chapter):
            last = label.timestamp
            yield label
        start = last + timedelta(seconds=4)
