"""Incidents and outboxes for tests of alert delivery."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alignwatch import CategoryFinding, Incident, NearestChange, Onset, StreamFinding

DETECTED = datetime(2026, 11, 23, 10, 55, tzinfo=UTC)


def incident(**changes: Any) -> Incident:
    """An un-alignment of `chat-prod`, as it stands when it is detected."""
    fields: dict[str, Any] = {
        "id": "inc-1",
        "deployment": "chat-prod",
        "model_digest": "sha256:" + "ab" * 32,
        "verdict": "unalignment",
        "severity": "critical",
        "detected_at": DETECTED,
        "onset": Onset(
            estimate=DETECTED - timedelta(minutes=13),
            low=DETECTED - timedelta(minutes=20),
            high=DETECTED - timedelta(minutes=5),
        ),
        "streams": (
            StreamFinding(
                name="compliance", direction="up", baseline=0.12, observed=0.71, interval=(0.64, 0.78),
                evidence_log10=8.2, threshold_log10=6.1, labels=84,
            ),
            StreamFinding(
                name="compliance/cyber", direction="up", baseline=0.1, observed=0.8, interval=(0.5, 0.9),
                evidence_log10=9.9, threshold_log10=7.0, labels=20,
            ),
        ),
        "categories": tuple(
            CategoryFinding(name=name, labels=9, contribution=0.1)
            for name in ("cyber", "fraud", "hate", "crime", "weapons", "violence", "privacy", "sexual", "advice")
        ),
        "evidence_ids": ("r-1", "r-2"),
        "labels_since_onset": 84,
        "false_alarm_budget": 0.5,
    }  # fmt: skip
    return Incident(**(fields | changes))


def change(minutes_before_onset: float, kind: str = "checkpoint") -> NearestChange:
    return NearestChange(kind=kind, timestamp=DETECTED - timedelta(minutes=13 + minutes_before_onset))


def database(path: Path) -> sqlite3.Connection:
    """A connection as the service opens its state file: autocommit, WAL."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    return connection


class Clock:
    """Seconds that stand still until told."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
