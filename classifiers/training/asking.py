"""Asks a network in training about texts: logits, or what its heads read, in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from classifiers.heads import HEADS
from classifiers.runtime import ANSWER_TYPE
from classifiers.training.batches import pad, sequences
from classifiers.training.devset import Logits
from classifiers.training.network import Network, tokenizer

Floats = npt.NDArray[np.float32]
ROWS = 256
"""Texts that are asked about at once."""


def _over(texts: Sequence[str], kind: int, what: Callable[..., torch.Tensor], width: int, device: str) -> Floats:
    """What `what` makes of each text, (n, width), texts of like length together."""
    rows = sequences(texts, tokenizer(), answers=kind == ANSWER_TYPE)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = np.zeros((len(rows), width), dtype=np.float32)
    for start in range(0, len(order), ROWS):
        some = order[start : start + ROWS]
        found[some] = what(*(t.to(device) for t in pad([rows[i] for i in some], kind))).float().cpu().numpy()
    return found


def logits_of(network: Network, device: str) -> Logits:
    """Asks a network for logits, on a device, without dropout."""
    network = network.to(device).float().eval()

    @torch.inference_mode()
    def logits(texts: Sequence[str], kind: int) -> Floats:
        return _over(texts, kind, network, HEADS, device)

    answer: Logits = logits
    return answer


@torch.inference_mode()
def pooled_of(network: Network, device: str, texts: Sequence[str], kind: int) -> Floats:
    """What a network's heads read of each text of one pass (`kind`), (n, 768), without dropout."""
    network = network.to(device).float().eval()
    return _over(texts, kind, network.pooled, network.heads.in_features, device)
