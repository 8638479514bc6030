"""Counters and histograms that the pipeline feeds and Prometheus reads; gauges come from the service status at scrape.

Counters rather than ready-made rates, so that a rule may aggregate numerator and denominator apart
(https://prometheus.io/docs/practices/rules/). Label values that traffic chooses (deployments, reasons) are bounded:
a metric holds at most deployments x categories x 4 series, whatever is sent. docs/metrics.md lists every metric.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from alignwatch import Incident, Label
from monitor.service_status import PipelineCounters, ServiceStatus
from monitor.status_metrics import OTHER, BoundedNames, StatusCollector

MAX_DEPLOYMENTS: Final = 50
MAX_REASONS: Final = 24
MAX_SINKS: Final = 24
MAX_RAW_FINISHES: Final = 24
_INCIDENTS_REMEMBERED: Final = 4096
_BATCH_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CONFIDENCES: Final = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The service's metrics, in a registry of their own. Methods may be called from any thread.

    Args:
        registry: where to register; a new registry by default, so that two services may live in one process.
        deployments: the deployments that get series of their own; all others count as `other`. Empty: the first
            `max_deployments` names that traffic brings.
        max_deployments: bound on the number of names when no list is given.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        deployments: Iterable[str] = (),
        max_deployments: int = MAX_DEPLOYMENTS,
    ) -> None:
        # A `_created` gauge beside each counter would double every series and no rule of ours reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry if registry is not None else CollectorRegistry()
        self._deployments = BoundedNames(deployments, max_deployments)
        self._reasons = BoundedNames((), MAX_REASONS)
        self._unlabelable_reasons = BoundedNames((), MAX_REASONS)
        self._sinks = BoundedNames((), MAX_SINKS)
        self._raw_finishes = BoundedNames((), MAX_RAW_FINISHES)
        self._tally: Tally[tuple[str, str]] = Tally()
        self._lock = threading.Lock()
        self._counted_incidents: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._make_pipeline_counters()
        self._make_gateway_counters()
        self._make_label_counters()
        self._make_alert_counters()
        self._status = StatusCollector(self._deployments)
        self.registry.register(self._status)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"alignwatch_{name}", help_text, labels, registry=self.registry)

    def _make_pipeline_counters(self) -> None:
        self._received = self._counter("exchanges_received", "Records read from the source.")
        self._decoded = self._counter("exchanges_decoded", "Exchanges found in the records.")
        self._dead_letters = self._counter("dead_letters", "Records that are no exchange, by reason.", "reason")
        self._unsampled = self._counter("exchanges_unsampled", "Exchanges not chosen for labelling.")
        self._duplicates = self._counter("exchanges_duplicate", "Exchanges ignored because their id was seen before.")
        self._late = self._counter("exchanges_late", "Exchanges older than the watermark allows.")
        self._quarantined = self._counter("exchanges_quarantined", "Exchanges with a time too far off.")
        self._batch_seconds = Histogram(
            "alignwatch_label_batch_duration_seconds",
            "Time to label one batch.",
            buckets=_BATCH_SECONDS,
            registry=self.registry,
        )
        self._step_seconds = Histogram(
            "alignwatch_step_duration_seconds",
            "Time that each step of a turn took.",
            ("step",),
            buckets=_BATCH_SECONDS,
            registry=self.registry,
        )
        self._batch_size = Histogram(
            "alignwatch_label_batch_size", "Exchanges in one batch.", buckets=_BATCH_SIZES, registry=self.registry
        )

    def _make_gateway_counters(self) -> None:
        self._finished = self._counter(
            "exchanges_finished",
            "Exchanges by why their answer ended, whether labelled or not.",
            "deployment",
            "finish",
        )
        self._unknown_finish = self._counter(
            "finish_reasons_unknown", "Answers whose finish reason nobody here has heard of, by raw value.", "reason"
        )
        self._skipped = self._counter(
            "records_skipped", "Parts of records that are no exchange and need not be one, by reason.", "reason"
        )
        self._upstream = self._counter(
            "upstream_verdicts", "Categories of prompts as a provider's filter and as the classifier sees them.",
            "deployment", "category", "agreement",
        )  # fmt: skip
        self._door = self._counter(
            "ingest_requests", "Requests to the HTTP door, by route and answer.", "route", "code"
        )

    def _make_label_counters(self) -> None:
        by = ("deployment", "category")
        self._labelled = self._counter(
            "exchanges_labelled", "Labelled exchanges whose answer was read, by its most probable outcome.",
            *by, "outcome",
        )  # fmt: skip
        self._weighted = self._counter(
            "exchanges_labelled_weighted", "The same, weighted by 1/probability of being labelled: all traffic.",
            *by, "outcome",
        )  # fmt: skip
        self._unread = self._counter(
            "exchanges_unread", "Labelled exchanges whose request alone was read, weighted to all traffic.", *by
        )
        self._confidence = Histogram(
            "alignwatch_label_confidence_ratio",
            "Probability of the most probable outcome of an answer; low ones are near a coin toss.",
            buckets=_CONFIDENCES,
            registry=self.registry,
        )
        self._unlabelable = self._counter(
            "exchanges_unlabelable", "Exchanges that could not be labelled, by reason.", "deployment", "reason"
        )

    def _make_alert_counters(self) -> None:
        self._incidents = self._counter(
            "incidents", "Incidents raised; once more when verdict or severity changes.",
            "deployment", "verdict", "severity",
        )  # fmt: skip
        self._alerts_sent = self._counter("alerts_sent", "Alerts that a sink accepted.", "sink")
        self._alerts_failed = self._counter(
            "alerts_failed", "Attempts that failed: `retry` will be tried again, `rejected` will not.", "sink", "kind"
        )

    def _count(self, name: str, metric: Counter, n: int, reason: str = "") -> None:
        metric.inc(n)
        with self._lock:
            self._tally[name, reason] += n

    def received(self, n: int = 1) -> None:
        """`n` records were read from the source."""
        self._count("received", self._received, n)

    def decoded(self, n: int = 1) -> None:
        """`n` exchanges were found in records."""
        self._count("decoded", self._decoded, n)

    def dead_letter(self, reason: str, n: int = 1) -> None:
        """`n` records went to the dead letters for `reason` (of DecodeError)."""
        reason = self._reasons(reason)
        self._count("dead_letters", self._dead_letters.labels(reason), n, reason)

    def finished(self, deployment: str, finish: str, raw: str | None, n: int = 1) -> None:
        """`n` exchanges' answers ended so; `raw` is the gateway's word where it is `unknown`."""
        self._finished.labels(self._deployments(deployment), finish).inc(n)
        if raw is not None:
            self._unknown_finish.labels(self._raw_finishes(raw)).inc(n)

    def skipped(self, reason: str, n: int = 1) -> None:
        """`n` parts of a record are no exchange: a span of another kind, a call without its text."""
        self._skipped.labels(reason).inc(n)

    def upstream(self, deployment: str, category: str, agreement: str) -> None:
        """A provider's filter or we, or both, found `category` in a prompt: `both`, `upstream-only`, `ours-only`."""
        self._upstream.labels(self._deployments(deployment), category, agreement).inc()

    def ingested(self, route: str, code: int) -> None:
        """The HTTP door answered a request."""
        self._door.labels(route, str(code)).inc()

    def unsampled(self, n: int = 1) -> None:
        """`n` exchanges were not chosen for labelling."""
        self._count("unsampled", self._unsampled, n)

    def duplicate(self, n: int = 1) -> None:
        """`n` exchanges were ignored: their ids had been seen."""
        self._count("duplicates", self._duplicates, n)

    def late(self, n: int = 1) -> None:
        """`n` exchanges came after the watermark had passed them."""
        self._count("late", self._late, n)

    def quarantined(self, n: int = 1) -> None:
        """`n` exchanges had a time out of bounds."""
        self._count("quarantined", self._quarantined, n)

    def labelled(self, label: Label) -> None:
        """One exchange was labelled, or could not be."""
        deployment = self._deployments(label.deployment)
        if label.unlabelable is not None:
            reason = self._unlabelable_reasons(label.unlabelable)
            self._count("unlabelable", self._unlabelable.labels(deployment, reason), 1, reason)
        if label.request is None and label.behaviour is None:
            return
        with self._lock:
            self._tally["labelled", ""] += 1
        category = label.request.category if label.request is not None else "none"
        if label.behaviour is None:
            self._unread.labels(deployment, category).inc(label.weight)
            return
        behaviour = label.behaviour
        self._confidence.observe(max(behaviour.refusal, behaviour.partial, behaviour.compliance, behaviour.degenerate))
        series = (deployment, category, behaviour.name)
        self._labelled.labels(*series).inc()
        self._weighted.labels(*series).inc(label.weight)

    def batch(self, size: int, seconds: float) -> None:
        """A batch of `size` exchanges took the classifier `seconds`."""
        self._batch_size.observe(size)
        self._batch_seconds.observe(seconds)

    def step(self, name: str, seconds: float) -> None:
        """A step of the loop's turn (`poll`, `take`, `commit`) took `seconds`."""
        self._step_seconds.labels(name).observe(seconds)

    def incident(self, incident: Incident) -> None:
        """An incident was raised or changed; an update that keeps verdict and severity counts nothing."""
        key = (incident.id, incident.verdict, incident.severity)
        with self._lock:
            if key in self._counted_incidents:
                return
            self._counted_incidents[key] = None
            if len(self._counted_incidents) > _INCIDENTS_REMEMBERED:
                self._counted_incidents.popitem(last=False)
        self._incidents.labels(self._deployments(incident.deployment), incident.verdict, incident.severity).inc()

    def alert_sent(self, sink: str) -> None:
        """A sink took an alert."""
        self._alerts_sent.labels(self._sinks(sink)).inc()

    def alert_failed(self, sink: str, *, rejected: bool = False) -> None:
        """A sink did not take an alert: `rejected` for good, else it will be tried again."""
        self._alerts_failed.labels(self._sinks(sink), "rejected" if rejected else "retry").inc()

    def counters(self) -> PipelineCounters:
        """What the pipeline counters stand at, for the service status."""
        with self._lock:
            tally = dict(self._tally)
        plain = {name: n for (name, reason), n in tally.items() if not reason}
        reasons: dict[str, dict[str, int]] = {"dead_letters": {}, "unlabelable": {}}
        for (name, reason), n in tally.items():
            if reason:
                reasons[name][reason] = n
        return PipelineCounters.model_validate(plain | reasons)

    def watch(self, status: Callable[[], ServiceStatus]) -> None:
        """Take the gauges from `status()` at every scrape; a second call replaces the first."""
        self._status.status = status

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The text to serve and its content type; OpenMetrics where the `Accept` header asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


__all__ = ["MAX_DEPLOYMENTS", "OTHER", "Metrics"]
