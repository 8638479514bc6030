"""One open incident: its figures, and the detector that decides when it is over."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import numpy as np

from alerts.incidents import with_summary
from alignwatch import Incident, StreamFinding
from monitor.detection.evidence import Finding, moment
from monitor.detection.watch import Stream, Watch
from monitor.detectors import StreamShiryaevRoberts, shift_odds

ELEVATION: Final = 0.4
"""Part of the proven shift of the log-odds from which a rate still counts as elevated."""
SMALLEST_ELEVATION: Final = 1.3
"""Recovery is judged against at least this odds ratio, so that it is decided in finite time."""
LARGEST_ELEVATION: Final = 20.0
FIRST_REVIEW: Final = 16
"""Labels after the opening when the verdict is looked at again; then at twice as many, and so on."""
LONGEST_REVIEW: Final = 256
"""But after so many labels at the latest, as a small fault may be followed by a great one."""


class Case:
    """One open incident with what decides its end.

    Recovery: a Shiryaev-Roberts detector that bets the baseline's rate against an elevated one, less than half way (in
    log-odds) to the side of the odds ratio's interval that is nearer to 1: a rate that merely eases has not recovered.
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
        return float(np.clip(change.odds_ratio_low**ELEVATION, SMALLEST_ELEVATION, LARGEST_ELEVATION))
    return float(np.clip(change.odds_ratio_high**ELEVATION, 1.0 / LARGEST_ELEVATION, 1.0 / SMALLEST_ELEVATION))


def left_open(state: dict[str, Any], timestamp: float) -> list[Incident]:
    """The incidents that are open in the `dump` of cases against another baseline, resolved with it."""
    return [ended(Incident.model_validate(item[0]), timestamp, "resolved") for item in state["open"].values()]


def ended(incident: Incident, timestamp: float, status: str) -> Incident:
    """The incident closed: `recovered` or `resolved`."""
    return with_summary(incident.model_copy(update={"status": status, "updated_at": moment(timestamp)}))


def with_figures(incident: Incident, finding: Finding, stream: Stream, when: datetime) -> Incident:
    """The incident with the finding's figures as its leading ones."""
    update = {
        "updated_at": when,
        "model_digest": finding.model_digest or incident.model_digest,
        "onset": finding.onset,
        "categories": finding.categories,
        "evidence_ids": finding.ids or incident.evidence_ids,
        "labels_since_onset": round(finding.change.labels),
    }
    return with_stream(incident.model_copy(update=update), finding.stream_finding(stream), when, leads=True)


def with_stream(incident: Incident, stream: StreamFinding, when: datetime, *, leads: bool = False) -> Incident:
    """The incident with what a stream says now, first where it leads."""
    others = [one for one in incident.streams if (one.name, one.direction) != (stream.name, stream.direction)]
    streams = (stream, *others) if leads else (*others, stream)
    return with_summary(incident.model_copy(update={"streams": streams, "updated_at": when}))
