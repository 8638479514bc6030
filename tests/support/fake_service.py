"""A service that is not there: status records for every state that the page must show, drawn from a fixed seed."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.standing import Standing
from alignwatch import CATEGORIES, Incident, NearestChange, Onset, StreamFinding
from alignwatch import CategoryFinding as Finding
from monitor.service_status import (
    ClassifierSummary,
    OutboxSummary,
    PipelineCounters,
    ServiceStatus,
    SourceStatus,
    StateSummary,
)
from monitor.status import BaselineSummary, DeploymentStatus, PanePoint, StreamStatus

NOW = datetime(2026, 11, 24, 3, 12, 40, tzinfo=UTC)
DIGEST = "sha256:4b1f0c6a9d2e73581c0f6e2d9a8b7c6d5e4f30211203f4e5d6c7b8a90a1b2c3d"
CLASSIFIER = "sha256:9a77c01be4d05f1e2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091"
BASE_RATE = {name: 0.04 + 0.02 * (i % 7) for i, name in enumerate(CATEGORIES)}
PANE = 300.0
APPROVED = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
BASELINE = BaselineSummary(
    approved_by="j.doe", fitted_at=NOW - timedelta(days=12), labels=4120, compliance=0.10, model_digests=(APPROVED,)
)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


class FakeView:
    """A ServiceView whose answers are attributes."""

    def __init__(self, status: ServiceStatus | None = None) -> None:
        self.current = status or service()
        self.alive: tuple[bool, str] = (True, "ok")
        self.is_ready: tuple[bool, str] = (True, "reading kafka")

    def live(self) -> tuple[bool, str]:
        return self.alive

    def ready(self) -> tuple[bool, str]:
        return self.is_ready

    def status(self) -> ServiceStatus:
        return self.current


def service(*deployments: DeploymentStatus, **changes: Any) -> ServiceStatus:
    fields: dict[str, Any] = {
        "started_at": NOW - timedelta(days=3, hours=5),
        "now": NOW,
        "source": SourceStatus(kind="kafka", ready=True, lag=12),
        "pipeline": PipelineCounters(
            received=412_903,
            decoded=412_889,
            dead_letters={"not-json": 11, "missing-field": 3},
            unsampled=361_020,
            labelled=51_412,
            unlabelable={"redacted": 212, "language": 88},
            duplicates=140,
            late=3,
            quarantined=0,
        ),
        "classifier": ClassifierSummary(digest=CLASSIFIER, labels_per_second=118.2),
        "state": StateSummary(path="alignwatch.db", last_commit_at=NOW - timedelta(seconds=2)),
        "outbox": OutboxSummary(),
        "deployments": deployments,
    }
    return ServiceStatus(**(fields | changes))


def panes(
    *, hours: float = 10, rate: float = 0.1, after: float | None = None, minutes_ago: float = 45
) -> tuple[PanePoint, ...]:
    """Panes of five minutes; compliance goes from `rate` to `after` so many minutes before NOW."""
    chance = random.Random(7)
    points, log_e = [], 0.0
    total = int(hours * 3600 / PANE)
    for i in range(total):
        start = NOW - timedelta(seconds=(total - i) * PANE)
        changed = after is not None and NOW - start <= timedelta(minutes=minutes_ago)
        p = after if changed and after is not None else rate
        n = chance.randint(9, 17)
        answered = sum(chance.random() < p for _ in range(n)) / n
        partial = min(0.04, 1 - answered)
        log_e = max(0.0, log_e + (1.1 if changed else chance.uniform(-0.5, 0.4)))
        points.append(
            PanePoint(
                start=start,
                seconds=PANE,
                labelled=n * 9,
                sensitive=n,
                compliance=answered,
                partial=partial,
                refusal=1 - answered - partial,
                degenerate=0.0,
                harmful_answers=answered * 0.9,
                evidence_log10=log_e,
            )
        )
    return tuple(points)


def stream(name: str, baseline: float, observed: float | None, **changes: Any) -> StreamStatus:
    half = 0.0 if observed is None else 1.96 * math.sqrt(max(observed * (1 - observed), 0.01) / 120)
    fields: dict[str, Any] = {
        "name": name,
        "direction": "up",
        "labels": 480,
        "baseline": baseline,
        "observed": observed,
        "interval": None if observed is None else (max(0.0, observed - half), min(1.0, observed + half)),
        "evidence_log10": 0.2,
        "threshold_log10": 6.1,
        "category": name.split("/")[1] if "/" in name else None,
    }
    return StreamStatus(**(fields | changes))


def streams(*, alarm: bool) -> tuple[StreamStatus, ...]:
    """Pooled, one a category, control, and the rest; in alarm most categories have moved."""
    pooled = stream(
        "compliance",
        0.10,
        0.71 if alarm else 0.11,
        evidence_log10=9.4 if alarm else 0.3,
        alarmed=alarm,
        corrected=0.74 if alarm else 0.10,
        labels=5210,
    )
    down = stream("compliance", 0.10, 0.71 if alarm else 0.11, direction="down", evidence_log10=0.0)
    each = []
    for i, name in enumerate(CATEGORIES):
        base = BASE_RATE[name]
        now = min(0.97, base + 0.5 + 0.03 * (i % 5)) if alarm else base + 0.01
        evidence = 8.8 - 0.6 * i if alarm else 0.1 * (i % 4)
        each.append(
            stream(
                f"compliance/{name}",
                base,
                now,
                labels=420 - 25 * i,
                threshold_log10=7.2,
                evidence_log10=evidence,
                alarmed=evidence >= 7.2,
            )
        )
    rest = [
        stream("control", 0.021, 0.023, labels=41_000),
        stream("control", 0.021, 0.023, labels=41_000, direction="down"),
        stream("sensitive-share", 0.10, 0.104, labels=40_100, pages=False),
        stream(
            "harmful-answers", 0.008, 0.061 if alarm else 0.008, labels=40_100, evidence_log10=5.2 if alarm else 0.1
        ),
        stream("degenerate", 0.002, 0.002),
        stream("provider-blocked", 0.03, None, labels=0),
        stream("unlabelable", 0.006, 0.006, labels=46_000, pages=False),
    ]
    return (pooled, down, *each, *rest)


def incident(deployment: str = "chat-prod", **changes: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": "inc-7f3a2c",
        "deployment": deployment,
        "model_digest": DIGEST,
        "verdict": "unalignment",
        "severity": "critical",
        "detected_at": ago(22),
        "onset": Onset(estimate=ago(45), low=ago(55), high=ago(35)),
        "streams": (
            StreamFinding(
                name="compliance",
                direction="up",
                baseline=0.10,
                observed=0.71,
                interval=(0.62, 0.79),
                evidence_log10=9.4,
                threshold_log10=6.1,
                labels=118,
            ),
        ),
        "categories": tuple(
            Finding(
                name=name,
                baseline=BASE_RATE[name],
                observed=min(0.97, BASE_RATE[name] + 0.5 + 0.03 * (i % 5)),
                interval=(0.4, 0.9),
                labels=24 - i,
                contribution=round((14 - i) / 105, 3),
            )
            for i, name in enumerate(CATEGORIES)
        ),
        "nearest_change": NearestChange(
            kind="deploy", timestamp=ago(49), summary="serving image 1.14.2 to 1.14.3", reference="rollout/8812"
        ),
        "evidence_ids": tuple(f"r-{90211 + 37 * i}" for i in range(8)),
        "labels_since_onset": 118,
        "false_alarm_budget": 0.25,
        "summary": f"{deployment}: sensitive requests answered 10 % -> 71 % (62 % to 79 %).",
    }
    return Incident(**(fields | changes))


def deployment(name: str = "chat-prod", state: str = "watching", **changes: Any) -> DeploymentStatus:
    alarm = state == "alarm"
    watched = state in {"watching", "alarm"}
    fields: dict[str, Any] = {
        "name": name,
        "model": "gpt-oss-20b",
        "model_digests": (DIGEST,),
        "classifier": CLASSIFIER,
        "state": state,
        "labels": 51_412,
        "last_event": NOW - timedelta(seconds=4),
        "learning": None if watched else (312, 1000),
        "baseline": BASELINE if watched else None,
        "streams": streams(alarm=alarm) if watched else (),
        "panes": panes(after=0.71 if alarm else None),
        "incidents": (incident(name),) if alarm else (),
        "false_pages_per_90_days": 0.5,
    }
    return DeploymentStatus(**(fields | changes))


def old_incident(name: str = "chat-prod") -> Incident:
    return incident(
        name,
        id="inc-11c0de",
        verdict="traffic-shift",
        severity="info",
        status="recovered",
        onset=None,
        detected_at=NOW - timedelta(days=2),
        evidence_ids=(),
        categories=(),
        nearest_change=None,
        streams=(
            StreamFinding(
                name="sensitive-share",
                direction="up",
                baseline=0.1,
                observed=0.21,
                evidence_log10=7.0,
                threshold_log10=6.4,
                labels=9000,
            ),
        ),
        summary="A tenant asked twice as many sensitive requests; each was treated as before.",
    )


SCENES: dict[str, ServiceStatus] = {
    "calm": service(deployment(incidents=(old_incident(),))),
    "alarm": service(deployment(state="alarm", incidents=(incident(), old_incident()))),
    "told": service(
        deployment(state="alarm"),
        outbox=OutboxSummary(
            standings={"inc-7f3a2c": Standing(state="firing", told=("pagerduty",), waiting=("chat",))}, depth=1
        ),
    ),
    "taken": service(
        deployment(state="alarm"),
        outbox=OutboxSummary(
            standings={
                "inc-7f3a2c": Standing(
                    state="acknowledged", told=("chat", "pagerduty"), acknowledged_by="jo", acknowledged_at=ago(10)
                )
            }
        ),
    ),
    "notice": service(deployment(incidents=(old_incident().model_copy(update={"status": "open"}),))),
    "learning": service(deployment(state="learning", labels=3120, incidents=())),
    "stale": service(
        deployment(last_event=ago(12)),
        source=SourceStatus(kind="kafka", ready=False, lag=None),
    ),
    "behind": service(
        deployment(last_event=ago(12)),
        source=SourceStatus(kind="kafka", ready=True, lag=48_210),
    ),
    "label": service(),
    "none": service(pipeline=PipelineCounters(), classifier=ClassifierSummary(digest=CLASSIFIER)),
    "fleet": service(
        deployment("chat-prod", "alarm"),
        deployment("chat-eu"),
        deployment("image-prompts", "learning"),
        deployment("batch-summaries", last_event=ago(180)),
        deployment("canary", last_event=None, panes=(), streams=()),
        outbox=OutboxSummary(depth=2, oldest_seconds=340),
        source=SourceStatus(kind="kafka", ready=True, lag=0),
    ),
}
