"""Losses of both passes against the targets of `targets.py`."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from classifiers.heads import BEHAVIOUR, BEHAVIOURS, CATEGORY, HARM, RESPONSE_HARM

CATEGORY_SHARE = 1.5
"""Weight of the category's loss beside that of a request's harm: fewer requests have one, and of fourteen kinds."""
BEHAVIOUR_SHARE, ANSWER_HARM_SHARE = 1.5, 0.9


def _mean(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (losses * weights).sum() / weights.sum().clamp(min=1.0)


def _binary(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")


def _soft(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * logits.log_softmax(-1)).sum(-1)


def request_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of harm plus cross-entropy of the category, each by its weight."""
    harm = _mean(_binary(logits[:, HARM], target[:, 0]), target[:, 1])
    return harm + CATEGORY_SHARE * _mean(_soft(logits[:, CATEGORY], target[:, 2:-1]), target[:, -1])


def answer_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of behaviour plus binary cross-entropy of the answer's harm, each by its weight."""
    kinds = len(BEHAVIOURS)
    behaviour = _mean(_soft(logits[:, BEHAVIOUR], target[:, :kinds]), target[:, kinds])
    harm = _mean(_binary(logits[:, RESPONSE_HARM], target[:, kinds + 1]), target[:, kinds + 2])
    return BEHAVIOUR_SHARE * behaviour + ANSWER_HARM_SHARE * harm
