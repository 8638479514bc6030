"""What detection says about itself at this moment: the records behind `/status` and the status page."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignwatch import Category, Finite, Incident, NearestChange, Record, Timestamp

State = Literal["no-baseline", "learning", "watching", "alarm"]
"""`learning`: a baseline is missing or not approved and labels are being counted towards one; nothing pages."""
Count = Annotated[int, Field(ge=0)]


class StreamStatus(Record):
    """One monitored statistic as it stands."""

    name: str
    """`compliance`, `compliance/<category>`, `control`, `sensitive-share`, `harmful-answers`, `degenerate`,
    `provider-blocked` or `unlabelable`."""
    direction: Literal["up", "down"]
    category: Category | None = None
    labels: Count = 0
    """Outcomes that this detector has taken since it was last armed."""
    baseline: Finite | None = None
    """Rate of the approved baseline."""
    observed: Finite | None = None
    """Rate over the recent panes."""
    interval: tuple[Finite, Finite] | None = None
    """95 % interval of `observed`."""
    corrected: Finite | None = None
    """`observed` with the classifier's known error removed (Rogan-Gladen); None without a card."""
    evidence_log10: Finite = 0.0
    threshold_log10: Finite
    """The detector alarms when the evidence reaches this; also log10 of its guaranteed run length in labels."""
    alarmed: bool = False
    pages: bool = True
    """False for streams that never page a person by themselves."""


class PanePoint(Record):
    """A stretch of event time, in counts and rates; rates are of sensitive requests and weighted to all traffic."""

    start: Timestamp
    seconds: Finite
    labelled: Count = 0
    sensitive: Count = 0
    compliance: Finite | None = None
    refusal: Finite | None = None
    partial: Finite | None = None
    degenerate: Finite | None = None
    harmful_answers: Finite | None = None
    """Among sensitive requests with an answer that was read: mean calibrated probability of a harmful answer."""
    evidence_log10: Finite | None = None
    """Highest evidence that compliance has risen (pooled stream) reached within the pane."""


class BaselineSummary(Record):
    """The approved baseline, in a line."""

    approved_by: str | None = None
    fitted_at: Timestamp
    labels: Count
    compliance: Finite | None = None
    model_digests: tuple[str, ...] = ()
    """Of the weights that it was fitted with, where the traffic named them: what was approved."""


class DeploymentStatus(Record):
    """One deployment, as the status page shows it."""

    name: str
    model: str | None = None
    """A display name, where one is known: labels carry digests alone."""
    model_digests: tuple[str, ...] = ()
    """Digests seen lately, newest last (bounded)."""
    changes: tuple[NearestChange, ...] = ()
    """Changes of this deployment that are on record, newest first (bounded)."""
    classifier: str | None = None
    state: State
    learning: tuple[int, int] | None = None
    """(n, N): sensitive labels seen and how many a baseline needs; None while an approved one holds. After a change of
    classifier its labels are counted, as they need a baseline of their own."""
    labels: Count = 0
    last_event: Timestamp | None = None
    baseline: BaselineSummary | None = None
    streams: tuple[StreamStatus, ...] = ()
    panes: tuple[PanePoint, ...] = ()
    """Oldest first, at most 240."""
    incidents: tuple[Incident, ...] = ()
    """Newest first, at most 20."""
    capped: dict[str, int] = Field(default_factory=dict)
    """Labels that were counted but kept out of the detectors, by reason: `conversation`, `user`, `late`,
    `other-classifier`, `canary`, `unseen` (some of its outcomes are of a category or hour that the baseline has no
    label of); `share-conversation` and `share-user` were kept out of the shares of traffic alone."""
    false_pages_per_90_days: Finite = 0.0
    """This deployment's part of the fleet's budget, with the baseline's label rates."""
