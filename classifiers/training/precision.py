"""The int8 graph against the fp32 one that it was made from: how often they decide differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers.card import Thresholds, file_digest
from classifiers.heads import Heads
from classifiers.runtime import Classifier, Encoder
from classifiers.training.devset import UNKNOWN
from classifiers.training.evaluate import COMPLIANCE
from classifiers.training.scored import Scored, score_dev

Choices = dict[str, npt.NDArray[np.generic]]


def _answers(logits: npt.NDArray[np.float32], heads: Heads, t: Thresholds) -> Choices:
    behaviour = heads.behaviour(logits)
    return {
        "complied or not": 1.0 - behaviour[:, COMPLIANCE] >= t.noncompliance,
        "behaviour of four": behaviour.argmax(axis=1),
        "harmful answer or not": heads.response_harm(logits) >= t.response_harm,
    }


def _requests(logits: npt.NDArray[np.float32], heads: Heads, t: Thresholds) -> Choices:
    harm = heads.harm(logits)
    category = heads.category(logits).argmax(axis=1)
    return {"sensitive or not": harm >= t.harm, "category or none": np.where(harm >= t.harm, category, UNKNOWN)}


def against(scored: Scored, float_graph: Path) -> dict[str, Any]:
    """Shares of dev texts on which both graphs decide alike, and the largest difference of a probability.

    Args:
        scored: dev by the int8 graph.
        float_graph: the fp32 graph, which is not shipped.
    """
    int8, heads = scored.classifier, scored.heads
    pad = int8.card.runtime.special.pad
    encoder = Encoder(float_graph, threads=2, batch_tokens=4096, pad=pad)
    exact = score_dev(Classifier(int8.card, int8.tokenizer, encoder))
    found: dict[str, Any] = {}
    t = int8.card.thresholds
    for make, a, b in ((_answers, scored.a.logits, exact.a.logits), (_requests, scored.q.logits, exact.q.logits)):
        ours, theirs = make(a, heads, t), make(b, heads, t)
        found |= {name: round(float((ours[name] == theirs[name]).mean()), 5) for name in ours}
    gap = np.abs(heads.behaviour(scored.a.logits) - heads.behaviour(exact.a.logits))
    return {
        "alike": found,
        "answers": len(scored.a.rows),
        "requests": len(scored.q.rows),
        "largest_probability_gap": round(float(gap.max()), 4),
        "mean_probability_gap": round(float(gap.mean()), 5),
        "fp32": file_digest(float_graph),
    }
