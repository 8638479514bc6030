"""Targets of both passes: labels, mixed with the ensemble's opinions, as one row of numbers an example."""

from __future__ import annotations

from alignwatch import CATEGORIES
from classifiers.heads import BEHAVIOURS
from classifiers.training.answers import Answer
from classifiers.training.requests import Request

UNLABELLED = 0.5
"""Weight of a target that is an opinion alone."""
REQUESTS = 0.5
"""How much of an answer's share an opinion has in a request's target: sources say what was asked more reliably."""
HARM_SMOOTHING = 0.06
CATEGORY_SMOOTHING = 0.05

Distribution = tuple[float, ...]


def mixed(
    label: Distribution | None, opinion: Distribution | None, weight: float, share: float
) -> tuple[Distribution | None, float]:
    """A target and its weight: label and opinion by `share` of the latter, either alone, or None with weight 0."""
    if label is None:
        return opinion, 0.0 if opinion is None else weight * UNLABELLED
    if opinion is None:
        return label, weight
    return tuple((1.0 - share) * a + share * b for a, b in zip(label, opinion, strict=True)), weight


def _harm(label: float | None) -> Distribution | None:
    return None if label is None else (label * (1.0 - HARM_SMOOTHING) + HARM_SMOOTHING / 2,)


def _category(index: int | None) -> Distribution | None:
    if index is None:
        return None
    kinds = len(CATEGORIES)
    return tuple((1.0 - CATEGORY_SMOOTHING) * (i == index) + CATEGORY_SMOOTHING / kinds for i in range(kinds))


def _answer(example: Answer, share: float) -> list[float]:
    opinion = example.opinion if share else None
    in_label = share if example.doubted else 0.0
    behaviour, trust = mixed(example.behaviour, opinion and opinion[:-1], example.weight, in_label)
    harm, harm_trust = mixed(_harm(example.harm), opinion and opinion[-1:], example.harm_weight, 0.0)
    return [*(behaviour or (0.0,) * len(BEHAVIOURS)), trust, *(harm or (0.0,)), harm_trust]


def _request(example: Request, share: float) -> list[float]:
    opinion, share = example.opinion if share else None, share * REQUESTS
    harm, trust = mixed(_harm(example.harm), opinion and opinion[:1], example.harm_weight, share)
    # harmless requests have no category, and a doubtful one has it by as much as it is harmful
    likely = opinion[0] if opinion and example.harm is None else float(example.harm == 1.0)
    kind_trust = example.category_weight * (1.0 if example.category is not None else likely)
    category, kind_trust = mixed(_category(example.category), opinion and opinion[1:], kind_trust, share)
    return [*(harm or (0.0,)), trust, *(category or (0.0,) * len(CATEGORIES)), kind_trust]


def target_of(example: Request | Answer, share: float) -> list[float]:
    """An example's targets and their weights, as the losses of its pass read them.

    Args:
        example: a request (harm, its weight, 14 categories, their weight) or an answer (four behaviours, their weight,
            harm, its weight).
        share: part of the ensemble's opinion in a behaviour whose label is doubted; in what a request is, `REQUESTS` of
            it, and in an answer's harm nothing. At 0 opinions count for nothing, unlabelled examples included.
    """
    return _answer(example, share) if isinstance(example, Answer) else _request(example, share)
