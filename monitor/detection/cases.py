"""Incidents of one deployment: opened at an alarm, joined by later ones, escalated, closed by evidence of recovery."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from alerts.incidents import incident_id, with_summary
from alerts.verdicts import Ruling, rule
from alignwatch import SEVERITIES, Incident, Onset, StreamFinding, Verdict
from monitor.detection.evidence import Finding, investigate, moment
from monitor.detection.watch import Stream, Watch
from monitor.detectors import StreamShiryaevRoberts, shift_odds
from monitor.streams import COMPLIANCE, HARMFUL, KINDS

FAMILIES: Final = MappingProxyType[Verdict, str](
    {
        "unalignment": "behaviour",
        "jailbreak-campaign": "behaviour",
        "over-refusal": "over-refusal",
        "degenerate": "degenerate",
        "guardrail-change": "guardrail",
        "traffic-shift": "traffic",
        "data-quality": "data-quality",
    }
)
"""Verdicts of one family are one episode: what alarms later joins the incident that is open."""
SMALLEST_ELEVATION: Final = 1.3
"""Recovery is judged against at least this odds ratio, so that it is decided in finite time."""
LARGEST_ELEVATION: Final = 20.0
FIRST_REVIEW: Final = 16
"""Labels after the opening when the verdict is looked at again; then at twice as many, and so on."""
CLOSED_KEPT: Final = 20
HARM_WAITS_LOG10: Final = 2.0
"""With this evidence of rising compliance more harmful answers are no matter of traffic; they wait for it to be sure.
Without a change it stands so high about one time in a hundred."""


class Case:
    """One open incident with what decides its end.

    Recovery: a Shiryaev-Roberts detector that bets the baseline's rate against the elevated one. The elevated rate is
    the side of the odds ratio's interval that is nearer to 1, so a rate that merely eases is not called recovered.
    """

    def __init__(self, incident: Incident, lead: str, watch: Watch, finding: Finding, arl: float) -> None:
        self.incident = incident
        self.lead = lead
        self.labels = 0
        self.review_at = FIRST_REVIEW
        self.elevation = 0.0
        self._arl = arl
        self._tables: list[list[float]] = []
        self.recovery = StreamShiryaevRoberts(arl, (1.0,))
        self.elevate(watch, elevation_of(finding))

    def elevate(self, watch: Watch, odds_ratio: float) -> None:
        """Judge recovery against this shift of the baseline from now on."""
        spec = watch.by_name[self.lead].spec
        self.elevation = odds_ratio
        self.recovery = StreamShiryaevRoberts(self._arl, (1.0 / odds_ratio,))
        shifted = shift_odds(watch.means[spec.kind], odds_ratio)
        self._tables = [self.recovery.odds_table(rate) for rate in shifted.tolist()]

    def take(self, stratum: int, x: float) -> bool:
        """Feed an outcome of the leading stream; True when the baseline's rate is back."""
        self.labels += 1
        return self.recovery.update(x, self._tables[stratum])

    def dump(self) -> list[Any]:
        """State as JSON values."""
        detector = self.recovery
        head = [self.incident.model_dump(mode="json"), self.lead, self.labels, self.review_at, self.elevation]
        return [*head, detector.statistic, detector.labels]

    @classmethod
    def load(cls, state: list[Any], watch: Watch, arl: float) -> Case:
        """From `dump`."""
        case = cls.__new__(cls)
        case._arl = arl  # noqa: SLF001 - its own
        case.incident = Incident.model_validate(state[0])
        case.lead, case.labels, case.review_at = state[1:4]
        case.elevate(watch, state[4])
        case.recovery.load(state[5], state[6])
        return case


def elevation_of(finding: Finding) -> float:
    """The odds ratio that recovery is judged against."""
    change = finding.change
    if finding.spec.direction == "up":
        return float(np.clip(change.odds_ratio_low, SMALLEST_ELEVATION, LARGEST_ELEVATION))
    return float(np.clip(change.odds_ratio_high, 1.0 / LARGEST_ELEVATION, 1.0 / SMALLEST_ELEVATION))


class Cases:
    """Keeps at most one open incident a family.

    Args:
        deployment: its name.
        watch: the detectors; their rings are read at each alarm.
        recovery_arl: labels at the elevated rate before an incident is closed by mistake, on average.
    """

    def __init__(self, deployment: str, watch: Watch, recovery_arl: float) -> None:
        self.deployment = deployment
        self.open: dict[str, Case] = {}
        self.closed: deque[Incident] = deque(maxlen=CLOSED_KEPT)
        self._watch = watch
        self._arl = recovery_arl

    def alarm(self, stream: Stream, timestamp: float) -> Incident | None:
        """An incident opened or changed by this stream's alarm; None when nothing new is to be told."""
        finding = investigate(self._watch, stream.spec)
        if finding is None or self._explained(stream):
            stream.rearm()
            return None
        ruling = rule(finding.evidence)
        family = FAMILIES[ruling.verdict]
        if stream.spec.kind == HARMFUL and "behaviour" in self.open:
            family = "behaviour"
        case = self.open.get(family)
        if case is None:
            case = self.open[family] = self._opened(stream, finding, ruling, timestamp)
            return case.incident
        changed = self._join(case, stream, finding, ruling, timestamp)
        if stream.spec.kind != self._watch.by_name[case.lead].spec.kind:
            # What moves this statistic now may be followed by a fault of its own: it must be able to alarm again.
            stream.rearm()
        return changed

    def outcome(self, kind: int, stratum: int, x: float, timestamp: float) -> list[Incident]:
        """Feed an outcome to the open incidents; those that ended or changed."""
        changed = []
        for family, case in list(self.open.items()):
            spec = self._watch.by_name[case.lead].spec
            if spec.kind != kind or spec.stratum not in {None, stratum}:
                continue
            if case.take(stratum, x):
                changed.append(self._close(family, case, timestamp))
            elif case.labels >= case.review_at:
                case.review_at *= 2
                changed.extend(self._review(family, case, timestamp))
        return changed

    def resolve_all(self, timestamp: float) -> list[Incident]:
        """Close what is open because what it was measured against is gone."""
        return [self._close(family, case, timestamp, "resolved") for family, case in list(self.open.items())]

    def _explained(self, stream: Stream) -> bool:
        pooled = self._watch.pooled
        rising = pooled.alarmed or pooled.detector.evidence_log10 >= HARM_WAITS_LOG10
        return stream.spec.kind == HARMFUL and "behaviour" not in self.open and rising

    def _opened(self, stream: Stream, finding: Finding, ruling: Ruling, timestamp: float) -> Case:
        when = moment(timestamp)
        incident = Incident(
            id=incident_id(self.deployment, when, stream.name),
            deployment=self.deployment,
            verdict=ruling.verdict,
            severity=ruling.severity,
            detected_at=when,
            false_alarm_budget=stream.allowance.per_90_days,
        )
        return Case(_figures(incident, finding, stream, when), stream.name, self._watch, finding, self._arl)

    def _join(self, case: Case, stream: Stream, finding: Finding, ruling: Ruling, timestamp: float) -> Incident | None:
        lead = self._watch.by_name[case.lead].spec
        when = moment(timestamp)
        takes_over = lead.stratum is not None and stream.spec.kind == lead.kind and stream.spec.stratum is None
        if takes_over and stream.spec.direction == lead.direction:
            case.lead = stream.name
            case.elevate(self._watch, elevation_of(finding))
            case.incident = _figures(case.incident, finding, stream, when)
        else:
            case.incident = _with_stream(case.incident, finding.stream_finding(stream), when)
        return self._escalate(case, ruling)

    def _review(self, family: str, case: Case, timestamp: float) -> list[Incident]:
        """Fresh figures; the elevation is raised where the change has proved larger, never lowered."""
        stream = self._watch.by_name[case.lead]
        finding = investigate(self._watch, stream.spec, self._settled_onset(case))
        if finding is None:
            return []
        case.incident = _figures(case.incident, finding, stream, moment(timestamp))
        elevation = elevation_of(finding)
        larger = elevation > case.elevation if stream.spec.direction == "up" else elevation < case.elevation
        if larger:
            case.elevate(self._watch, elevation)
        ruling = rule(finding.evidence)
        changed = self._renamed(family, case, ruling) or self._escalate(case, ruling)
        return [changed] if changed else []

    def _renamed(self, family: str, case: Case, ruling: Ruling) -> Incident | None:
        """More labels have shown that it is another kind of fault: the verdict follows, the severity never falls."""
        other = FAMILIES[ruling.verdict]
        if other == family or other in self.open:
            return None
        self.open[other] = self.open.pop(family)
        severity = min(ruling.severity, case.incident.severity, key=SEVERITIES.index)
        update = {"verdict": ruling.verdict, "severity": severity}
        case.incident = with_summary(case.incident.model_copy(update=update))
        return case.incident

    def _settled_onset(self, case: Case) -> Onset | None:
        """The onset found before, once part of its surroundings has left the fine end of the ring; None until then."""
        onset = case.incident.onset
        oldest = self._watch.rings[self._watch.by_name[case.lead].spec.kind].fine[0].timestamp
        return onset if onset is not None and onset.low.timestamp() < oldest else None

    def _escalate(self, case: Case, ruling: Ruling) -> Incident | None:
        """A graver ruling of the same family replaces the incident's; a milder one does not: nobody can be un-paged."""
        incident = case.incident
        graver = SEVERITIES.index(ruling.severity) < SEVERITIES.index(incident.severity)
        if not graver or FAMILIES[ruling.verdict] != FAMILIES[incident.verdict]:
            return None
        update = {"verdict": ruling.verdict, "severity": ruling.severity}
        case.incident = with_summary(incident.model_copy(update=update))
        return case.incident

    def _close(self, family: str, case: Case, timestamp: float, status: str = "recovered") -> Incident:
        incident = _ended(case.incident, timestamp, status)
        del self.open[family]
        self.closed.append(incident)
        lead = self._watch.by_name[case.lead]
        joined = {f"{one.name}:{one.direction}" for one in incident.streams}
        if lead.spec.kind == COMPLIANCE:
            joined.add(f"{KINDS[HARMFUL]}:up")
        elsewhere = {other.lead for other in self.open.values()}
        streams = {
            one.name: one for one in [*self._watch.siblings(lead), *map(self._watch.by_name.__getitem__, joined)]
        }
        self._watch.rearm((one for name, one in streams.items() if name not in elsewhere), timestamp)
        return incident

    def newest_first(self) -> tuple[Incident, ...]:
        """Open and lately closed ones."""
        every = [*self.closed, *(case.incident for case in self.open.values())]
        return tuple(sorted(every, key=lambda one: (one.status == "open", one.detected_at), reverse=True))[:CLOSED_KEPT]

    def dump(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "open": {family: case.dump() for family, case in self.open.items()},
            "closed": [incident.model_dump(mode="json") for incident in self.closed],
        }

    def load(self, state: dict[str, Any]) -> None:
        """From `dump`."""
        self.open = {family: Case.load(item, self._watch, self._arl) for family, item in state["open"].items()}
        self.closed = deque((Incident.model_validate(item) for item in state["closed"]), maxlen=CLOSED_KEPT)


def left_open(state: dict[str, Any], timestamp: float) -> list[Incident]:
    """The incidents that are open in the `dump` of cases against another baseline, resolved with it."""
    return [_ended(Incident.model_validate(item[0]), timestamp, "resolved") for item in state["open"].values()]


def _ended(incident: Incident, timestamp: float, status: str) -> Incident:
    return with_summary(incident.model_copy(update={"status": status, "updated_at": moment(timestamp)}))


def _figures(incident: Incident, finding: Finding, stream: Stream, when: datetime) -> Incident:
    """The incident with the finding's figures as its leading ones."""
    update = {
        "updated_at": when,
        "model_digest": finding.model_digest or incident.model_digest,
        "onset": finding.onset,
        "categories": finding.categories,
        "evidence_ids": finding.ids or incident.evidence_ids,
        "labels_since_onset": round(finding.change.labels),
    }
    return _with_stream(incident.model_copy(update=update), finding.stream_finding(stream), when)


def _with_stream(incident: Incident, stream: StreamFinding, when: datetime) -> Incident:
    others: Sequence[StreamFinding] = [
        one for one in incident.streams if (one.name, one.direction) != (stream.name, stream.direction)
    ]
    pooled_first = sorted([*others, stream], key=lambda one: "/" in one.name)
    return with_summary(incident.model_copy(update={"streams": tuple(pooled_first), "updated_at": when}))
