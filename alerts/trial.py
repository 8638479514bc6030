"""Sends a test alert through a real sink and resolves it: what `alignwatch alert test` runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from alerts.config import AlertsConfig
from alerts.episodes import dedup_key
from alerts.errors import AlertConfigError
from alerts.message import Action, Message
from alerts.sinks import Delivered, Sink, open_sink
from alignwatch import Incident, Record, Severity

DEPLOYMENT: Final = "alignwatch-test"


class TrialResult(Record):
    """What came of a test alert at one sink."""

    sink: str
    kind: str
    ok: bool
    """Both the trigger and its resolve were accepted."""
    detail: str
    """`delivered and resolved`, or what went wrong and with which of the two."""
    dedup_key: str
    seconds: float


def send_test(
    config: AlertsConfig,
    sink_name: str | None = None,
    *,
    severity: Severity = "info",
    now: Callable[[], float] = time.time,
) -> list[TrialResult]:
    """Send a test alert to one sink, or to each, and resolve it at once.

    Everything a person sees says that it is a test. It bypasses the outbox and the sinks' `min_severity`. Severity
    `info` shows that the route works without waking anyone where urgency follows severity; pass `critical` for a drill.

    Raises:
        AlertConfigError: there is no sink of that name. A sink that can't be built is a result that is not ok.
    """
    chosen = [sink for sink in config.sinks if sink_name in {None, sink.name}]
    if not chosen:
        known = ", ".join(sink.name for sink in config.sinks) or "none is configured"
        raise AlertConfigError(f"alerts: no sink named {sink_name!r}; allowed: {known}")
    incident = _incident(severity, now())
    results = []
    for settings in chosen:
        start = time.perf_counter()
        try:
            detail = _try(open_sink(settings, config), incident)
        except AlertConfigError as error:
            detail = str(error)
        ok = not detail
        results.append(
            TrialResult(
                sink=settings.name,
                kind=settings.kind,
                ok=ok,
                detail=detail or "delivered and resolved",
                dedup_key=dedup_key(incident),
                seconds=round(time.perf_counter() - start, 3),
            )
        )
    return results


def _try(sink: Sink, incident: Incident) -> str:
    """What went wrong; empty when nothing did."""
    try:
        actions: tuple[Action, ...] = ("trigger", "resolve")
        for action in actions:
            outcome = sink.deliver(_message(incident, action))
            if not isinstance(outcome, Delivered):
                return f"{action}: {outcome.reason}"
    finally:
        sink.close()
    return ""


def _incident(severity: Severity, now: float) -> Incident:
    # A key of its own for each test, or a second test would join the alert of a first one that was never resolved.
    return Incident(
        id=f"test-{secrets.token_hex(6)}",
        deployment=DEPLOYMENT,
        verdict="data-quality",
        severity=severity,
        detected_at=datetime.fromtimestamp(now, tz=UTC),
    )


def _message(incident: Incident, action: Action) -> Message:
    resolving = action == "resolve"
    return Message(
        action=action,
        cause="resolved" if resolving else "opened",
        dedup_key=dedup_key(incident),
        level=incident.severity,
        opened_as=incident.verdict,
        incident=incident.model_copy(update={"status": "resolved"}) if resolving else incident,
        test=True,
    )
