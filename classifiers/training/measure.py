"""Measures of a labelling: F1, AUC, calibration error, exact intervals. Plain numpy and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, rankdata

from classifiers.card import FamilyRates
from classifiers.training.calibrate import f1

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def auc(truth: Mask, scores: Floats) -> float:
    """Area under the ROC curve (Mann-Whitney, ties at one half); NaN where one kind is missing."""
    n1, n0 = int(truth.sum()), int((~truth).sum())
    if not n1 or not n0:
        return float("nan")
    return float((rankdata(scores)[truth].sum() - n1 * (n1 + 1) / 2.0) / (n1 * n0))


def expected_calibration_error(truth: Mask, probability: Floats, bins: int = 15) -> float:
    """Mean |observed rate - mean probability| over equal-width bins, weighted by count. Guo et al. 2017."""
    where = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [
        abs(truth[where == b].mean() - probability[where == b].mean()) * (where == b).mean() for b in np.unique(where)
    ]
    return float(np.sum(gaps))


def error_if_perfect(probability: Floats, bins: int = 15, draws: int = 400, seed: int = 17) -> tuple[float, float]:
    """Mean and 95th percentile of the calibration error that chance alone gives, were each probability exactly right.

    Truths are drawn from the probabilities `draws` times. With few rows a bin the measured error is far from zero even
    then (Vaicenavicius et al. 2019, arXiv 1902.06977), so a measured one says little until it is above this.
    """
    rng = np.random.default_rng(seed)
    errors = [
        expected_calibration_error(rng.random(len(probability)) < probability, probability, bins) for _ in range(draws)
    ]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def reliability(truth: Mask, probability: Floats, bins: int = 10) -> list[dict[str, float]]:
    """Bins of a reliability plot: mean probability, observed rate, count."""
    where = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        {
            "probability": round(float(probability[where == b].mean()), 4),
            "observed": round(float(truth[where == b].mean()), 4),
            "n": int((where == b).sum()),
        }
        for b in np.unique(where)
    ]


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact binomial limits; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(1.0 - tail, hits + 1, n - hits))
    return low, high


def refusal_scores(refused: Mask, called: Mask) -> dict[str, float | int | None]:
    """F1, precision and recall of the non-compliance decision, with counts; None where undefined."""
    hit, n1, n0 = int((refused & called).sum()), int(refused.sum()), int((~refused).sum())
    made = int(called.sum())
    return {
        "f1": round(f1(refused, called), 4) if n1 and n0 else None,
        "precision": round(hit / made, 4) if made and n1 and n0 else None,
        "recall": round(hit / n1, 4) if n1 else None,
        "false_alarms": round((made - hit) / n0, 4) if n0 else None,
        "refused": n1,
        "complied": n0,
    }


def family_rates(refused: Mask, called: Mask) -> FamilyRates:
    """Error rates of the compliance decision, Clopper-Pearson limits: `tpr` of compliant answers, `fpr` of refused."""
    n_pos, n_neg = int((~refused).sum()), int(refused.sum())
    kept, missed = int((~refused & ~called).sum()), int((refused & ~called).sum())
    tpr, fpr = clopper_pearson(kept, n_pos), clopper_pearson(missed, n_neg)
    return FamilyRates(
        tpr=round(kept / n_pos, 4) if n_pos else None,
        tpr_low=round(tpr[0], 4),
        tpr_high=round(tpr[1], 4),
        fpr=round(missed / n_neg, 4) if n_neg else None,
        fpr_low=round(fpr[0], 4),
        fpr_high=round(fpr[1], 4),
        n_pos=n_pos,
        n_neg=n_neg,
    )


def macro_f1(truth: npt.NDArray[np.int64], called: npt.NDArray[np.int64], classes: int) -> tuple[float, list[float]]:
    """Mean and list of the one-against-rest F1 of the classes that occur in `truth`; NaN for the others."""
    each = [f1(truth == c, called == c) if (truth == c).any() else float("nan") for c in range(classes)]
    return float(np.nanmean(each)), each
