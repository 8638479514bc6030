"""The windowed view beside the sequential one: rates a pane and over a sliding window, as pandas frames.

Nothing here alarms. It is what people expect to see next to an incident: how often sensitive requests were refused,
partly answered, answered and answered harmfully, pane by pane, with intervals and weighted to all traffic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from alignwatch import Incident, Label
from monitor.baseline import policy_of
from monitor.detection_config import DetectionConfig
from monitor.onset import wilson
from monitor.streams import OutcomePolicy

RATES: Final = ("refusal", "partial", "compliance", "degenerate", "harm")
"""Means over the answers to sensitive requests: of the four outcomes' calibrated probabilities, and of harm."""
CORRECTED: Final = "compliance_corrected"
"""Share of answers decided to comply, with the classifier's error removed (Rogan and Gladen 1978)."""
SLIDING_PANES: Final = 12
MAX_ROWS: Final = 2_000
"""Panes of a deployment beyond this many are merged into wider ones, so that a long recording fits into memory."""
_WIDER: Final = (3, 4, 6, 4, 7)
"""Five minutes, a quarter of an hour, an hour, six hours, a day, a week; then doubled."""
_COLUMNS: Final = (
    "labels", "sensitive", "answers", "weight", "squares", "harm_weight", "harm_squares", "decided", *RATES,
)  # fmt: skip
_SIZE: Final = len(_COLUMNS)
_NO_POLICIES: Final[Mapping[str, OutcomePolicy]] = MappingProxyType({})


class _Panes:
    """Sums of one deployment's panes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._sums: dict[int, list[float]] = {}
        self._widened = 0

    def at(self, timestamp: float) -> list[float]:
        """The sums of this time's pane."""
        sums = self._sums.get(int(timestamp // self.seconds))
        while sums is None:
            if len(self._sums) >= MAX_ROWS:
                self._widen()
            sums = self._sums.setdefault(int(timestamp // self.seconds), [0.0] * _SIZE)
        return sums

    def _widen(self) -> None:
        factor = _WIDER[self._widened] if self._widened < len(_WIDER) else 2
        self._widened += 1
        self.seconds *= factor
        merged: dict[int, list[float]] = {}
        for index, sums in self._sums.items():
            there = merged.setdefault(index // factor, [0.0] * _SIZE)
            there[:] = [a + b for a, b in zip(there, sums, strict=True)]
        self._sums = merged

    def frame(self) -> pd.DataFrame:
        """Sums by pane start, oldest first."""
        starts = sorted(self._sums)
        index = pd.to_datetime([start * self.seconds for start in starts], unit="s", utc=True)
        return pd.DataFrame([self._sums[start] for start in starts], index=index, columns=list(_COLUMNS))


class Windows:
    """Collects labels into panes of event time and turns them into frames.

    Every label that was read counts, also those that caps or lateness keep out of the detectors. Canaries are left out,
    and answers that a provider wrote count as labels alone.

    Args:
        config: of detection: the length of a pane, what is sensitive, and the classifier's error rates.
        policies: by deployment, where a baseline says what is sensitive; it wins over the config.
    """

    def __init__(
        self, config: DetectionConfig | None = None, policies: Mapping[str, OutcomePolicy] = _NO_POLICIES
    ) -> None:
        self._config = config or DetectionConfig()
        self._policies = policies
        self._default = policy_of(self._config)
        self._deployments: dict[str, _Panes] = {}
        self._classifiers: dict[str, str | None] = {}

    def watching(self, batches: Iterator[list[Label]]) -> Iterator[list[Label]]:
        """The same batches, counted as they pass."""
        for labels in batches:
            for label in labels:
                self.add(label)
            yield labels

    def add(self, label: Label) -> None:
        """Count one label."""
        if label.origin == "canary":
            return
        panes = self._deployments.get(label.deployment)
        if panes is None:
            panes = self._deployments[label.deployment] = _Panes(self._config.pane_seconds)
        self._classifiers[label.deployment] = label.classifier
        sums = panes.at(label.timestamp.timestamp())
        sums[0] += 1.0
        policy = self._policies.get(label.deployment, self._default)
        if label.request is None or label.request.harm < policy.sensitive_harm:
            return
        sums[1] += 1.0
        behaviour, weight = label.behaviour, label.weight
        if behaviour is None or label.origin == "provider":
            return
        harm_weight = weight if label.response_harm is not None else 0.0
        decided = weight if behaviour.compliance > self._config.compliance_decision else 0.0
        counts = (1.0, weight, weight * weight, harm_weight, harm_weight * weight, decided)
        outcomes = (behaviour.refusal, behaviour.partial, behaviour.compliance, behaviour.degenerate)
        added = (*counts, *(weight * x for x in outcomes), harm_weight * (label.response_harm or 0.0))
        sums[2:] = [a + b for a, b in zip(sums[2:], added, strict=True)]

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """One frame a deployment, a row for each pane that had labels, oldest first.

        Columns: `start` (UTC), `seconds` (the pane's length), `labels`, `sensitive` (sensitive requests), `answers`
        (those whose answer was read), and for each of `RATES` and for `compliance_corrected` the rate, `<rate>_low`,
        `<rate>_high` and the same over the latest 12 panes as `sliding_<rate>`, `sliding_<rate>_low` and
        `sliding_<rate>_high`. Rates are weighted to all traffic and are NaN where nothing was answered. Intervals are
        Wilson's at 95 % with Kish's effective number of labels, (sum w)^2 / sum w^2: right for 0/1 outcomes, wide for
        soft ones. `compliance_corrected` is NaN without the error rates of the deployment's classifier; its interval
        takes those rates as known.
        """
        return {name: self._frame(name, panes) for name, panes in sorted(self._deployments.items())}

    def _frame(self, deployment: str, panes: _Panes) -> pd.DataFrame:
        def corrected(rate: float) -> float:
            found = self._config.corrected_compliance(rate, self._classifiers.get(deployment))
            return math.nan if found is None else found

        sums = panes.frame()
        columns: dict[str, object] = {"start": sums.index, "seconds": panes.seconds}
        for name in ("labels", "sensitive", "answers"):
            columns[name] = sums[name].astype("int64").to_numpy()
        sliding = sums.rolling(pd.Timedelta(seconds=SLIDING_PANES * panes.seconds)).sum()
        for prefix, part in (("", sums), ("sliding_", sliding)):
            for name in RATES:
                kind = "harm_" if name == "harm" else ""
                columns |= _with_interval(
                    prefix + name, part[name], part[f"{kind}weight"], part[f"{kind}squares"], lambda rate: rate
                )
            columns |= _with_interval(prefix + CORRECTED, part["decided"], part["weight"], part["squares"], corrected)
        return pd.DataFrame(columns)

    def write(self, path: Path, incidents: Sequence[Incident]) -> None:
        """Write what was seen: a report for people, or the frames alone where the name ends in `.csv` or `.json`.

        Args:
            path: to write; `.csv` and `.json` hold one row a pane with the deployment's name in it.
            incidents: found in the same labels; for the report.
        """
        if path.suffix in {".csv", ".json"}:
            frames = [frame.assign(deployment=name) for name, frame in self.frames().items()]
            every = pd.concat(frames) if frames else pd.DataFrame()
            if path.suffix == ".csv":
                every.to_csv(path, index=False)
            else:
                every.to_json(path, orient="records", date_format="iso")
            return
        from monitor.report import write_report  # noqa: PLC0415 - plots are needed for a report alone

        write_report(path, self.frames(), incidents)


def _with_interval(
    name: str,
    sums: pd.Series[float],
    weights: pd.Series[float],
    squares: pd.Series[float],
    shown: Callable[[float], float],
) -> dict[str, list[float]]:
    """Rate and limits as columns; NaN where there is no weight. Rolling sums may end a hair below zero."""
    rows: list[tuple[float, ...]] = []
    for s, w, q in zip(sums, weights, squares, strict=True):
        if w <= 0.0 or q <= 0.0:
            rows.append((np.nan, np.nan, np.nan))
            continue
        rate, labels = min(max(s / w, 0.0), 1.0), w * w / q
        rows.append((shown(rate), *(shown(limit) for limit in wilson(rate * labels, labels))))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return {name: list(columns[0]), f"{name}_low": list(columns[1]), f"{name}_high": list(columns[2])}
