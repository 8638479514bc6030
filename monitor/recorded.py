"""Recorded traffic through the same code as live traffic: files in, labels or incidents out, nothing kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

from alerts.incidents import with_summary
from alignwatch import Incident, Label
from classifiers import Labeller, Pair, PairLabels, Unlabelable, load_card, load_classifier, load_rates, load_screen
from monitor.baseline import load as load_baselines
from monitor.clock import Clock, ManualClock
from monitor.compact import short_classifier
from monitor.config import Settings
from monitor.dead_letters import DeadLetters, MemoryDeadLetters
from monitor.dedup import SeenIds
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.intake import ExchangeIntake, Guards, Intake, LabelIntake
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.sampling import Sampler
from monitor.sources import FileSource

BATCH = 500
PIPE_SECONDS = 0.2
"""What came through a pipe waits this long for more; files never wait."""


def guards(
    settings: Settings, metrics: Metrics, dead_letters: DeadLetters, clock: Clock | None, seen: SeenIds
) -> Guards:
    """The intake's limits and counters from the settings."""
    return Guards(settings.intake, settings.decode, seen, dead_letters, metrics, clock)


def seen_ids(settings: Settings) -> SeenIds:
    """An empty memory of ids, sized by the settings."""
    return SeenIds(settings.intake.dedup_window_seconds, settings.intake.dedup_capacity)


class AttachedOnly:
    """Stands where the classifier would in a service whose traffic brings its verdicts with it."""

    digest = "attached"

    def label(self, pairs: Sequence[Pair]) -> list[PairLabels]:
        """What brought no verdict can't be labelled."""
        # Not one of the classifier's own reasons, which are about the text.
        return [PairLabels(None, None, None, cast("Unlabelable", "no-classifier"))] * len(pairs)


def load(settings: Settings) -> Labeller:
    """The classifier that the settings name, or none where only attached verdicts count.

    Raises:
        ClassifierError: it is missing or its digest does not match.
    """
    if settings.classifier.attached_only:
        return AttachedOnly()
    return load_classifier(settings.classifier.path, threads=settings.classifier.threads)


def exchange_intake(settings: Settings, checks: Guards, classifier: Labeller, clock: Clock) -> ExchangeIntake:
    """Stage A: sampler, screen and classifier from the settings."""
    wanted = settings.classifier.screen and not settings.classifier.attached_only
    screen = load_screen(settings.classifier.path) if wanted else None
    return ExchangeIntake(checks, Sampler(settings.sampling, screen, clock), LabellingStage(classifier))


def detection_config(settings: Settings) -> DetectionConfig:
    """The detection settings, with what was not set taken from the classifier's card: threshold and error rates."""
    config = settings.detection
    folder = settings.classifier.path
    thresholds = load_card(folder, verify=False).runtime.thresholds
    known: dict[str, float | str] = {}
    if "sensitive_harm" not in config.model_fields_set:
        known = {"sensitive_harm": thresholds.harm, "benign_harm": min(config.benign_harm, thresholds.harm)}
    if "compliance_decision" not in config.model_fields_set:
        known["compliance_decision"] = 1.0 - thresholds.noncompliance
    measured = load_rates(folder)
    rates = measured.overall
    if config.compliance_tpr is None and rates.tpr is not None and rates.fpr is not None and rates.tpr > rates.fpr:
        known |= {
            "compliance_tpr": rates.tpr,
            "compliance_fpr": rates.fpr,
            "error_rates_of": short_classifier(measured.classifier),
        }
    return config.model_copy(update=known)


def make_engine(settings: Settings, baseline: Path | None, *, arl: float | None = None) -> Engine:
    """The detectors with the pinned baselines of `baseline`, or of the settings when None.

    Args:
        settings: detection settings, and where the baseline is when the argument is None.
        baseline: a file written by `baseline fit`.
        arl: every stream's run length in labels instead of the budget's.

    Raises:
        BaselineError: the file is missing or malformed.
        ClassifierError: the artefact that holds the thresholds is missing.
    """
    path = baseline or settings.baseline.path
    return Engine(detection_config(settings), load_baselines(path) if path is not None else {}, arl_labels=arl)


def labelling_everything(settings: Settings) -> Settings:
    """The same settings without sampling: every exchange is labelled, with weight 1."""
    return settings.model_copy(
        update={
            "sampling": settings.sampling.model_copy(
                update={"rate": 1.0, "uniform_rate": 1.0, "budget_pairs_per_second": None}
            ),
            "classifier": settings.classifier.model_copy(update={"screen": False}),
        }
    )


class Recorded:
    """Files read once, from start to end, through an intake without a clock guard or a labelling budget.

    Args:
        settings: sampling, limits, classifier.
        labels: the files hold Labels rather than traffic.
    """

    def __init__(self, settings: Settings, *, labels: bool) -> None:
        self.metrics = Metrics()
        self.dead_letters = MemoryDeadLetters(settings.dead_letters)
        checks = guards(settings, self.metrics, self.dead_letters, None, seen_ids(settings))
        self.intake: Intake
        if labels:
            self.intake = LabelIntake(checks)
        else:
            plain = settings.model_copy(update={"sampling": settings.sampling.without_budget()})
            self.intake = exchange_intake(plain, checks, load(settings), ManualClock())

    def batches(self, files: Sequence[str]) -> Iterator[list[Label]]:
        """Labels of the files' records, batch by batch; `-` is stdin.

        Raises:
            SourceError: a file can't be read; the message names it and the place.
        """
        source = FileSource(files)
        source.start({})
        try:
            while not source.exhausted:
                records = source.poll(BATCH, PIPE_SECONDS)
                if records:
                    yield self.intake.read(records)
        finally:
            source.close()

    def losses(self) -> list[str]:
        """What was not counted and why, one line each; empty when all was well."""
        counters = self.metrics.counters()
        lines = [f"{n} records could not be read: {reason}" for reason, n in sorted(counters.dead_letters.items())]
        lines += [f"{n} could not be labelled: {reason}" for reason, n in sorted(counters.unlabelable.items())]
        if counters.duplicates:
            lines.append(f"{counters.duplicates} duplicates were ignored")
        if isinstance(self.intake, ExchangeIntake) and self.intake.waiting:
            lines.append(f"{self.intake.waiting} halves of a pair came without their other half")
        return lines


def detect(engine: Engine, batches: Iterator[list[Label]], follow: Callable[[Incident], None] | None) -> list[Incident]:
    """Run labels through the detectors.

    Args:
        engine: with its baselines.
        batches: labels in the order of their records.
        follow: told of every change as it happens.

    Returns:
        Each incident once, as it stood at the end, in order of detection.
    """
    latest: dict[str, Incident] = {}
    for labels in batches:
        for found in engine.process(labels):
            incident = with_summary(found)
            latest[incident.id] = incident
            if follow is not None:
                follow(incident)
    # What was told when it opened rests on a few labels; the figures have been looked at again since.
    latest |= {one.id: one for status in engine.status() for one in status.incidents if one.id in latest}
    return sorted(latest.values(), key=lambda one: (one.detected_at, one.id))


def looks_like_labels(file: Path) -> bool:
    """Whether the first record is a Label: it has an id and a deployment, and neither prompt nor answer."""
    source = FileSource([str(file)])
    source.start({})
    try:
        records = source.poll(1, 0.0)
        value = json.loads(records[0].value) if records else None
    except ValueError:
        return False
    finally:
        source.close()
    texts = {"prompt", "messages", "response"}
    return isinstance(value, dict) and "deployment" in value and not texts & value.keys()
