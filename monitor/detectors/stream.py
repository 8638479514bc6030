"""The mixture Shiryaev-Roberts e-detector for one stream, where labels come one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from monitor.detectors.increments import RATE_FLOOR
from monitor.detectors.shiryaev_roberts import SATURATION


class StreamShiryaevRoberts:
    """The statistic of `MixtureShiryaevRoberts` for a single stream, in plain floats.

    A NumPy call costs more than the sixteen multiplications that one label needs, so a service that takes labels as
    they arrive is several times faster with this one; the two agree to rounding. The stated rate enters through
    `odds_table`, computed once for a stratum and reused for each of its labels.

    Args:
        arl: average run length to guarantee, in labels; at least 1.
        odds_ratios: the grid.

    Examples:
        >>> import random
        >>> from monitor.detectors import StreamShiryaevRoberts, odds_ratio_grid
        >>> rng = random.Random(3)
        >>> detector = StreamShiryaevRoberts(1e6, odds_ratio_grid("up"))
        >>> table = detector.odds_table(0.10)
        >>> labels = [float(rng.random() < (0.10 if i < 5000 else 0.70)) for i in range(5200)]
        >>> next(i for i, x in enumerate(labels) if detector.update(x, table))
        5020

    References:
        Shin, Ramdas and Rinaldo, arXiv 2203.03532.
    """

    __slots__ = ("_limit", "_size", "arl", "labels", "mean", "stakes", "statistic")

    def __init__(self, arl: float, odds_ratios: Iterable[float]) -> None:
        if not arl >= 1.0:
            raise ValueError(f"detector: arl={arl}; it must be at least 1")
        self.arl = arl
        self.stakes = [float(ratio) - 1.0 for ratio in odds_ratios]
        self._size = float(len(self.stakes))
        self._limit = arl * self._size
        self.statistic = [0.0] * len(self.stakes)
        self.mean = 0.0
        self.labels = 0

    def odds_table(self, p: float | Sequence[float]) -> list[float]:
        """What `update` needs to bet against the rate `p`, or one rate for each odds ratio: 1 / (1 + p(R - 1))."""
        rates = [p] * len(self.stakes) if isinstance(p, (int, float)) else p
        inside = [min(max(rate, RATE_FLOOR), 1.0 - RATE_FLOOR) for rate in rates]
        return [1.0 / (1.0 + rate * stake) for rate, stake in zip(inside, self.stakes, strict=True)]

    def update(self, x: float, table: Sequence[float]) -> bool:
        """Take an outcome in [0, 1] against the rate of `table`; True when the evidence has reached the threshold."""
        if x == 0.0:
            new = [(s + 1.0) * d for s, d in zip(self.statistic, table, strict=False)]
        else:
            new = [
                (s + 1.0) * (1.0 + x * stake) * d
                for s, stake, d in zip(self.statistic, self.stakes, table, strict=False)
            ]
        total = sum(new)
        if total > SATURATION:
            new = [min(s, SATURATION / self._size) for s in new]
            total = sum(new)
        self.statistic = new
        self.mean = total / self._size
        self.labels += 1
        return total >= self._limit

    @property
    def evidence_log10(self) -> float:
        """Evidence in decimal orders of magnitude; 0 before the first label."""
        return math.log10(self.mean) if self.mean > 0.0 else 0.0

    def reset(self) -> None:
        """Start again from no evidence."""
        self.statistic = [0.0] * len(self.stakes)
        self.mean = 0.0
        self.labels = 0

    def load(self, statistic: Sequence[float], labels: int) -> None:
        """Take up a state saved from `statistic` and `labels`.

        Raises:
            ValueError: the state does not fit this grid or holds impossible values.
        """
        if len(statistic) != len(self.stakes) or labels < 0 or not all(0.0 <= s < math.inf for s in statistic):
            raise ValueError(f"detector: a state of {len(self.stakes)} finite values at least 0 is allowed")
        self.statistic = [float(s) for s in statistic]
        self.mean = sum(self.statistic) / self._size
        self.labels = labels
