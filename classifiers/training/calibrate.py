"""Fits one calibration map a head on dev rows that may be used for what ships, and chooses the thresholds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from classifiers.card import Calibration, Platt, Thresholds, VectorScaling
from classifiers.heads import BEHAVIOUR, CATEGORY, HARM, Heads, given_harm, platt, scaled
from classifiers.training.devset import UNKNOWN, Answers, Requests

Floats = npt.NDArray[np.float32]
_TINY = 1e-7
FOLDS = 5


def fit_platt(logits: Floats, target: Floats) -> Platt:
    """Slope and bias of least log loss, targets smoothed as Platt (1999) does."""
    n1, n0 = float(target.sum()), float((1.0 - target).sum())
    smooth = np.where(target > 0.5, (n1 + 1.0) / (n1 + 2.0), 1.0 / (n0 + 2.0))

    def loss(x: npt.NDArray[np.float64]) -> float:
        p = np.clip(platt(logits, Platt(slope=x[0], bias=x[1])), _TINY, 1.0 - _TINY).astype(np.float64)
        return float(-(smooth * np.log(p) + (1.0 - smooth) * np.log(1.0 - p)).mean())

    slope, bias = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return Platt(slope=round(float(slope), 4), bias=round(float(bias), 4))


def fit_scaling(logits: Floats, target: npt.NDArray[np.int64], *, biased: bool) -> VectorScaling:
    """One scale and, with `biased`, one bias a class (shrunk towards zero), of least log loss."""
    classes = logits.shape[1]

    def loss(x: npt.NDArray[np.float64]) -> float:
        bias = tuple(x[1:]) if biased else (0.0,) * classes
        p = scaled(logits, VectorScaling(scale=x[0], bias=bias))[np.arange(len(target)), target]
        return float(-np.log(np.maximum(p.astype(np.float64), _TINY)).mean() + 0.002 * np.square(bias).sum())

    start = np.array([1.0] + ([0.0] * classes if biased else []))
    found = minimize(loss, start, method="Powell", options={"xtol": 1e-3, "ftol": 1e-6}).x
    bias = tuple(round(float(b), 4) for b in found[1:]) if biased else (0.0,) * classes
    return VectorScaling(scale=round(float(found[0]), 4), bias=bias)


def fit_all(
    requests: Requests, answers: Answers, rows: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
) -> Calibration:
    """All four maps, from the request rows and answer rows marked in `rows`."""
    asked, said = rows[0] & requests.trainable, rows[1] & answers.trainable
    harm, category = asked & ~np.isnan(requests.harm), asked & (requests.category != UNKNOWN)
    behaviour, given = said & (answers.behaviour != UNKNOWN), said & ~np.isnan(answers.harm)
    told = fit_scaling(answers.logits[behaviour, BEHAVIOUR], answers.behaviour[behaviour], biased=True)
    serving = given_harm(answers.logits[given], scaled(answers.logits[given, BEHAVIOUR], told))
    return Calibration(
        harm=fit_platt(requests.logits[harm, HARM.start], requests.harm[harm]),
        category=fit_scaling(requests.logits[category, CATEGORY], requests.category[category], biased=True),
        behaviour=told,
        response_harm=fit_platt(serving, answers.harm[given]),
    )


def folds(n: int, seed: int = 5) -> npt.NDArray[np.int64]:
    """Which of `FOLDS` random folds of like size each of n rows is in."""
    return np.random.default_rng(seed).permutation(n) % FOLDS


def f1(truth: npt.NDArray[np.bool_], called: npt.NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN); NaN where there is nothing to find and nothing was called."""
    hit = float((truth & called).sum())
    total = float(truth.sum() + called.sum())
    return 2.0 * hit / total if total else float("nan")


def best_threshold(
    truth: npt.NDArray[np.bool_], scores: Floats, groups: npt.NDArray[np.str_], *, careful: bool = False
) -> float:
    """Threshold of the best mean F1 over groups that hold both kinds: the middle of the plateau within 0.002 of it.

    With `careful` its upper end, where the fewest are called wrongly.
    """
    grid = np.round(np.arange(0.10, 0.91, 0.02), 2)
    both = [g for g in np.unique(groups) if 0 < truth[groups == g].mean() < 1]
    means = np.array([np.mean([f1(truth[groups == g], scores[groups == g] >= t) for g in both]) for t in grid])
    plateau = grid[means >= means.max() - 0.002]
    return float(np.round(plateau[-1] if careful else np.median(plateau), 2))


def choose(requests: Requests, answers: Answers, calibration: Calibration) -> Thresholds:
    """Thresholds from dev rows that may be used for what ships.

    harm: the lowest of at least 0.2 at which at most 1.5 % of AlpacaEval's prompts pass; answer_pass: the harm below
    which only 0.5 % of harmful prompts lie, at most a quarter of the harm threshold; noncompliance by best F1 over all
    answers (the mean over sources would let 174 of CoCoNot's decide a quarter of it, and a source of four refusals in
    five pull it down), where that leaves a choice with the fewest complying answers called refused, since those hide an
    un-aligned model; response_harm by best mean F1 over sources.
    """
    heads = Heads(calibration)
    harm, usable = heads.harm(requests.logits), requests.trainable
    plain = {"tatsu-lab/alpaca_eval", "andyrdt/refusal_direction"}  # both give AlpacaEval prompts
    ordinary = np.array([r.source in plain for r in requests.rows]) & (requests.harm == 0.0)
    threshold = max(0.2, float(np.quantile(harm[ordinary], 0.985, method="higher")) + 1e-3)
    low = float(np.quantile(harm[usable & (requests.harm == 1.0)], 0.005))
    said = answers.trainable & (answers.behaviour != UNKNOWN)
    sources = np.array([r.source for r in answers.rows])
    refused = 1.0 - heads.behaviour(answers.logits)[:, 2]
    given = answers.trainable & ~np.isnan(answers.harm)
    return Thresholds(
        harm=round(min(threshold, 0.6), 3),
        answer_pass=round(min(low, threshold / 4.0), 4),
        noncompliance=best_threshold(
            answers.behaviour[said] != 2, refused[said], np.full(said.sum(), "all"), careful=True
        ),
        response_harm=best_threshold(
            answers.harm[given] == 1.0, heads.response_harm(answers.logits)[given], sources[given]
        ),
    )
