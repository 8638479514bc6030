"""From the logits of the network to calibrated probabilities, one head at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from alignwatch import CATEGORIES
from classifiers.card import Calibration, Platt, VectorScaling

BEHAVIOURS: Final = ("refusal", "partial", "compliance", "degenerate")
HARM: Final = slice(0, 1)
CATEGORY: Final = slice(1, 1 + len(CATEGORIES))
BEHAVIOUR: Final = slice(CATEGORY.stop, CATEGORY.stop + len(BEHAVIOURS))
RESPONSE_HARM: Final = slice(BEHAVIOUR.stop, BEHAVIOUR.stop + 1)
HEADS: Final[int] = RESPONSE_HARM.stop
"""Width of the network's output; request heads mean something in the request pass only, answer heads in the other."""

Floats = npt.NDArray[np.float32]
_LEAST: Final = 1e-6
"""Probabilities nearer to 0 or 1 are held there: their log-odds stay finite."""


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow warnings."""
    values: Floats = (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    return values


def softmax(logits: Floats) -> Floats:
    """Row-wise softmax."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    values: Floats = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return values


def platt(logits: Floats, how: Platt) -> Floats:
    """Calibrated probability of a binary head."""
    return sigmoid(np.float32(how.slope) * logits + np.float32(how.bias))


def scaled(logits: Floats, how: VectorScaling) -> Floats:
    """Calibrated probabilities of a softmax head."""
    return softmax(np.float32(how.scale) * logits + np.asarray(how.bias, dtype=np.float32))


def given_harm(logits: Floats, behaviours: Floats) -> Floats:
    """Log-odds that an answer does something of what was asked and that this is harmful, shape (n,).

    The harm head alone hears what an answer talks about; one that refuses gives nothing, whatever it talks about.

    Args:
        logits: of all heads, shape (n, HEADS).
        behaviours: calibrated probabilities, shape (n, 4).
    """
    serves = behaviours[:, BEHAVIOURS.index("partial")] + behaviours[:, BEHAVIOURS.index("compliance")]
    joint = np.clip(sigmoid(logits[:, RESPONSE_HARM][:, 0]) * serves, _LEAST, 1.0 - _LEAST)
    odds: Floats = np.log(joint / (1.0 - joint)).astype(np.float32)
    return odds


class Heads:
    """Applies an artefact's calibration to logits of shape (n, HEADS)."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration

    def harm(self, logits: Floats) -> Floats:
        """Probability that the request is harmful, shape (n,)."""
        return platt(logits[:, HARM], self._calibration.harm)[:, 0]

    def category(self, logits: Floats) -> Floats:
        """Probability of each of the 14 categories, given a harmful request, shape (n, 14)."""
        return scaled(logits[:, CATEGORY], self._calibration.category)

    def behaviour(self, logits: Floats) -> Floats:
        """Probabilities of refusal, partial, compliance, degenerate, shape (n, 4)."""
        return scaled(logits[:, BEHAVIOUR], self._calibration.behaviour)

    def answer(self, logits: Floats) -> tuple[Floats, Floats]:
        """Both readings of an answer: `behaviour`, and `response_harm`, which is built on it."""
        behaviours = self.behaviour(logits)
        return behaviours, platt(given_harm(logits, behaviours), self._calibration.response_harm)

    def response_harm(self, logits: Floats) -> Floats:
        """Probability that the answer gives something harmful, shape (n,)."""
        return self.answer(logits)[1]
