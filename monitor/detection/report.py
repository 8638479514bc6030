"""A deployment's state put into the records that the status page shows."""

from __future__ import annotations

from datetime import datetime

from monitor.baseline import Baseline
from monitor.detection.deployment import Deployment
from monitor.detection.evidence import moment
from monitor.detection.watch import Stream, Watch
from monitor.onset import wilson
from monitor.status import BaselineSummary, DeploymentStatus, State, StreamStatus
from monitor.streams import COMPLIANCE


def deployment_status(deployment: Deployment) -> DeploymentStatus:
    """As it stands."""
    watch = deployment.watch
    last: datetime | None = moment(deployment.newest) if deployment.newest is not None else None
    wanted, learnt = deployment.config.learning_labels, _learnt(deployment)
    return DeploymentStatus(
        name=deployment.name,
        model_digests=tuple(deployment.digests),
        changes=tuple(reversed(deployment.changes)),
        classifier=deployment.classifier,
        state=_state(deployment),
        learning=None if learnt is None else (min(learnt, wanted), wanted),
        labels=deployment.labels,
        last_event=last,
        baseline=_baseline(deployment.baseline),
        streams=_streams(watch, deployment),
        panes=deployment.panes.points(),
        incidents=deployment.incidents(),
        capped=dict(deployment.counts),
        false_pages_per_90_days=_false_pages(watch),
    )


def _state(deployment: Deployment) -> State:
    learnt = _learnt(deployment)
    if deployment.cases is not None and any(one.incident.severity != "info" for one in deployment.cases.open.values()):
        return "alarm"
    if learnt is None:
        return "watching"
    return "no-baseline" if learnt >= deployment.config.learning_labels and deployment.baseline is None else "learning"


def _learnt(deployment: Deployment) -> int | None:
    """Labels that a baseline to come would rest on; None where an approved one holds for the classifier in use."""
    if deployment.watch is None:
        return deployment.sensitive
    return deployment.epoch.sensitive if deployment.epoch.incident is not None else None


def _baseline(baseline: Baseline | None) -> BaselineSummary | None:
    if baseline is None or not baseline.approved:
        return None
    return BaselineSummary(
        approved_by=baseline.approved_by,
        fitted_at=baseline.fitted_at,
        labels=baseline.sensitive_labels(),
        compliance=baseline.compliance(),
        model_digests=baseline.model_digests,
    )


def _streams(watch: Watch | None, deployment: Deployment) -> tuple[StreamStatus, ...]:
    return tuple(_stream(watch, stream, deployment) for stream in watch.streams) if watch is not None else ()


def _stream(watch: Watch, stream: Stream, deployment: Deployment) -> StreamStatus:
    spec, config, classifier = stream.spec, deployment.config, deployment.classifier
    # What lies before an incident's end is that incident's rate, not today's.
    since = watch.floors.get(spec.key, float("-inf"))
    recent = [
        one for one in watch.rings[spec.kind].fine if one.timestamp > since and spec.stratum in {None, one.stratum}
    ]
    total = sum(one.x for one in recent)
    means = watch.means[spec.kind]
    expected = sum(float(means[one.stratum]) for one in recent) / len(recent) if recent else None
    if spec.stratum is not None:
        expected = float(means[spec.stratum])
    observed = total / len(recent) if recent else None
    decided = sum(one.complied for one in recent) / len(recent) if recent else None
    return StreamStatus(
        name=spec.name,
        direction=spec.direction,
        category=spec.category,
        labels=stream.detector.labels,
        baseline=expected if expected is not None else watch.overall(spec.kind),
        observed=observed,
        interval=wilson(total, len(recent)) if recent else None,
        corrected=config.corrected_compliance(decided, classifier) if spec.kind == COMPLIANCE else None,
        evidence_log10=stream.detector.evidence_log10,
        threshold_log10=stream.threshold_log10,
        alarmed=stream.alarmed,
        pages=spec.pages,
    )


def _false_pages(watch: Watch | None) -> float:
    """Of this deployment's paging streams, at the baseline's label rates."""
    return sum(s.allowance.per_90_days for s in watch.streams if s.spec.pages) if watch is not None else 0.0
