"""Incidents of one deployment: opened at an alarm, joined by later ones, escalated, closed by evidence of recovery."""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import Any, Final

from alerts.incidents import incident_id, with_summary
from alerts.verdicts import Ruling, rule
from alignwatch import SEVERITIES, Incident, Onset, Verdict
from monitor.detection.case import LONGEST_REVIEW, Case, elevation_of, ended, with_figures, with_stream
from monitor.detection.evidence import Finding, conditional_z, investigate, moment
from monitor.detection.watch import Stream, Watch
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
CLOSED_KEPT: Final = 20
CONDITIONAL_Z: Final = 2.33
"""From this many standard errors above the baseline compliance has risen as well (one chance in a hundred, one-sided):
more harmful answers are then no matter of traffic alone, and wait for the compliance streams to be sure."""


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
        if finding is None or self._explained(stream, finding):
            stream.rearm()
            return None
        ruling = rule(finding.evidence)
        family = FAMILIES[ruling.verdict]
        if stream.spec.kind == HARMFUL and "behaviour" in self.open:
            family = "behaviour"
        case = self.open.get(family)
        changed: Incident | None
        if case is None:
            case = self.open[family] = self._opened(stream, finding, ruling, timestamp)
            changed = case.incident
        else:
            changed = self._join(case, stream, finding, ruling, timestamp)
        of_another = stream.spec.kind != self._watch.by_name[case.lead].spec.kind
        if of_another or case.incident.verdict == "jailbreak-campaign":
            # What moves this statistic now may be followed by a graver fault: it must be able to alarm again.
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
                case.review_at += min(case.review_at, LONGEST_REVIEW)
                changed.extend(self._review(family, case, timestamp))
        return changed

    def resolve_all(self, timestamp: float) -> list[Incident]:
        """Close what is open because what it was measured against is gone."""
        return [self._close(family, case, timestamp, "resolved") for family, case in list(self.open.items())]

    def _explained(self, stream: Stream, finding: Finding) -> bool:
        """Whether more harmful answers come of the answers rather than of what is asked."""
        if stream.spec.kind != HARMFUL or "behaviour" in self.open:
            return False
        return self._watch.pooled.alarmed or conditional_z(self._watch, finding.change.onset) >= CONDITIONAL_Z

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
        return Case(with_figures(incident, finding, stream, when), stream.name, self._watch, finding, self._arl)

    def _join(self, case: Case, stream: Stream, finding: Finding, ruling: Ruling, timestamp: float) -> Incident | None:
        lead, spec = self._watch.by_name[case.lead].spec, stream.spec
        when = moment(timestamp)
        wider = lead.stratum is not None or _graver(ruling, case.incident)
        if wider and spec.stratum is None and (spec.kind, spec.direction) == (lead.kind, lead.direction):
            case.lead = stream.name
            case.elevate(self._watch, elevation_of(finding))
            case.incident = with_figures(case.incident, finding, stream, when)
        else:
            case.incident = with_stream(case.incident, finding.stream_finding(stream), when)
            if spec.kind == lead.kind:
                self._refresh(case, timestamp)
        return self._escalate(case, ruling)

    def _review(self, family: str, case: Case, timestamp: float) -> list[Incident]:
        """Fresh figures; the elevation is raised where the change has proved larger, never lowered."""
        stream = self._watch.by_name[case.lead]
        finding = self._refresh(case, timestamp)
        if finding is None:
            return []
        elevation = elevation_of(finding)
        larger = elevation > case.elevation if stream.spec.direction == "up" else elevation < case.elevation
        if larger:
            case.elevate(self._watch, elevation)
        if stream.detector.evidence_log10 < stream.threshold_log10:
            return []  # what has faded since it alarmed must not wake anyone more
        ruling = rule(finding.evidence)
        fresh = None if _pages(case.incident) else investigate(self._watch, stream.spec)
        if fresh is not None and _graver(rule(fresh.evidence), case.incident):
            # A greater fault has followed the one that this was opened for.
            ruling = rule(fresh.evidence)
            case.incident = with_figures(case.incident, fresh, stream, moment(timestamp))
        changed = self._renamed(family, case, ruling) or self._escalate(case, ruling)
        return [changed] if changed else []

    def _refresh(self, case: Case, timestamp: float) -> Finding | None:
        stream = self._watch.by_name[case.lead]
        finding = investigate(self._watch, stream.spec, self._settled_onset(case))
        if finding is not None:
            case.incident = with_figures(case.incident, finding, stream, moment(timestamp))
        return finding

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
        if not _graver(ruling, incident) or FAMILIES[ruling.verdict] != FAMILIES[incident.verdict]:
            return None
        update = {"verdict": ruling.verdict, "severity": ruling.severity}
        case.incident = with_summary(incident.model_copy(update=update))
        return case.incident

    def _close(self, family: str, case: Case, timestamp: float, status: str = "recovered") -> Incident:
        incident = ended(case.incident, timestamp, status)
        del self.open[family]
        self.closed.append(incident)
        self._watch.rearm(self._spent(case), timestamp)
        return incident

    def _spent(self, case: Case) -> list[Stream]:
        """Streams whose evidence was this incident's, also that of those which did not alarm at it."""
        by_name = self._watch.by_name
        lead = by_name[case.lead]
        joined = {f"{one.name}:{one.direction}" for one in case.incident.streams} | {lead.name}
        if lead.spec.kind == COMPLIANCE:
            joined.add(f"{KINDS[HARMFUL]}:up")
        elsewhere = {other.lead for other in self.open.values()}
        every = {one.name: one for name in joined for one in self._watch.siblings(by_name[name])}
        return [one for name, one in every.items() if name not in elsewhere]

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


def _graver(ruling: Ruling, incident: Incident) -> bool:
    return SEVERITIES.index(ruling.severity) < SEVERITIES.index(incident.severity)


def _pages(incident: Incident) -> bool:
    return incident.severity in {"critical", "error"}
