"""What the whole service says about itself at this moment: the body of `/status` and what the status page draws."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from alerts.standing import Standing
from alignwatch import Finite, Record, Timestamp, __version__
from monitor.status import Count, DeploymentStatus

Reasons = dict[str, int]
"""How many, by reason; reasons are a small fixed set."""


class PartitionLag(Record):
    """How far behind we are in one partition."""

    topic: str
    partition: Count
    lag: Count


class SourceStatus(Record):
    """Where traffic comes from, and how far behind we are."""

    kind: str
    """`kafka`, `file`, `memory` or `http`."""
    ready: bool
    """Connected and able to poll."""
    lag: Count | None = None
    """Records that wait to be read, over all assigned partitions; None where a source can't tell."""
    paused: bool = False
    """Held back because labelling or committing is slower than traffic."""
    partitions: tuple[PartitionLag, ...] = ()
    """Those that are ours just now, where the source has partitions."""
    rebalances: Count = 0
    """Times that partitions came or went since this process started."""


class PipelineCounters(Record):
    """Exchanges by what became of them, since this process started."""

    received: Count = 0
    """Records read from the source."""
    decoded: Count = 0
    """Exchanges found in them."""
    dead_letters: Reasons = Field(default_factory=dict)
    unsampled: Count = 0
    """Not chosen for labelling: the sampling rate, the screen, or the labelling budget."""
    labelled: Count = 0
    unlabelable: Reasons = Field(default_factory=dict)
    duplicates: Count = 0
    late: Count = 0
    quarantined: Count = 0
    """Timestamps too far in the future or past."""


class ClassifierSummary(Record):
    """The classifier in use."""

    digest: str | None = None
    labels_per_second: Finite | None = None
    share: Annotated[Finite, Field(gt=0.0, le=1.0)] | None = None
    """Of what sampling and screen choose, the share that the budget and the backlog leave to be labelled."""


class StateSummary(Record):
    """The state file."""

    path: str | None = None
    bytes: Count | None = None
    """Size of the state, in the file or on the state topic before compression."""
    last_commit_at: Timestamp | None = None


class OutboxSummary(Record):
    """Alerts that have not been delivered yet."""

    depth: Count = 0
    oldest_seconds: Annotated[Finite, Field(ge=0.0)] = 0.0
    """Age of the oldest one, in seconds; 0 when the outbox is empty."""
    standings: dict[str, Standing] = Field(default_factory=dict)
    """By incident id: who has been told, and who has taken it."""


class ServiceStatus(Record):
    """The service at the moment `now`, on the service's own clock (which the demo runs faster than life)."""

    version: str = __version__
    started_at: Timestamp
    now: Timestamp
    clock_speed: Annotated[Finite, Field(gt=0.0)] = 1.0
    """Seconds of `now` that pass in a real second."""
    source: SourceStatus
    pipeline: PipelineCounters = PipelineCounters()
    classifier: ClassifierSummary = ClassifierSummary()
    state: StateSummary = StateSummary()
    outbox: OutboxSummary = OutboxSummary()
    false_pages_per_90_days: Finite | None = None
    """The fleet's budget, where it is known; each deployment carries its own part."""
    deployments: tuple[DeploymentStatus, ...] = ()

    def with_panes_of(self, names: frozenset[str]) -> ServiceStatus:
        """The same, with chart points of the named deployments alone, so that polls of a large fleet stay small."""
        slim = tuple(
            d if d.name in names or not d.panes else d.model_copy(update={"panes": ()}) for d in self.deployments
        )
        return self.model_copy(update={"deployments": slim})
