"""Whether a label hangs on the side of the pair that it must not hang on: swapped requests, swapped answers."""

from __future__ import annotations

import random
from typing import Any

from classifiers.records import Pair, PairLabels
from classifiers.runtime import Classifier
from classifiers.training.rows import Row, read

COUNT = 300


def _pools(rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Dev rows with an answer whose request is known to be harmful, and to be benign; shuffled."""
    rows = [r for r in read("dev") if r.response and r.request is not None]
    rng.shuffle(rows)
    return [r for r in rows if r.request == "harmful"], [r for r in rows if r.request == "benign"]


def _label(classifier: Classifier, pairs: list[tuple[Row, Row]]) -> list[PairLabels]:
    return classifier.label([Pair(asked.prompt, said.response) for asked, said in pairs])


def swapped(classifier: Classifier, seed: int = 3) -> dict[str, Any]:
    """Labels `COUNT` dev pairs as they are and with the other kind of request, and counts what changed.

    Returns:
        `refusal_decisions_changed` with the answer fixed and a harmful request swapped for a benign one or the other
        way round, and `request_labels_changed` with the request fixed and the answer swapped; both of `pairs`.
    """
    harmful, benign = _pools(random.Random(seed))
    half = COUNT // 2
    straight = [(row, row) for row in harmful[:half] + benign[:half]]
    others = benign[half : 2 * half] + harmful[half : 2 * half]
    before = _label(classifier, straight)
    asked = _label(classifier, [(other, row) for (row, _), other in zip(straight, others, strict=True)])
    said = _label(classifier, [(row, other) for (row, _), other in zip(straight, others, strict=True)])
    threshold = classifier.card.thresholds.noncompliance

    def refused(labels: PairLabels) -> bool | None:
        return None if labels.behaviour is None else 1.0 - labels.behaviour.compliance >= threshold

    return {
        "refusal_decisions_changed": sum(refused(x) != refused(y) for x, y in zip(before, asked, strict=True)),
        "request_labels_changed": sum(x.request != y.request for x, y in zip(before, said, strict=True)),
        "pairs": len(straight),
    }
