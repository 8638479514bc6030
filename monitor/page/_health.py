"""The foot of the page: whether the monitor itself is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alignwatch import Severity
from monitor.service_status import ServiceStatus
from monitor.words import age, moment, once_in, plural, short_digest

LAG: Final = 10_000
OUTBOX_SECONDS: Final = 120.0
COMMIT_SECONDS: Final = 300.0
DEAD_SHARE: Final = 0.01
UNLABELABLE_SHARE: Final = 0.1
FRESH_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Line:
    """One thing about the monitor; `look` where a person should."""

    name: str
    text: str
    look: bool = False


@dataclass(frozen=True)
class Health:
    """All of it, and what is said below."""

    lines: list[Line]
    chip: str
    level: Severity | None
    fine: list[str]


def health(status: ServiceStatus) -> Health:
    """How the monitor is doing."""
    lines = [*_intake(status), *_keeping(status)]
    looks = sum(line.look for line in lines)
    chip = plural(looks, "thing to look at", "things to look at") if looks else "well"
    return Health(lines, chip, "warning" if looks else None, list(filter(None, (_budget(status), _times(status)))))


def _intake(status: ServiceStatus) -> list[Line]:
    source, pipeline = status.source, status.pipeline
    dead, unread = sum(pipeline.dead_letters.values()), sum(pipeline.unlabelable.values())
    ready = ("held back" if source.paused else "reading") if source.ready else "not ready"
    speed = status.classifier.labels_per_second
    labelled = f"{pipeline.received:,}, {pipeline.labelled:,}" + (f", {round(speed):,} labels/s" if speed else "")
    odd = f"{pipeline.duplicates:,}, {pipeline.late:,}, {pipeline.quarantined:,}"
    return [
        Line("Source", f"{source.kind}, {ready}", not source.ready or source.paused),
        Line(
            "Waiting to be read",
            "unknown" if source.lag is None else plural(source.lag, "record"),
            (source.lag or 0) > LAG,
        ),
        Line("Read, labelled", labelled),
        Line("Dead letters", _reasons(pipeline.dead_letters), dead > DEAD_SHARE * pipeline.received),
        Line(
            "Could not be labelled",
            _reasons(pipeline.unlabelable),
            unread > UNLABELABLE_SHARE * max(1, pipeline.labelled),
        ),
        Line("Duplicate, late, quarantined", odd, pipeline.quarantined > DEAD_SHARE * pipeline.received),
    ]


def _keeping(status: ServiceStatus) -> list[Line]:
    outbox, committed = status.outbox, _ago(status.state.last_commit_at, status)
    waiting = f"{outbox.depth:,}, oldest {age(outbox.oldest_seconds)}" if outbox.depth else "none"
    late = committed is not None and committed > COMMIT_SECONDS
    return [
        Line("State committed", _committed(committed), late),
        Line("Alerts to deliver", waiting, outbox.oldest_seconds > OUTBOX_SECONDS),
        Line("Classifier", short_digest(status.classifier.digest)),
    ]


def _committed(seconds: float | None) -> str:
    if seconds is None:
        return "not yet"
    # Not to the second: a figure that changes at every look says nothing.
    return "just now" if seconds < FRESH_SECONDS else f"{age(seconds // FRESH_SECONDS * FRESH_SECONDS)} ago"


def _ago(at: datetime | None, status: ServiceStatus) -> float | None:
    return (status.now - at).total_seconds() / status.clock_speed if at is not None else None


def _reasons(by: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in sorted(by.items(), key=lambda one: -one[1])) or "none"


def _budget(status: ServiceStatus) -> str:
    fleet = status.false_pages_per_90_days
    every = once_in(sum(one.false_pages_per_90_days for one in status.deployments) if fleet is None else fleet)
    text = f"False-alarm budget: all deployments together may page without cause once in {every}."
    return text if every else ""


def _times(status: ServiceStatus) -> str:
    demo = "" if status.clock_speed == 1.0 else f"Demo clock: a real second is {age(status.clock_speed)}. "
    return f"Times are UTC. {demo}Running since {moment(status.started_at)}, alignwatch {status.version}."
