"""A fixed tenth of dev, small enough for a test to score: its figures stand in the card beside those of all of dev."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from classifiers.runtime import Classifier
from classifiers.training.devset import dev_answers, dev_prompts
from classifiers.training.evaluate import core
from classifiers.training.measure import auc, refusal_scores
from classifiers.training.requests import dev_requests
from classifiers.training.rows import Row
from classifiers.training.scored import Scored, logits_of

ONE_IN = 10
MARGIN = 0.01
"""How far a recomputed figure of the sample may lie from the card's: other CPUs round a few logits differently."""
FULL_MARGIN = 0.04
"""How far the sample's figures may lie from those of all of dev: twice the standard error of an F1 of 0.93."""


def sampled(row: Row) -> bool:
    """Whether a dev row is in the sample."""
    return zlib.crc32(row.id.encode()) % ONE_IN == 0


def sample_of(scored: Scored) -> dict[str, Any]:
    """The sample's figures from answers and requests that were scored anyway."""
    answers = np.array([sampled(row) for row in scored.a.rows])
    asked = np.array([sampled(row) for row in scored.q.rows])
    keep = answers & core(scored.a.rows, scored.a.behaviour)
    refused = scored.a.behaviour != 2
    given = answers & ~np.isnan(scored.a.harm)
    known = asked & ~np.isnan(scored.q.harm)
    figures = refusal_scores(refused[keep], scored.called[keep])
    return {
        "one_in": ONE_IN,
        "answers": int(keep.sum()),
        "refusal_f1": figures["f1"],
        "refusal_false_alarms": figures["false_alarms"],
        "response_harm_auc": round(
            auc(scored.a.harm[given] == 1.0, scored.heads.response_harm(scored.a.logits)[given]), 4
        ),
        "requests": int(known.sum()),
        "request_harm_auc": round(auc(scored.q.harm[known] == 1.0, scored.heads.harm(scored.q.logits)[known]), 4),
    }


def score_sample(classifier: Classifier) -> dict[str, Any]:
    """Scores the sample alone: about a minute less than all of dev."""
    logits = logits_of(classifier)
    kept = [one for one in dev_requests() if sampled(one[0])]
    return sample_of(Scored(classifier, dev_prompts(logits, kept), dev_answers(logits, only=sampled, made=0)))
