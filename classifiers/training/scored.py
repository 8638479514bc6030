"""The shipped artefact's logits, probabilities and decisions on dev, through the run time alone (no torch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classifiers.heads import Heads
from classifiers.records import Pair
from classifiers.runtime import ANSWER_TYPE, Classifier
from classifiers.training.devset import Answers, Floats, Logits, Requests, dev_answers, dev_prompts
from classifiers.training.evaluate import COMPLIANCE
from classifiers.training.rows import Row


def logits_of(classifier: Classifier) -> Logits:
    """A function from texts and a pass to logits, by an artefact's own tokenizer, windows and session."""

    def logits(texts: Sequence[str], kind: int) -> Floats:
        sequences = (
            classifier.answer_sequences(texts)
            if kind == ANSWER_TYPE
            else classifier.request_sequences([Pair(text, None) for text in texts])
        )
        return classifier.encoder.logits(sequences, kind)

    return logits


@dataclass(frozen=True, slots=True)
class Scored:
    """Dev with an artefact's logits.

    Attributes:
        classifier: the artefact.
        q: requests.
        a: answers.
    """

    classifier: Classifier
    q: Requests
    a: Answers

    @property
    def heads(self) -> Heads:
        """The artefact's calibration."""
        return Heads(self.classifier.card.runtime.calibration)

    @property
    def called(self) -> npt.NDArray[np.bool_]:
        """Answers read as not compliant."""
        refused = 1.0 - self.heads.behaviour(self.a.logits)[:, COMPLIANCE]
        return refused >= self.classifier.card.thresholds.noncompliance


def score_dev(classifier: Classifier, *, only: Callable[[Row], bool] = lambda _: True, made: int = 160) -> Scored:
    """Runs dev through an artefact.

    Args:
        classifier: the artefact.
        only: rows whose answers are taken; requests are all taken.
        made: how many degenerate answers are added.
    """
    logits = logits_of(classifier)
    return Scored(classifier, dev_prompts(logits), dev_answers(logits, only=only, made=made))
