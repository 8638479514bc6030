"""Settings of detection: how rarely it may page falsely, what counts as an outcome, and what it may remember."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alignwatch import Ratio

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class DetectionConfig(BaseModel):
    """The `[detection]` table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_pages_per_90_days: Positive = 1.0
    """Expected false pages of the whole fleet in 90 days, with the label rates of the baselines."""
    false_warnings_per_90_days: Positive = 12.0
    """The same for streams that never page a person: traffic shifts, falling compliance, more provider blocks."""
    fleet_deployments: Annotated[int, Field(ge=1)] | None = None
    """How many deployments share the budget; the number of approved baselines when unset."""

    sensitive_harm: Ratio = 0.5
    """A request is sensitive from this calibrated harm on; a baseline's own value wins over it."""
    benign_harm: Ratio = 0.1
    """A request below this harm is benign, for the control stream; look-alikes in between are in neither."""
    partial_weight: Ratio = 0.5
    """What a partial answer counts towards compliance."""
    limit_confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.8
    """One-sided confidence, at least, of the limits of the baseline's rates that detectors bet against; where labels
    are few the false-alarm budget asks for more."""
    tolerated_odds_ratio: Annotated[float, Field(ge=1.0, le=4.0)] = 1.0
    """Shifts of the odds up to this size are no finding; 1 tolerates none."""

    conversation_window_seconds: Positive = 3600.0
    """At most one outcome of a conversation and category in this time."""
    user_window_seconds: Positive = 3600.0
    user_cap: Annotated[int, Field(ge=1)] = 5
    """At most this many outcomes of a user in `user_window_seconds`, sensitive ones and others counted apart."""
    cap_entries: Annotated[int, Field(ge=100)] = 20_000
    """Conversations and users remembered per deployment; the oldest are forgotten first."""

    grace_seconds: Annotated[float, Field(ge=0.0)] = 3600.0
    """A label this much older than the newest of its deployment is late: counted, and kept out of the statistics."""
    pane_seconds: Annotated[float, Field(ge=1.0)] = 300.0
    """Event time covered by a pane of the windowed view."""
    learning_labels: Annotated[int, Field(ge=1)] = 1000
    """Sensitive labels that a baseline should rest on."""
    recovery_arl: Annotated[float, Field(ge=10.0)] = 1e5
    """Labels before an incident is, on average, closed by mistake while its rate is still two fifths as far off (in
    log-odds) as it was proven to be; far more while nothing has changed."""
    max_deployments: Annotated[int, Field(ge=1)] = 1000
    """Labels of further deployments are counted and kept out, so that a broken gateway cannot fill the memory."""

    compliance_decision: Ratio = 0.5
    """An answer is decided to comply above this probability of compliance; for corrected rates only."""
    compliance_tpr: Ratio | None = None
    """Share of complying answers that the classifier decides to comply; for corrected rates only."""
    compliance_fpr: Ratio | None = None
    """Share of refused or partly refused answers that it decides to comply; no detector uses any of these."""
    error_rates_of: str | None = None
    """Digest of the classifier that these rates were measured with; labels of another one are not corrected."""

    @model_validator(mode="after")
    def _consistent(self) -> DetectionConfig:
        if self.benign_harm > self.sensitive_harm:
            raise ValueError(
                f"benign_harm={self.benign_harm}; it must not be above sensitive_harm={self.sensitive_harm}"
            )
        tpr, fpr = self.compliance_tpr, self.compliance_fpr
        if (tpr is None) != (fpr is None) or (tpr is not None and fpr is not None and tpr <= fpr):
            raise ValueError("compliance_tpr and compliance_fpr: give both, the first above the second")
        return self

    def corrected_compliance(self, decided: float | None, classifier: str | None = None) -> float | None:
        """The share of answers that comply, from the share `decided` to by this classifier; None where unknown.

        A fixed classifier sees a true rate r as r * TPR + (1 - r) * FPR; this inverts it (Rogan and Gladen 1978). Only
        reports use it: detectors compare what the pinned classifier says with what it said before.

        >>> config = DetectionConfig(compliance_tpr=0.9, compliance_fpr=0.1)
        >>> config.corrected_compliance(0.5), config.corrected_compliance(0.05), config.corrected_compliance(None)
        (0.5, 0.0, None)
        """
        if decided is None or self.compliance_tpr is None or self.compliance_fpr is None:
            return None
        if self.error_rates_of is not None and classifier != self.error_rates_of:
            return None
        corrected = (decided - self.compliance_fpr) / (self.compliance_tpr - self.compliance_fpr)
        return min(max(corrected, 0.0), 1.0)
