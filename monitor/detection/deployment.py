"""One deployment: takes its labels in, counts what is kept out, and knows whether there is anything to compare with."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from typing import Any, Final

from alignwatch import Incident, Label, NearestChange
from monitor.baseline import Baseline, policy_of
from monitor.detection.budget import Allowance
from monitor.detection.caps import Caps, admitted, key_of
from monitor.detection.case import left_open
from monitor.detection.cases import Cases
from monitor.detection.epoch import EpochGuard
from monitor.detection.watch import Watch
from monitor.detection_config import DetectionConfig
from monitor.panes import Seen, TimePane, TimePanes
from monitor.streams import Outcome, Reading, read

DIGESTS_KEPT: Final = 8
CHANGES_KEPT: Final = 16
CHANGE_BEFORE: Final = timedelta(days=1)
"""A change this long before the onset, or less, is named beside the incident."""
FORGET_EVERY: Final = 4096
"""Labels between two clearings of the cap tables."""
LATE_IN_A_ROW: Final = 200
"""So many late labels with none in time between them say that a wrong clock, not they, has moved the watermark."""


class Deployment:
    """The state of detection for one deployment.

    Labels may come slightly out of order. Panes, counts and caps are functions of event time; the e-detectors take
    labels in the order in which they arrive, which their guarantee allows as long as that order does not look at
    answers. A label older than the newest by more than the grace is late: counted, and fed to nothing.
    """

    def __init__(self, name: str, config: DetectionConfig) -> None:
        self.name = name
        self.config = config
        self.policy = policy_of(config)
        self.baseline: Baseline | None = None
        self.watch: Watch | None = None
        self.cases: Cases | None = None
        self.caps = Caps(self.policy, config.cap_entries)
        self.panes = TimePanes(config.pane_seconds)
        self.epoch = EpochGuard(name)
        self.counts: Counter[str] = Counter()
        self.labels = 0
        self.sensitive = 0
        """Sensitive requests with an answer that was read: what a baseline would rest on."""
        self.newest: float | None = None
        self._late_in_a_row = 0
        self.digests: deque[str] = deque(maxlen=DIGESTS_KEPT)
        self.changes: deque[NearestChange] = deque(maxlen=CHANGES_KEPT)
        """Oldest first: weights that were not seen before."""
        self.classifier: str | None = None

    def compare_with(self, baseline: Baseline, allowances: tuple[Allowance, ...]) -> list[Incident]:
        """Take up a baseline; what was open against another one is resolved. Unapproved ones only set the policy."""
        ended = self.cases.resolve_all(self.newest or 0.0) if self.cases else []
        ended.extend(self.epoch.ended(self.newest or 0.0))
        self.baseline = baseline
        self.policy = baseline.policy
        self.caps = Caps(self.policy, self.config.cap_entries)
        closed = self.cases.closed if self.cases else ()
        self.watch = self.cases = None
        if baseline.approved:
            self.watch = Watch(baseline, self.config, allowances)
            self.cases = Cases(self.name, self.watch, self.config.recovery_arl)
            self.cases.closed.extend(closed)
        return ended

    def take(self, label: Label) -> list[Incident]:
        """Feed one label; the incidents that opened or changed at it."""
        timestamp = label.timestamp.timestamp()
        self.labels += 1
        if self._late(timestamp):
            self.counts["late"] += 1
            return []
        if label.origin == "canary":
            self.counts["canary"] += 1
            return []
        self._note(label)
        reading = read(label, timestamp, self.policy)
        pane = self._show(label, timestamp, reading)
        if self.watch is None or self.cases is None or self.baseline is None:
            return []
        if self.epoch.other(label.classifier, self.baseline.classifier):
            self.counts["other-classifier"] += 1
            return self.epoch.count(timestamp, label.id, sensitive=_rests_on(label, reading))
        changed = self.epoch.agree(timestamp)
        outcomes = self._comparable(admitted(self.caps, label, timestamp, reading, self.counts), self.watch)
        if outcomes:
            changed.extend(self._feed(label, timestamp, outcomes, self.watch, self.cases))
        if reading.sensitive:
            evidence = self.watch.pooled.detector.evidence_log10
            pane.evidence_log10 = evidence if pane.evidence_log10 is None else max(pane.evidence_log10, evidence)
        if self.labels % FORGET_EVERY == 0 and self.newest is not None:
            self.caps.forget_before(self.newest - self.config.grace_seconds)
        return [self.beside_change(one) for one in changed]

    def beside_change(self, incident: Incident) -> Incident:
        """The incident with the latest change that may have brought it about, if one is known."""
        if incident.nearest_change is not None or not self.changes:
            return incident
        end = incident.onset.high if incident.onset is not None else incident.detected_at
        begin = (incident.onset.low if incident.onset is not None else incident.detected_at) - CHANGE_BEFORE
        near = [one for one in self.changes if begin <= one.timestamp <= end]
        return incident.model_copy(update={"nearest_change": near[-1]}) if near else incident

    def _late(self, timestamp: float) -> bool:
        """Whether a label is too old to count; moves the watermark."""
        if self.newest is not None and timestamp < self.newest - self.config.grace_seconds:
            self._late_in_a_row += 1
            if self._late_in_a_row < LATE_IN_A_ROW:
                return True
            self.newest = timestamp
        self._late_in_a_row = 0
        self.newest = timestamp if self.newest is None else max(self.newest, timestamp)
        return False

    def _comparable(self, outcomes: list[Outcome], watch: Watch) -> list[Outcome]:
        known = [one for one in outcomes if watch.seen[one[0]][one[1]]]
        if len(known) < len(outcomes):
            self.counts["unseen"] += 1
        return known

    def _feed(
        self, label: Label, timestamp: float, outcomes: list[Outcome], watch: Watch, cases: Cases
    ) -> list[Incident]:
        changed: list[Incident] = []
        user = key_of(label.user) if label.user is not None else 0
        behaviour = label.behaviour
        complied = behaviour is not None and behaviour.compliance > self.config.compliance_decision
        for kind, stratum, x in outcomes:
            alarms = watch.take(kind, Seen(timestamp, stratum, x, label.id, user, complied, label.model_digest))
            if cases.open:
                changed.extend(cases.outcome(kind, stratum, x, timestamp))
            for stream in alarms:
                incident = cases.alarm(stream, timestamp)
                if incident is not None:
                    changed.append(incident)
        return changed

    def _note(self, label: Label) -> None:
        digest = label.model_digest
        if digest is not None and (not self.digests or self.digests[-1] != digest):
            if digest in self.digests:
                # Two checkpoints behind one name take turns with every request: not a change each time.
                self.digests.remove(digest)
            elif self.digests:
                self.changes.append(new_weights(self.digests[-1], digest, label.timestamp))
            self.digests.append(digest)
        if label.classifier is not None:
            self.classifier = label.classifier

    def _show(self, label: Label, timestamp: float, reading: Reading) -> TimePane:
        pane = self.panes.at(timestamp)
        pane.labelled += 1
        if reading.sensitive:
            pane.sensitive += 1
            if _rests_on(label, reading) and label.behaviour is not None:
                self.sensitive += 1
                pane.add(label.behaviour, label.response_harm, label.weight)
        return pane

    def incidents(self) -> tuple[Incident, ...]:
        """Open ones first, then those closed lately."""
        epoch = (self.epoch.incident,) if self.epoch.incident else ()
        return epoch + tuple(map(self.beside_change, self.cases.newest_first() if self.cases else ()))

    def open_incidents(self) -> list[Incident]:
        """With their present figures."""
        cases = self.cases.open.values() if self.cases is not None else ()
        return [self.beside_change(case.incident) for case in cases]

    def dump(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "name": self.name,
            "baseline": self._compared_with,
            "labels": self.labels,
            "sensitive": self.sensitive,
            "newest": self.newest,
            "late_in_a_row": self._late_in_a_row,
            "digests": list(self.digests),
            "changes": [one.model_dump(mode="json") for one in self.changes],
            "classifier": self.classifier,
            "counts": dict(self.counts),
            "caps": self.caps.dump(),
            "panes": self.panes.dump(),
            "epoch": self.epoch.dump(),
            "watch": self.watch.dump() if self.watch else None,
            "cases": self.cases.dump() if self.cases else None,
        }

    def load(self, state: dict[str, Any]) -> list[Incident]:
        """From `dump`; incidents that are resolved because the state is of another baseline, whose evidence is left."""
        self.labels, self.sensitive, self.newest = state["labels"], state["sensitive"], state["newest"]
        self._late_in_a_row = state["late_in_a_row"]
        self.digests = deque(state["digests"], maxlen=DIGESTS_KEPT)
        # A state of an older version has none.
        found = [NearestChange.model_validate(one) for one in state.get("changes", ())]
        self.changes = deque(found, maxlen=CHANGES_KEPT)
        self.classifier = state["classifier"]
        self.counts = Counter(state["counts"])
        self.caps.load(state["caps"])
        self.panes.load(state["panes"])
        self.epoch.load(state["epoch"])
        if state["baseline"] == self._compared_with:
            if self.watch is not None and self.cases is not None:
                self.watch.load(state["watch"])
                self.cases.load(state["cases"])
            return []
        ended = self.epoch.ended(self.newest or 0.0)
        if state["cases"] is not None:
            ended.extend(left_open(state["cases"], self.newest or 0.0))
        if self.cases is not None:
            self.cases.closed.extend(ended)
        return ended

    @property
    def _compared_with(self) -> str | None:
        """Digest of the approved baseline; None without one."""
        return self.baseline.digest if self.watch is not None and self.baseline is not None else None


def new_weights(before: str, after: str, at: datetime) -> NearestChange:
    """That the gateway reports other weights than before."""
    short = [digest.removeprefix("sha256:")[:12] for digest in (before, after)]
    return NearestChange(kind="weights", timestamp=at, summary=f"{short[0]} → {short[1]}", reference=after)


def _rests_on(label: Label, reading: Reading) -> bool:
    """Whether a baseline's compliance rates rest on this label: a sensitive request whose answer was read."""
    return reading.sensitive and label.behaviour is not None and label.origin != "provider"
