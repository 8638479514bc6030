"""Markdown tables, numbers with their errors, and a clock for the benches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Table:
    """One table of the report: `notes` say how it was measured."""

    title: str
    headers: Sequence[str]
    notes: list[str] = field(default_factory=list)
    rows: list[Sequence[str]] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", *(f"{note}\n" for note in self.notes)]
        lines += ["| " + " | ".join(self.headers) + " |", "|" + "---|" * len(self.headers)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error."""

    mean: float
    error: float = 0.0

    @classmethod
    def of(cls, sample: Sequence[float] | np.ndarray) -> Estimate:
        values = np.asarray(sample, dtype=np.float64)
        if not values.size:
            return cls(math.nan, math.nan)
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else 0.0)

    def over(self, other: Estimate) -> Estimate:
        """The ratio, errors propagated as independent."""
        ratio = self.mean / other.mean
        return Estimate(ratio, math.hypot(self.error, ratio * other.error) / abs(other.mean))

    def inverse(self) -> Estimate:
        return Estimate(1.0, 0.0).over(self)

    def __str__(self) -> str:
        return f"{number(self.mean)} ± {number(self.error)}" if self.error else number(self.mean)


def number(value: float) -> str:
    """Three significant digits, or a power of ten."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def count_error(count: int) -> float:
    """Standard error of a Poisson count; of none, the 63 % limit of one."""
    return math.sqrt(max(count, 1))
