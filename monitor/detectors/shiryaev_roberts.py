"""The mixture Shiryaev-Roberts e-detector for thousands of streams at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitor.detectors.increments import Direction, Floats, increment, odds_ratio_grid

SATURATION: Final = 1e250
"""Evidence stops growing here, far beyond any threshold, so that no number of labels can overflow it."""


class MixtureShiryaevRoberts:
    """Detects that rates have left what was stated, with a guaranteed run length between false alarms.

    For each odds ratio R of a grid, S <- (1 + S) * e, where e is the bet of `increment` against the stated rate; the
    evidence is the mean of S over the grid. A new bet starts with every label, so that nothing learnt to be normal has
    to be won back first. S minus the number of labels is a supermartingale while the stated rates hold, whatever the
    dependence of rates on the past: the expected number of labels until the evidence first reaches A is at least A.
    The bound needs no tuning, and rates may differ from label to label (category, hour) as long as each is stated
    before its label is seen.

    The recursion runs on the natural scale: S is never below 1/max(R) after the first label, so nothing underflows,
    and it saturates at 1e250. Evidence is read in logs. Memory: `streams` x 16 floats.

    Args:
        arl: average run length to guarantee, in labels of a stream; one number or shape [streams].
        direction: `up` bets on higher rates than stated, `down` on lower.
        streams: how many streams run side by side.
        odds_ratios: the grid, shape [K]; default 16 values, 1.2 to 40 (`down`: their inverses).

    Examples:
        >>> import numpy as np
        >>> from monitor.detectors import MixtureShiryaevRoberts
        >>> rng = np.random.default_rng(7)
        >>> answers = np.concatenate([rng.random(5000) < 0.10, rng.random(200) < 0.70])  # un-aligned at 5000
        >>> detector = MixtureShiryaevRoberts(arl=1e6)
        >>> for i, complied in enumerate(answers):
        ...     if detector.update([complied], 0.10).any():
        ...         print(f"alarm at label {i}, evidence 10^{detector.log_evidence[0] / np.log(10):.1f}")
        ...         break
        alarm at label 5008, evidence 10^6.3

    References:
        Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
        arXiv 2203.03532; Shiryaev 1963; Roberts 1966.
    """

    def __init__(
        self,
        arl: ArrayLike,
        *,
        direction: Direction = "up",
        streams: int = 1,
        odds_ratios: ArrayLike | None = None,
    ) -> None:
        self.odds_ratios = np.array(
            odds_ratio_grid(direction) if odds_ratios is None else odds_ratios, dtype=np.float64
        )
        self.log_threshold = np.log(np.broadcast_to(np.asarray(arl, dtype=np.float64), (streams,)).copy())
        if streams < 1 or not np.all(self.log_threshold >= 0.0) or not np.all(self.odds_ratios > 0.0):
            raise ValueError("detector: allowed are streams >= 1, arl >= 1 and odds ratios above 0")
        self.direction = direction
        self._threshold = np.exp(self.log_threshold)
        self._weights = np.full(self.odds_ratios.size, 1.0 / self.odds_ratios.size)
        self.statistic: Floats = np.zeros((streams, self.odds_ratios.size))
        self.labels: NDArray[np.int64] = np.zeros(streams, dtype=np.int64)

    @property
    def log_evidence(self) -> Floats:
        """Natural log of the mixture statistic, shape [streams]; minus infinity before the first label."""
        with np.errstate(divide="ignore"):
            result: Floats = np.log(self.statistic.mean(axis=1))
        return result

    @property
    def drift_detected(self) -> NDArray[np.bool_]:
        """Whether the evidence stands at or above the threshold, shape [streams]."""
        result: NDArray[np.bool_] = self.log_evidence >= self.log_threshold
        return result

    def update(self, x: ArrayLike, p: ArrayLike, where: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
        """Take one outcome for each stream and return which of them stand in alarm.

        Args:
            x: outcomes in [0, 1], shape [streams] (or [len(where)]).
            p: the stated rates, broadcastable to x, or one for each odds ratio, shape x.shape + [K].
            where: distinct stream indices that have an outcome; default all of them.

        Returns:
            Shape of x; True where the evidence has reached the threshold.
        """
        bets = increment(x, p, self.odds_ratios)
        rows = self.statistic if where is None else self.statistic[where]
        rows += 1.0
        rows *= bets
        evidence = rows @ self._weights
        if evidence.max(initial=0.0) > SATURATION:
            np.minimum(rows, SATURATION, out=rows)
        threshold = self._threshold
        if where is None:
            self.labels += 1
        else:
            self.statistic[where] = rows
            self.labels[where] += 1
            threshold = threshold[where]
        over: NDArray[np.bool_] = evidence >= threshold
        return over

    def reset(self, where: NDArray[np.intp] | NDArray[np.bool_] | None = None) -> None:
        """Start again from no evidence, all streams or those named."""
        rows: slice | NDArray[np.intp] | NDArray[np.bool_] = slice(None) if where is None else where
        self.statistic[rows] = 0.0
        self.labels[rows] = 0


def first_alarms(
    x: ArrayLike,
    p: ArrayLike,
    arl: float,
    *,
    direction: Direction = "up",
    odds_ratios: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Index of the first alarm in each run, or -1: many independent runs of one detector, for simulations.

    Args:
        x: outcomes in [0, 1], shape [runs, time].
        p: stated rates, broadcastable to x.
        arl: the threshold, in labels.
        direction: of the change.
        odds_ratios: as for the detector.

    Returns:
        Shape [runs].
    """
    outcomes = np.atleast_2d(np.asarray(x, dtype=np.float64))
    rates = np.broadcast_to(np.asarray(p, dtype=np.float64), outcomes.shape)
    runs = outcomes.shape[0]
    found = np.full(runs, -1, dtype=np.int64)
    detector = MixtureShiryaevRoberts(arl, direction=direction, streams=runs, odds_ratios=odds_ratios)
    alive = np.arange(runs)
    for t in range(outcomes.shape[1]):
        alarmed = detector.update(outcomes[alive, t], rates[alive, t], alive)
        if alarmed.any():
            found[alive[alarmed]] = t
            alive = alive[~alarmed]
            if not alive.size:
                break
    return found
