"""Everything that the card says about labels: by source, label origin, family, category, language and length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alignwatch import CATEGORIES
from classifiers.card import Calibration, FamilyRates, Thresholds
from classifiers.heads import BEHAVIOURS, Heads
from classifiers.training.calibrate import FOLDS, fit_all, folds
from classifiers.training.devset import UNKNOWN, Answers, Requests, indices
from classifiers.training.measure import (
    auc,
    error_if_perfect,
    expected_calibration_error,
    family_rates,
    macro_f1,
    refusal_scores,
    reliability,
)
from classifiers.training.readings import readings, stated_behaviour
from classifiers.training.rows import Row

Mask = npt.NDArray[np.bool_]
COMPLIANCE = BEHAVIOURS.index("compliance")
DNA = "kunishou/do-not-answer-ja"
COCONOT = "allenai/noncompliance"
ORDINARY = ("tatsu-lab/alpaca_eval", "andyrdt/refusal_direction")
"""Sources whose benign prompts are ordinary requests."""
LENGTHS = (("up to 60 words", 0, 60), ("61 to 200", 61, 200), ("over 200", 201, 1 << 30))


def core(rows: Sequence[Row], behaviour: npt.NDArray[np.int64]) -> Mask:
    """Rows of the main figure: refusal or partial against compliance; of Do-Not-Answer only those two actions."""
    plain = np.array([r.source != DNA or r.behaviour in {"refusal", "compliance"} for r in rows])
    made = np.array([r.label_by == "made" for r in rows])
    found: Mask = (behaviour != UNKNOWN) & plain & ~made
    return found


def group(
    rows: Sequence[Row],
    of: Callable[[Row], str | None],
    score: Callable[[Mask], Any],
    least: int = 1,
    of_rows: Mask | None = None,
) -> dict[str, Any]:
    """A score for each group of rows (of those in `of_rows` alone) that has at least `least` members, by name."""
    kept = [True] * len(rows) if of_rows is None else of_rows
    names = [of(row) if keep else None for row, keep in zip(rows, kept, strict=True)]
    found: dict[str, Any] = {}
    for name in sorted({n for n in names if n is not None}):
        mask = np.array([n == name for n in names])
        if mask.sum() >= least:
            found[name] = score(mask)
    return found


def origin(row: Row) -> str:
    """Who labelled the answer: `human`, `judged` by a model or a rule, or `read` by us where a source says nothing."""
    return "human" if row.label_by == "human" else "judged" if row.label_by else "read"


def _length(row: Row) -> str:
    words = len((row.response or "").split())
    return next(name for name, low, high in LENGTHS if low <= words <= high)


def answers_report(a: Answers, called: Mask) -> dict[str, Any]:
    """Refusal-or-partial against compliance, in every cut; `called` marks the answers read as not compliant."""
    keep = core(a.rows, a.behaviour)
    rows = [r for r, k in zip(a.rows, keep, strict=True) if k]
    refused, said = a.behaviour[keep] != COMPLIANCE, called[keep]

    def score(mask: Mask) -> dict[str, Any]:
        return refusal_scores(refused[mask], said[mask])

    return {
        "overall": score(np.ones(len(rows), dtype=bool)),
        "by_origin": group(rows, origin, score),
        "by_source": group(rows, lambda r: r.source, score),
        "by_family": group(rows, lambda r: r.family, score, least=20),
        "by_state": group(rows, lambda r: r.state, score),
        "by_length": group(rows, _length, score),
        "by_category": group(rows, lambda r: r.category.category if r.category else None, score, least=20),
        "as_stated": _as_stated(a, called),
        "do_not_answer_actions": _actions(a, called),
    }


def _as_stated(a: Answers, called: Mask) -> dict[str, Any]:
    """Scores by what the sources state of answers that were read anew: of all judged ones, and of those alone.

    `the readings` scores what was read as if it were a classifier: what any reader who holds to the definitions gets.
    """
    stated = indices(a.rows, stated_behaviour)
    keep = core(a.rows, stated) & np.array([origin(r) == "judged" for r in a.rows])
    read = keep & np.array([r.id in readings() for r in a.rows])
    sure = read & (a.behaviour != UNKNOWN)
    return {
        "judged": refusal_scores(stated[keep] != COMPLIANCE, called[keep]),
        "read anew": refusal_scores(stated[read] != COMPLIANCE, called[read]),
        "the readings": refusal_scores(stated[sure] != COMPLIANCE, a.behaviour[sure] != COMPLIANCE),
    }


def _actions(a: Answers, called: Mask) -> dict[str, Any]:
    """Share of each Do-Not-Answer action that is read as not compliant, by model too."""
    dna = np.array([r.source == DNA for r in a.rows])
    rows = [r for r, k in zip(a.rows, dna, strict=True) if k]
    said = called[dna]

    def share(mask: Mask) -> dict[str, float | int]:
        return {"noncompliant": round(float(said[mask].mean()), 4), "n": int(mask.sum())}

    return {
        "all": group(rows, lambda r: r.behaviour, share),
        "rebuttal_by_model": group(rows, lambda r: r.family if r.behaviour == "rebuttal" else None, share),
    }


def confusion(a: Answers, predicted: npt.NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Counts: true behaviour by predicted behaviour."""
    return {
        t: {p: int(((a.behaviour == i) & (predicted == j)).sum()) for j, p in enumerate(BEHAVIOURS)}
        for i, t in enumerate(BEHAVIOURS)
    }


def harm_report(a: Answers, probability: npt.NDArray[np.float32]) -> dict[str, Any]:
    """AUC of answer harm: all, by source, and on un-aligned models' answers (all of them, those to harmful requests).

    `unaligned_against_ordinary`: their harmful answers against the same families' answers to benign requests.
    """
    known = ~np.isnan(a.harm)
    state = np.array([r.state == "unaligned" for r in a.rows])
    asked = np.array([r.request == "harmful" for r in a.rows])
    families = {r.family for r in a.rows if r.state == "unaligned"}
    ordinary = np.array([r.family in families and r.request == "benign" for r in a.rows])

    def score(mask: Mask) -> dict[str, Any]:
        mask = mask & known
        truth = a.harm[mask] == 1.0
        return {
            "auc": round(auc(truth, probability[mask]), 4) if truth.any() and not truth.all() else None,
            "harmful": int(truth.sum()),
            "harmless": int((~truth).sum()),
        }

    return {
        "all": score(known),
        "unaligned": score(state),
        "unaligned_harmful_requests": score(state & asked),
        "unaligned_against_ordinary": score((state & (a.harm == 1.0)) | (ordinary & (a.harm == 0.0))),
        "by_source": group(a.rows, lambda r: r.source, score, least=30),
    }


def _versus(q: Requests, harm: npt.NDArray[np.float32]) -> dict[str, float]:
    """AUC of request harm: against ordinary traffic, and look-alikes against requests as mild as they are."""
    source = np.array([r.source for r in q.rows])
    harmful, benign = q.judged & (q.harm == 1.0), q.judged & (q.harm == 0.0)
    ordinary = benign & np.isin(source, ORDINARY)
    alike = benign & (source == COCONOT)
    hard = harmful & np.isin(source, [COCONOT, DNA])

    def versus(positive: Mask, negative: Mask) -> float:
        both = positive | negative
        return round(auc(positive[both], harm[both]), 4)

    return {
        "auc_ordinary": versus(harmful & ~hard, ordinary),
        "auc_look_alikes": versus(hard, alike),
        "auc_look_alikes_within_coconut": versus(hard & (source != DNA), alike),
        "auc_all": versus(harmful, benign),
    }


def requests_report(q: Requests, heads: Heads, thresholds: Thresholds) -> dict[str, Any]:
    """AUC of request harm on ordinary traffic and on look-alikes; category macro-F1; by language and source.

    Everything is over the requests that the run time judges.
    """
    harm = heads.harm(q.logits)
    harmful, benign = q.judged & (q.harm == 1.0), q.judged & (q.harm == 0.0)
    known = q.judged & (q.category != UNKNOWN)
    guessed = heads.category(q.logits).argmax(axis=1)
    macro, each = macro_f1(q.category[known], guessed[known], len(CATEGORIES))
    own = known & np.array([r.source != DNA for r in q.rows])

    def passed(rows: Mask) -> dict[str, Any]:
        def share(mask: Mask) -> dict[str, float | int | None]:
            mask = mask & rows
            rate = round(float((harm[mask] >= thresholds.harm).mean()), 4) if mask.any() else None
            return {"sensitive": rate, "n": int(mask.sum())}

        return group(q.rows, lambda r: r.source, share, of_rows=rows)

    return {
        **_versus(q, harm),
        "category_macro_f1": round(macro_f1(q.category[own], guessed[own], len(CATEGORIES))[0], 4),
        "category_macro_f1_with_do_not_answer": round(macro, 4),
        "category_f1": {c: None if np.isnan(v) else round(v, 4) for c, v in zip(CATEGORIES, each, strict=True)},
        "category_accuracy_by_language": _by_language(q, known, guessed),
        "sensitive_harmful": passed(harmful),
        "sensitive_benign": passed(benign),
    }


def _by_language(q: Requests, known: Mask, guessed: npt.NDArray[np.int64]) -> dict[str, Any]:
    def accuracy(mask: Mask) -> dict[str, float | int]:
        mask = mask & known
        return {"accuracy": round(float((guessed[mask] == q.category[mask]).mean()), 4), "n": int(mask.sum())}

    return group(q.rows, lambda r: r.language, accuracy, of_rows=known)


def calibration_report(q: Requests, a: Answers) -> dict[str, Any]:
    """Expected calibration error of each head, cross-fitted.

    Maps are fitted on all folds of dev but one and applied to that one; the error is taken over all rows so predicted.
    `if_perfect`: mean and 95th percentile of the error of maps that are exactly right, on as many rows.
    """
    asked, said = folds(len(q.rows)), folds(len(a.rows))
    found: dict[str, list[tuple[Mask, Any]]] = defaultdict(list)
    for fold in range(FOLDS):
        h = Heads(fit_all(q, a, (asked != fold, said != fold)))
        for name, truth, p in _calibrated(q, a, h, (asked == fold) & q.trainable, (said == fold) & a.trainable):
            found[name].append((truth, p))
    ece, bins, chance = {}, {}, {}
    for name, parts in found.items():
        truth, p = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        ece[name], bins[name] = round(expected_calibration_error(truth, p), 4), reliability(truth, p)
        mean, high = error_if_perfect(p)
        chance[name] = {"mean": round(mean, 4), "high": round(high, 4), "n": len(p)}
    return {"ece": ece, "if_perfect": chance, "bins": bins}


def _calibrated(q: Requests, a: Answers, h: Heads, ask: Mask, say: Mask) -> Iterable[tuple[str, Mask, Any]]:
    harm, category = ask & ~np.isnan(q.harm), ask & (q.category != UNKNOWN)
    behaviour, given = say & (a.behaviour != UNKNOWN), say & ~np.isnan(a.harm)
    yield "harm", q.harm[harm] == 1.0, h.harm(q.logits)[harm]
    top = h.category(q.logits)[category]
    yield "category", top.argmax(1) == q.category[category], top.max(1)
    yield "behaviour", a.behaviour[behaviour] == COMPLIANCE, h.behaviour(a.logits)[behaviour][:, COMPLIANCE]
    yield "response_harm", a.harm[given] == 1.0, h.response_harm(a.logits)[given]


def rates_of(a: Answers, called: Mask) -> tuple[dict[str, FamilyRates], FamilyRates]:
    """Error rates by family (at least 20 answers) and over all; every labelled behaviour counts, made texts do not."""
    keep = (a.behaviour != UNKNOWN) & np.array([r.label_by != "made" for r in a.rows])
    rows = [r for r, k in zip(a.rows, keep, strict=True) if k]
    refused, said = a.behaviour[keep] != COMPLIANCE, called[keep]
    families = group(rows, lambda r: r.family, lambda m: family_rates(refused[m], said[m]), least=20)
    return families, family_rates(refused, said)


def evaluate(q: Requests, a: Answers, calibration: Calibration, thresholds: Thresholds) -> dict[str, Any]:
    """The measured part of the card, without baselines, adversarial set and speed."""
    heads = Heads(calibration)
    p = heads.behaviour(a.logits)
    called = (1.0 - p[:, COMPLIANCE]) >= thresholds.noncompliance
    return {
        "answers": answers_report(a, called),
        "confusion": confusion(a, p.argmax(axis=1)),
        "response_harm": harm_report(a, heads.response_harm(a.logits)),
        "requests": requests_report(q, heads, thresholds),
        "calibration": calibration_report(q, a),
    }
