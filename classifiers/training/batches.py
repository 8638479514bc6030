"""Token batches for training: one pass a batch, rows of like length together, targets with a weight for each head."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from classifiers.training.answers import Answer
from classifiers.training.network import ANSWER_WINDOW, REQUEST_WINDOW, special_tokens
from classifiers.training.requests import Request
from classifiers.windows import Window, clip, frame, visible_answer

BATCH_TOKENS = 4096
BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step; `examples` are all requests or all answers."""

    ids: torch.Tensor
    mask: torch.Tensor
    types: torch.Tensor
    examples: Sequence[Request] | Sequence[Answer]


def sequences(
    texts: Sequence[str], tok: Tokenizer, *, answers: bool, answer_window: Window = ANSWER_WINDOW
) -> list[list[int]]:
    """Framed token sequences, as at run time unless another window is given."""
    special, window = special_tokens(tok), answer_window if answers else REQUEST_WINDOW
    clipped = [clip(visible_answer(text) if answers else text) for text in texts]
    return [frame(e.ids, window, special) for e in tok.encode_batch(clipped, add_special_tokens=False)]


def pad(rows: Sequence[Sequence[int]], kind: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and types of one batch."""
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask, torch.full_like(ids, kind)


def _groups(lengths: Sequence[int], rng: random.Random) -> list[list[int]]:
    """Random batches of like length: lengths are jittered before sorting, so that batches differ by epoch."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] * rng.uniform(0.85, 1.15))
    groups: list[list[int]] = []
    group: list[int] = []
    widest = 0
    for i in order:
        widest = max(widest, lengths[i])
        if group and (widest * (len(group) + 1) > BATCH_TOKENS or len(group) >= BATCH_ROWS):
            groups.append(group)
            group, widest = [], lengths[i]
        group.append(i)
    return [*groups, group] if group else groups


def epoch(
    requests: Sequence[Request], answers: Sequence[Answer], tok: Tokenizer, seed: int, window: Window = ANSWER_WINDOW
) -> list[Batch]:
    """All batches of one epoch, request and answer batches shuffled together; `window` is what is read of answers."""
    rng = random.Random(seed)
    found: list[Batch] = []
    for examples, kind in ((requests, REQUEST_TYPE), (answers, ANSWER_TYPE)):
        rows = sequences([e.text for e in examples], tok, answers=kind == ANSWER_TYPE, answer_window=window)
        found += [
            Batch(*pad([rows[i] for i in group], kind), [examples[i] for i in group])  # type: ignore[arg-type]
            for group in _groups([len(r) for r in rows], rng)
        ]
    rng.shuffle(found)
    return found
