"""A pinned baseline: counts of one deployment's outcomes over a stated period, and who approved them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from alignwatch import Category, Identifier, Record, Timestamp
from monitor.baseline.rates import StratumRates
from monitor.errors import BaselineError
from monitor.streams import HOURS_OF_WEEK, KINDS, STRATA, STRATUM_COUNTS, Kind, OutcomePolicy

FORMAT: Final = "alignwatch-baselines/1"
Profile = Literal["flat", "day", "week"]
_APPROVAL: Final = frozenset({"approved_by", "approved_at", "digest"})
_MINIMUM_HOURS: Final = 1.0
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class KindCounts(Record):
    """Outcomes of one kind, by stratum."""

    labels: tuple[NonNegative, ...]
    sums: tuple[NonNegative, ...]
    """Of x; never above `labels`."""
    design: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Variance of x within strata relative to 0/1 outcomes with the same rates."""
    between: NonNegative = 0.0
    """Standard deviation of the log-odds between stretches of the period, beyond chance; 0 where none is evident."""

    @model_validator(mode="after")
    def _sums_fit(self) -> Self:
        if len(self.labels) != len(self.sums) or any(
            s > n + 1e-6 for n, s in zip(self.labels, self.sums, strict=False)
        ):
            raise ValueError("counts: `labels` and `sums` need equal lengths, and no sum may exceed its labels")
        return self


class Baseline(Record):
    """What is normal for a deployment. Nothing pages against it before somebody has approved it."""

    deployment: Identifier
    classifier: str | None = None
    """Digest of the classifier that made the labels; labels of another are never compared with this baseline."""
    model_digests: tuple[str, ...] = ()
    period_start: Timestamp
    period_end: Timestamp
    fitted_at: Timestamp
    labels: Annotated[int, Field(ge=0)]
    """Labels read, before caps."""
    excluded: dict[str, int] = Field(default_factory=dict)
    """Labels left out, by reason: duplicate, other-classifier, canary, conversation, user."""
    selection: dict[str, int] = Field(default_factory=dict)
    """Labels by why they were selected: `uniform`, `screen`."""
    policy: OutcomePolicy = Field(default_factory=OutcomePolicy)
    profile: Profile = "flat"
    """What the shares of traffic are compared with: one rate, one an hour of the day, or one an hour of the week."""
    counts: dict[Kind, KindCounts]
    approved_by: str | None = None
    approved_at: Timestamp | None = None
    digest: str = ""
    """`sha256:` of everything above but the approval; an edited file is refused."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for kind, strata in zip(KINDS, STRATUM_COUNTS, strict=True):
            if kind not in self.counts or len(self.counts[kind].labels) != strata:
                raise ValueError(f"counts[{kind}]: {strata} strata are needed")
        if self.period_end < self.period_start:
            raise ValueError("period_end is before period_start")
        return self

    @property
    def approved(self) -> bool:
        """Whether detectors may page against it."""
        return self.approved_by is not None

    @property
    def hours(self) -> float:
        """Length of the period, at least one hour: shorter periods (a release gate's) say nothing about label rates."""
        return max((self.period_end - self.period_start).total_seconds() / 3600.0, _MINIMUM_HOURS)

    def sensitive_labels(self) -> int:
        """Outcomes that the compliance rates rest on, after caps."""
        return round(sum(self.counts["compliance"].labels))

    def compliance(self) -> float | None:
        """Mean compliance with sensitive requests over the period; None without any."""
        counts = self.counts["compliance"]
        labels = sum(counts.labels)
        return sum(counts.sums) / labels if labels else None

    def categories(self) -> dict[Category, tuple[int, float]]:
        """Labels and mean compliance of each category that has any."""
        counts = self.counts["compliance"]
        rows = zip(STRATA, counts.labels, counts.sums, strict=True)
        return {name: (round(n), s / n) for name, n, s in rows if n}

    def labels_per_hour(self, kind: int, stratum: int | None = None) -> float:
        """Outcomes an hour of a kind (in one stratum), after caps."""
        labels = self.counts[KINDS[kind]].labels
        return (sum(labels) if stratum is None else labels[stratum]) / self.hours

    def rates(self, kind: int) -> StratumRates:
        """Posterior rates of a kind; shares of traffic are pooled to the profile's resolution."""
        counts = self.counts[KINDS[kind]]
        labels, sums = np.asarray(counts.labels), np.asarray(counts.sums)
        if labels.size == HOURS_OF_WEEK:
            groups = profile_groups(self.profile)
            labels, sums = np.bincount(groups, labels), np.bincount(groups, sums)
        return StratumRates(labels, sums, counts.design, counts.between)

    def approve(self, by: str, at: datetime | None = None) -> Baseline:
        """A copy that detectors may page against.

        Raises:
            BaselineError: no name, or nothing to compare with.
        """
        if not by.strip():
            raise BaselineError("baseline: an approver's name is needed")
        if not self.sensitive_labels():
            raise BaselineError(f"baseline of {self.deployment}: it holds no sensitive labels; it can't be approved")
        return self.model_copy(update={"approved_by": by.strip(), "approved_at": at or datetime.now(UTC)})

    def sealed(self) -> Baseline:
        """A copy with its digest filled in."""
        return self.model_copy(update={"digest": self._digest()})

    def intact(self) -> bool:
        """Whether the digest is that of the contents."""
        return self.digest == self._digest()

    def _digest(self) -> str:
        body = self.model_dump(mode="json", exclude=set(_APPROVAL))
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def profile_groups(profile: Profile) -> Any:
    """Index of the group that each hour of the week falls into, shape [168]."""
    hours = np.arange(HOURS_OF_WEEK)
    return {"flat": np.zeros(HOURS_OF_WEEK, dtype=np.intp), "day": hours % 24, "week": hours}[profile]


def save(path: Path, baselines: Mapping[str, Baseline]) -> None:
    """Write baselines, one a deployment, to a JSON file that people can read and diff.

    Raises:
        BaselineError: the file can't be written.
    """
    body = {"format": FORMAT, "baselines": [one.model_dump(mode="json") for _, one in sorted(baselines.items())]}
    try:
        path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror or error}") from error


def load(path: Path) -> dict[str, Baseline]:
    """Read baselines, by deployment.

    Raises:
        BaselineError: missing, not a baseline file, edited since it was fitted, or two of one deployment.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BaselineError(f"{path}: not JSON ({error})") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT or not isinstance(body.get("baselines"), list):
        raise BaselineError(f"{path}: not a baseline file; allowed is format {FORMAT!r}")
    found: dict[str, Baseline] = {}
    for index, item in enumerate(body["baselines"]):
        baseline = _parse(item, f"{path}: baselines[{index}]")
        if baseline.deployment in found:
            raise BaselineError(f"{path}: two baselines of deployment {baseline.deployment!r}; one is allowed")
        found[baseline.deployment] = baseline
    return found


def _parse(item: Any, where: str) -> Baseline:
    try:
        baseline = Baseline.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        raise BaselineError(f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if not baseline.intact():
        raise BaselineError(f"{where}: its contents do not match its digest; fit it again rather than edit it")
    return baseline
