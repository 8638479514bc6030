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
from classifiers.training.targets import target_of
from classifiers.windows import Window, clip, frame, visible_answer

BATCH_TOKENS = 4096
BATCH_ROWS = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step: all requests or, with `answers`, all answers; `target` is what their loss reads."""

    ids: torch.Tensor
    mask: torch.Tensor
    types: torch.Tensor
    target: torch.Tensor
    answers: bool


def sequences(
    texts: Sequence[str], tok: Tokenizer, *, answers: bool, answer_window: Window = ANSWER_WINDOW
) -> list[list[int]]:
    """Framed token sequences, as at run time unless another window is given."""
    special, window = special_tokens(tok), answer_window if answers else REQUEST_WINDOW
    clipped = [clip(visible_answer(text) if answers else text) for text in texts]
    return [frame(e.ids, window, special) for e in tok.encode_batch(clipped, add_special_tokens=False)]


class Memo:
    """Token sequences of texts that come again in the next epoch."""

    def __init__(self, tok: Tokenizer) -> None:
        self.tokenizer = tok
        self._known: dict[tuple[Window, str], list[int]] = {}

    def __call__(
        self, texts: Sequence[str], *, answers: bool, answer_window: Window = ANSWER_WINDOW
    ) -> list[list[int]]:
        """As `sequences`."""
        window = answer_window if answers else REQUEST_WINDOW
        new = [text for text in dict.fromkeys(texts) if (window, text) not in self._known]
        made = sequences(new, self.tokenizer, answers=answers, answer_window=answer_window)
        self._known.update(zip(((window, text) for text in new), made, strict=True))
        return [self._known[window, text] for text in texts]


def pad(rows: Sequence[Sequence[int]], kind: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and types of one batch."""
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask, torch.full_like(ids, kind)


def groups_of(lengths: Sequence[int], rng: random.Random, tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """Random batches of like length: lengths are jittered before sorting, so that batches differ by epoch.

    Args:
        lengths: tokens of each row.
        rng: draws the jitter.
        tokens: most tokens of a batch, padding included; rows are limited in proportion.
    """
    most = BATCH_ROWS * tokens // BATCH_TOKENS
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] * rng.uniform(0.85, 1.15))
    groups: list[list[int]] = []
    group: list[int] = []
    widest = 0
    for i in order:
        widest = max(widest, lengths[i])
        if group and (widest * (len(group) + 1) > tokens or len(group) >= most):
            groups.append(group)
            group, widest = [], lengths[i]
        group.append(i)
    return [*groups, group] if group else groups


def epoch(
    requests: Sequence[Request],
    answers: Sequence[Answer],
    memo: Memo,
    seed: int,
    *,
    window: Window = ANSWER_WINDOW,
    share: float = 0.5,
    tokens: int = BATCH_TOKENS,
) -> list[Batch]:
    """All batches of one epoch, request and answer batches shuffled together.

    Args:
        requests: examples of the request pass.
        answers: examples of the answer pass.
        memo: makes tokens.
        seed: draws the batches and their order.
        window: what is read of answers.
        share: part of the ensemble's opinion in a target that has a label too.
        tokens: most tokens of a batch.
    """
    rng = random.Random(seed)
    found: list[Batch] = []
    for examples, kind in ((requests, REQUEST_TYPE), (answers, ANSWER_TYPE)):
        rows = memo([e.text for e in examples], answers=kind == ANSWER_TYPE, answer_window=window)
        for group in groups_of([len(r) for r in rows], rng, tokens):
            target = torch.tensor([target_of(examples[i], share) for i in group])
            found.append(Batch(*pad([rows[i] for i in group], kind), target, kind == ANSWER_TYPE))
    rng.shuffle(found)
    return found
