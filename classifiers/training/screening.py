"""Trains the screen: logistic regression over the hashed words and word pairs that the run time reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from classifiers.screen import Hasher, Screen
from classifiers.training.measure import auc
from classifiers.training.requests import dev_requests, train_requests
from classifiers.training.rows import Row

BITS = 18
COCONOT = "allenai/noncompliance"
PASS = 0.15
"""Share of ordinary benign prompts that may pass: labelling them costs time, a miss costs precision."""


def features(prompts: list[str], bits: int = BITS) -> csr_matrix:
    """The run time's features as a sparse matrix, one row a prompt, each n-gram weighing 1 / sqrt(words)."""
    rows, counts = Hasher(bits).rows(prompts)
    owner = np.repeat(np.arange(len(prompts)), counts)
    value = np.repeat(1.0 / np.sqrt(counts), counts)
    columns = rows.astype(np.int64)
    value = np.concatenate((value, value)) * (columns != 0)
    return csr_matrix((value, (np.concatenate((owner, owner)), columns)), shape=(len(prompts), 1 << bits))


def fit_screen(*, strength: float = 12.0) -> tuple[npt.NDArray[np.int8], float, float]:
    """Weights as int8, their scale, and the bias."""
    examples = [r for r in train_requests() if r.harm is not None]
    target = np.array([r.harm for r in examples])
    weight = np.array([r.harm_weight for r in examples])
    weight[target == 0.0] *= weight[target == 1.0].sum() / weight[target == 0.0].sum()
    model = LogisticRegression(C=strength, solver="liblinear", max_iter=200)
    model.fit(features([r.text for r in examples]), target, sample_weight=weight)
    weights = model.coef_[0]
    scale = float(np.abs(weights).max() / 127.0)
    return np.round(weights / scale).astype(np.int8), scale, float(model.intercept_[0])


def _groups(rows: list[tuple[Row, float | None]]) -> dict[str, npt.NDArray[np.bool_]]:
    source = np.array([r.source for r, _ in rows])
    harm = np.array([np.nan if h is None else h for _, h in rows])
    blatant = [
        f"andyrdt/refusal_direction:{n}"
        for n in ("advbench", "harmbench_test", "harmbench_val", "tdc2023", "malicious_instruct")
    ]
    suite = "andyrdt/refusal_direction"
    alike = ["mlcommons/ailuminate", "declare-lab/red-instruct", f"{suite}:strongreject", suite]
    harmful, benign = harm == 1.0, harm == 0.0
    return {
        "blatant": harmful & np.isin(source, [*blatant, "bertiev/SimpleSafetyTests"]),
        "benchmark-like": harmful & np.isin(source, alike),
        "mild (Do-Not-Answer, CoCoNot)": harmful & np.isin(source, ["kunishou/do-not-answer-ja", COCONOT]),
        "ordinary benign": benign & np.isin(source, ["tatsu-lab/alpaca_eval", suite]),
        "benign look-alikes": benign & (source == COCONOT),
    }


def make_screen(folder: Path) -> dict[str, Any]:
    """Fits, picks the threshold on dev, writes `screen.npz`, and returns what was measured."""
    weights, scale, bias = fit_screen()
    rows = dev_requests()
    screen = Screen(weights.astype(np.float32) * np.float32(scale), bias, 0.5, "unsaved")
    scores = screen.score([row.prompt for row, _ in rows])
    groups = _groups(rows)
    threshold = float(np.quantile(scores[groups["ordinary benign"]], 1.0 - PASS))
    np.savez_compressed(
        folder / "screen.npz",
        weights=weights,
        scale=np.float32(scale),
        bias=np.float32(bias),
        threshold=np.float32(threshold),
    )
    harm = np.array([np.nan if h is None else h for _, h in rows])
    known = ~np.isnan(harm)
    return {
        "threshold": round(threshold, 4),
        "auc": round(auc(harm[known] == 1.0, scores[known]), 4),
        "hits": {
            name: {"share": round(float((scores[m] >= threshold).mean()), 4), "n": int(m.sum())}
            for name, m in groups.items()
        },
    }
