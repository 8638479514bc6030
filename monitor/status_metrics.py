"""Gauges read off the service status when Prometheus scrapes, and the bound on names that traffic chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alignwatch import Incident
from monitor.service_status import ServiceStatus
from monitor.status import DeploymentStatus, State, StreamStatus

OTHER: Final = "other"
_STATES: Final[tuple[str, ...]] = get_args(State)


class BoundedNames:
    """Lets a bounded number of names through as they are and calls all others `other`.

    With a list the names on it pass; without one the first `maximum` distinct names do. Names seen once are kept, so
    that a series never changes its label.

    >>> bounded = BoundedNames((), 2)
    >>> [bounded(name) for name in ("a", "b", "c", "a")]
    ['a', 'b', 'other', 'a']
    """

    def __init__(self, allowed: Iterable[str], maximum: int) -> None:
        if maximum < 1:
            raise ValueError(f"maximum={maximum}; it must be at least 1")
        self._names = set(allowed)
        self._open_places = 0 if self._names else maximum
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        """`name`, or `other`."""
        if name in self._names:
            return name
        with self._lock:
            if self._open_places > 0 and name not in self._names:
                self._names.add(name)
                self._open_places -= 1
            return name if name in self._names else OTHER


class StatusCollector(Collector):
    """Turns the service status of the moment into gauges; yields nothing until it is given a status to read."""

    def __init__(self, deployments: BoundedNames) -> None:
        self.status: Callable[[], ServiceStatus] | None = None
        self._deployments = deployments

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask a service that is still starting for its status."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment."""
        if self.status is None:
            return
        status = self.status()
        yield _gauge(
            "build_info",
            "1; the labels say which program and which classifier run.",
            ("version", "classifier"),
            [((status.version, status.classifier.digest or ""), 1.0)],
        )
        yield from _service(status)
        # `other` would hold one of several deployments at a time: a gauge of it says nothing.
        named = [d for d in status.deployments if self._deployments(d.name) == d.name]
        yield from _deployments(named)
        yield from _streams(named)


Row = tuple[tuple[str, ...], float]


def _gauge(name: str, help_text: str, labels: tuple[str, ...], rows: Iterable[Row]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"alignwatch_{name}", help_text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _plain(name: str, help_text: str, number: float | None) -> GaugeMetricFamily:
    return _gauge(name, help_text, (), [] if number is None else [((), float(number))])


def _service(status: ServiceStatus) -> Iterator[Metric]:
    source, committed = status.source, status.state.last_commit_at
    yield _plain("source_ready", "1 when the source can be polled.", source.ready)
    yield _plain("source_paused", "1 while the source is held back.", source.paused)
    yield _plain("source_lag_records", "Records that wait to be read.", source.lag)
    yield _gauge(
        "source_partition_lag_records",
        "Records that wait to be read, by partition of ours.",
        ("topic", "partition"),
        [((one.topic, str(one.partition)), float(one.lag)) for one in source.partitions],
    )
    rebalances = CounterMetricFamily("alignwatch_source_rebalances", "Times that partitions came or went.")
    rebalances.add_metric((), source.rebalances)
    yield rebalances
    yield _plain("labelling_share_ratio", "Share of the sample that budget and backlog leave.", status.classifier.share)
    yield _plain("state_bytes", "Size of the state, before compression.", status.state.bytes)
    yield _plain("outbox_depth", "Alerts that are not delivered yet.", status.outbox.depth)
    yield _plain("outbox_oldest_seconds", "Age of the oldest undelivered alert.", status.outbox.oldest_seconds)
    yield _plain(
        "state_last_commit_timestamp_seconds",
        "When the state was last committed.",
        committed.timestamp() if committed else None,
    )


def _deployments(deployments: list[DeploymentStatus]) -> Iterator[Metric]:
    yield _gauge(
        "deployment_state",
        "1 for the state that the deployment is in.",
        ("deployment", "state"),
        [((d.name, state), float(d.state == state)) for d in deployments for state in _STATES],
    )
    yield _gauge(
        "incidents_open",
        "Incidents that have not recovered.",
        ("deployment",),
        [((d.name,), float(sum(i.status == "open" for i in d.incidents))) for d in deployments],
    )
    yield _gauge(
        "last_event_timestamp_seconds",
        "Event time of the newest label.",
        ("deployment",),
        [((d.name,), d.last_event.timestamp()) for d in deployments if d.last_event is not None],
    )
    yield from _incident_times(deployments)
    capped = CounterMetricFamily(
        "alignwatch_labels_capped",
        "Labels counted but kept out of the detectors, by reason.",
        labels=("deployment", "reason"),
    )
    for deployment in deployments:
        for reason, n in sorted(deployment.capped.items()):
            capped.add_metric((deployment.name, reason), n)
    yield capped


def _incident_times(deployments: list[DeploymentStatus]) -> Iterator[Metric]:
    """When the newest incident of each verdict began and was found, and the change before it: marks for dashboards."""
    newest: dict[tuple[str, str], Incident] = {}
    for deployment in deployments:
        for incident in deployment.incidents:
            newest.setdefault((deployment.name, incident.verdict), incident)
    yield _gauge(
        "incident_detected_timestamp_seconds",
        "When the newest incident was detected, in event time.",
        ("deployment", "verdict"),
        [(key, one.detected_at.timestamp()) for key, one in newest.items()],
    )
    yield _gauge(
        "incident_onset_timestamp_seconds",
        "When the newest incident began, by the estimate, in event time.",
        ("deployment", "verdict"),
        [(key, one.onset.estimate.timestamp()) for key, one in newest.items() if one.onset is not None],
    )
    yield _gauge(
        "incident_change_timestamp_seconds",
        "The change event nearest before the newest incident's onset.",
        ("deployment", "verdict"),
        [(key, one.nearest_change.timestamp.timestamp()) for key, one in newest.items() if one.nearest_change],
    )


def _streams(deployments: list[DeploymentStatus]) -> Iterator[Metric]:
    both = [(d.name, s) for d in deployments for s in d.streams]
    by = ("deployment", "stream", "direction")

    def rows(number: Callable[[StreamStatus], float | None]) -> list[Row]:
        numbered = (((name, s.name, s.direction), number(s)) for name, s in both)
        return [(labels, float(value)) for labels, value in numbered if value is not None]

    yield _gauge(
        "evidence_log10", "Evidence of a change, as log10 of the e-value.", by, rows(lambda s: s.evidence_log10)
    )
    yield _gauge(
        "evidence_threshold_log10", "Evidence at which the stream alarms.", by, rows(lambda s: s.threshold_log10)
    )
    yield _gauge("stream_effective_labels", "Outcomes the detector has taken.", by, rows(lambda s: s.labels))
    # A rate has no direction: the up and the down detector of a stream carry the same one.
    for metric, help_text, number in (
        ("baseline_ratio", "Rate in the approved baseline.", lambda s: s.baseline),
        ("observed_ratio", "Rate over the recent panes.", lambda s: s.observed),
    ):
        unique = {labels[:2]: value for labels, value in rows(number)}
        yield _gauge(metric, help_text, ("deployment", "stream"), unique.items())
