"""Labels of a classifier that the baseline was not fitted with: counted, never compared, and said once."""

from __future__ import annotations

from typing import Any, Final

from alerts.incidents import incident_id, with_summary
from alerts.verdicts import Evidence, rule
from alignwatch import Incident
from monitor.detection.evidence import moment

LABELS_BEFORE_SAYING: Final = 50


class EpochGuard:
    """A new classifier moves every rate, so its labels need a baseline of their own; until then this says so."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._count = 0
        self.incident: Incident | None = None

    @staticmethod
    def other(label: str | None, baseline: str | None) -> bool:
        """Whether a label is of another classifier; a baseline without a digest accepts all."""
        return baseline is not None and label != baseline

    def count(self, timestamp: float, label_id: str) -> list[Incident]:
        """Note one such label; an incident (info) at the fiftieth."""
        self._count += 1
        if self._count != LABELS_BEFORE_SAYING:
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

    def ended(self, timestamp: float) -> list[Incident]:
        """A new baseline was approved: start counting again."""
        self._count = 0
        if self.incident is None:
            return []
        update = {"status": "resolved", "updated_at": moment(timestamp)}
        closed, self.incident = with_summary(self.incident.model_copy(update=update)), None
        return [closed]

    def dump(self) -> list[Any]:
        """State as JSON values."""
        return [self._count, self.incident.model_dump(mode="json") if self.incident else None]

    def load(self, state: list[Any]) -> None:
        """From `dump`."""
        self._count = state[0]
        self.incident = Incident.model_validate(state[1]) if state[1] else None
