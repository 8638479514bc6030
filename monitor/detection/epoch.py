"""Labels of a classifier that the baseline was not fitted with: counted, never compared, and said once."""

from __future__ import annotations

from typing import Any, Final

from alerts.incidents import incident_id, with_summary
from alerts.verdicts import Evidence, rule
from alignwatch import Incident
from monitor.detection.evidence import moment

LABELS_BEFORE_SAYING: Final = 50
LABELS_BEFORE_TRUST: Final = 1000
"""Labels in a row of the baseline's classifier after which the other one is taken to be gone."""


class EpochGuard:
    """A new classifier moves every rate, so its labels need a baseline of their own; until then this says so."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._others = 0
        self._in_a_row = 0
        self.sensitive = 0
        """Answers to sensitive requests that the other classifier has read: what its baseline would rest on."""
        self.incident: Incident | None = None

    @staticmethod
    def other(label: str | None, baseline: str | None) -> bool:
        """Whether a label is of another classifier; a baseline without a digest accepts all."""
        return baseline is not None and label != baseline

    def count(self, timestamp: float, label_id: str, *, sensitive: bool) -> list[Incident]:
        """Note one such label; an incident at the fiftieth."""
        self._others += 1
        self._in_a_row = 0
        self.sensitive += sensitive
        if self._others != LABELS_BEFORE_SAYING:
            return []
        ruling = rule(Evidence("other-classifier"))
        when = moment(timestamp)
        incident = Incident(
            id=incident_id(self._deployment, when, "classifier"),
            deployment=self._deployment,
            verdict=ruling.verdict,
            severity=ruling.severity,
            detected_at=when,
            updated_at=when,
            evidence_ids=(label_id,),
        )
        self.incident = with_summary(incident)
        return [self.incident]

    def agree(self, timestamp: float) -> list[Incident]:
        """Note a label of the baseline's classifier; the incident ends when the other one is taken to be gone."""
        if not self._others:
            return []
        self._in_a_row += 1
        return self.ended(timestamp, "recovered") if self._in_a_row >= LABELS_BEFORE_TRUST else []

    def ended(self, timestamp: float, status: str = "resolved") -> list[Incident]:
        """Start counting again, as another baseline was taken up or the other classifier is gone."""
        self._others = self._in_a_row = self.sensitive = 0
        if self.incident is None:
            return []
        update = {"status": status, "updated_at": moment(timestamp)}
        closed, self.incident = with_summary(self.incident.model_copy(update=update)), None
        return [closed]

    def dump(self) -> list[Any]:
        """State as JSON values."""
        incident = self.incident.model_dump(mode="json") if self.incident else None
        return [self._others, self._in_a_row, self.sensitive, incident]

    def load(self, state: list[Any]) -> None:
        """From `dump`."""
        self._others, self._in_a_row, self.sensitive, incident = state
        self.incident = Incident.model_validate(incident) if incident else None
