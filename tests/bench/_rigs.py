"""One deployment through the real engine: a baseline of simulated traffic, then live traffic, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from alignwatch import Incident, Label
from monitor.baseline import Baseline, fit
from monitor.detection.evidence import moment
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.simulation import SimulationConfig, onset_time, simulate_labels

FLEET = 50
"""Deployments that share one false page per 90 days: every rig below is one of them."""
DETECTION = DetectionConfig(fleet_deployments=FLEET)
RATE = 1000 / 3600
"""Labels per second."""
HARMFUL_SHARE = 0.2
BASELINE_LABELS = 20_000
SETTING = (
    f"Each deployment is one of {FLEET} that share one false page per 90 days; 1,000 labels an hour, {HARMFUL_SHARE:.0%} of them "
    f"sensitive unless said otherwise; baseline of {BASELINE_LABELS:,} labels ({BASELINE_LABELS * HARMFUL_SHARE:,.0f} sensitive)."
)
_BLOCK = 25
_AFTER_PAGE = 1_500
"""Labels read on after the first page, for the verdict to settle."""


def live(**settings: object) -> SimulationConfig:
    """Settings of live traffic, with this bench's rates where nothing else is said."""
    return SimulationConfig.model_validate({"rate": RATE, "harmful_share": HARMFUL_SHARE, **settings})


def baseline_of(
    config: SimulationConfig, detection: DetectionConfig, labels: int = BASELINE_LABELS
) -> dict[str, Baseline]:
    """An approved baseline from clean traffic of the same deployment in the weeks before."""
    clean = config.model_copy(
        update={
            "onset": None, "count": labels, "seed": config.seed + 1_000_003, "start": config.start - timedelta(days=60),
        }
    )  # fmt: skip
    return {name: one.approve("bench") for name, one in fit(simulate_labels(clean), detection).items()}


@dataclass
class Outcome:
    """What the engine made of one run."""

    labels: int = 0
    sensitive: int = 0
    pages: list[Incident] = field(default_factory=list)
    """As first sent."""
    notes: list[Incident] = field(default_factory=list)
    """Warnings and infos, as first sent."""
    last: dict[str, Incident] = field(default_factory=dict)

    def add(self, incidents: list[Incident]) -> None:
        for incident in incidents:
            known = incident.id in self.last and self.last[incident.id].severity in {"critical", "error"}
            if incident.severity in {"critical", "error"} and not known:
                self.pages.append(incident)
            elif incident.id not in self.last:
                self.notes.append(incident)
            self.last[incident.id] = incident


def run(config: SimulationConfig, baselines: dict[str, Baseline], detection: DetectionConfig = DETECTION) -> Outcome:
    """Feed all of it."""
    engine, outcome = Engine(detection, baselines), Outcome()
    for label in simulate_labels(config):
        outcome.labels += 1
        outcome.sensitive += is_sensitive(label)
        outcome.add(engine.process([label]))
    return outcome


@dataclass(frozen=True)
class Detection:
    """Of one change; counts are of sensitive labels. `delay` is infinite when no page came."""

    false_pages: int
    delay: float
    verdict: str
    settled: str
    """Verdict once the incident had taken more labels."""
    onset_error: float
    """Labels between the onset and its estimate; negative when the estimate is early."""
    covered: bool
    """Whether the onset interval holds it."""


def detect(
    config: SimulationConfig, baselines: dict[str, Baseline], detection: DetectionConfig = DETECTION
) -> Detection:
    """Feed until some time after the first page that follows the onset."""
    began = onset_time(config)
    if began is None:
        raise ValueError("detect: a run with an onset is needed")
    onset = moment(began.timestamp())  # reports are in milliseconds, so everything here is
    engine, outcome, seen = Engine(detection, baselines), Outcome(), []
    labels, page, left = simulate_labels(config), None, math.inf
    while left > 0 and (block := list(islice(labels, _BLOCK))):
        seen += [moment(label.timestamp.timestamp()) for label in block if is_sensitive(label)]
        outcome.add(engine.process(block))
        left -= len(block)
        page = page or next((one for one in outcome.pages if one.detected_at >= onset), None)
        left = min(left, _AFTER_PAGE) if page else left
    early = sum(one.detected_at < onset for one in outcome.pages)
    if page is None:
        return Detection(early, math.inf, "none", "none", math.nan, covered=False)
    after = [moment for moment in seen if moment >= onset]
    delay = sum(moment <= page.detected_at for moment in after)
    last = outcome.last[page.id]
    estimate = page.onset.estimate if page.onset else page.detected_at
    error = sum(onset <= moment < estimate for moment in seen) - sum(estimate <= moment < onset for moment in seen)
    covered = page.onset is not None and page.onset.low <= onset <= page.onset.high
    return Detection(early, delay, page.verdict, last.verdict, error, covered=covered)


def is_sensitive(label: Label) -> bool:
    return label.request is not None and label.request.category != "none"
