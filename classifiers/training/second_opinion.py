"""A second opinion on answers that a judge model labelled: what a plain model makes of them, learned from the others.

Judges contradict themselves: of two answers to one request that nearly agree in their words (cosine above 0.8), one
pair in nine carries different verdicts. A model of words alone, fitted on the other requests' answers, gives each
answer the probabilities that answers like it get. The ensemble (`teach.py`) takes it as one more voice on these rows:
it knows the judge's habits by subject and words better than the encoders do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers.heads import BEHAVIOURS
from classifiers.training.kept import kept
from classifiers.training.readings import behaviour_of
from classifiers.training.rows import Row, key_of, read

JUDGE = "llm-judge"
VERDICTS = BEHAVIOURS[:3]
"""What a judge may say: all behaviours but `degenerate`."""
FOLDS = 10


def word_weights() -> Any:
    """scikit-learn's TF-IDF of words and word pairs, not yet fitted."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, max_features=200_000)


def cross_fitted(
    texts: Sequence[str], target: npt.NDArray[np.int64], groups: Sequence[str], folds: int = FOLDS
) -> npt.NDArray[np.float64]:
    """Class probabilities of each text by a model that saw no text of its group; shape (n, classes of `target`).

    Logistic regression over TF-IDF of words and word pairs. Groups are the requests: a model that saw another answer to
    the same request would repeat that one's verdict.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    found = np.zeros((len(texts), int(target.max()) + 1))
    for learn, tell in GroupKFold(folds).split(texts, target, groups):
        vectoriser = word_weights()
        features = vectoriser.fit_transform([texts[i] for i in learn])
        model = LogisticRegression(C=4.0, max_iter=1000).fit(features, target[learn])
        found[tell] = model.predict_proba(vectoriser.transform([texts[i] for i in tell]))
    return found


def judged(rows: Sequence[Row]) -> list[Row]:
    """The rows that have an answer and a judge model's verdict on it."""
    return [r for r in rows if r.label_by == JUDGE and behaviour_of(r) in VERDICTS and r.response]


@cache
def word_opinions() -> dict[str, tuple[float, float, float]]:
    """For the id of each judged training row: probabilities of refusal, partial and compliance."""
    rows = judged(read("train"))
    target = np.array([VERDICTS.index(behaviour_of(r) or "") for r in rows], dtype=np.int64)
    texts, groups = [r.response or "" for r in rows], [key_of(r.prompt) for r in rows]
    inputs = (str(FOLDS), *texts, *groups, *(behaviour_of(r) or "" for r in rows))
    found = kept("opinions", inputs, lambda: cross_fitted(texts, target, groups))
    return {row.id: (float(p[0]), float(p[1]), float(p[2])) for row, p in zip(rows, found, strict=True)}
