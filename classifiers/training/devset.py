"""The dev rows in the form in which calibration and evaluation use them, with the logits of a network for each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from alignwatch import CATEGORIES
from classifiers.card import Languages
from classifiers.heads import BEHAVIOURS
from classifiers.readable import MIN_PROMPT, unreadable
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from classifiers.training.answers import answer_harm
from classifiers.training.degenerate import degenerates
from classifiers.training.readings import behaviour_of, read_as
from classifiers.training.requests import dev_requests
from classifiers.training.rows import Row, read

Floats = npt.NDArray[np.float32]
Logits = Callable[[Sequence[str], int], Floats]
"""Texts and the pass (request or answer) in, logits of shape (n, HEADS) out."""
UNKNOWN = -1
LANGUAGES = Languages(request=("latin",), answer=("latin",))
"""What a newly made artefact judges: the base encoder reads English, and of other scripts single signs at best."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Dev answers: rows, behaviour index (UNKNOWN where unlabelled or mapped to nothing), harm (NaN where unknown)."""

    rows: Sequence[Row]
    behaviour: npt.NDArray[np.int64]
    harm: Floats
    logits: Floats

    @property
    def trainable(self) -> npt.NDArray[np.bool_]:
        """Rows whose licence lets them choose a number that ships: calibration and thresholds use only these."""
        return np.array([row.may_ship for row in self.rows])


@dataclass(frozen=True, slots=True)
class Requests:
    """Dev requests: rows, harm (NaN where unknown), category index of exactly mapped harmful ones (else UNKNOWN)."""

    rows: Sequence[Row]
    harm: Floats
    category: npt.NDArray[np.int64]
    logits: Floats

    @property
    def trainable(self) -> npt.NDArray[np.bool_]:
        """As for answers; and only those that the run time judges."""
        return np.array([row.may_ship for row in self.rows]) & self.judged

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Rows in a language that the run time judges: it says `unlabelable` to the others."""
        return np.array([unreadable(row.prompt, LANGUAGES.request, minimum=MIN_PROMPT) is None for row in self.rows])


def _synthetic(rows: Sequence[Row], count: int) -> list[Row]:
    """Degenerate answers made from dev answers, since no source labels any."""
    plain = [r for r in rows if r.source == "tatsu-lab/alpaca_eval" and r.behaviour == "compliance"]
    good = [r.response for r in plain if r.response]
    if not good:
        return []
    made = degenerates(good, random.Random(97), count)
    blank = replace(plain[0], source="degenerate (made)", licence="own", family="made", prompt="", label_by="made")
    blank = replace(blank, behaviour="degenerate", request=None, response_harmful=False, category=None)
    return [replace(blank, id=f"degenerate-{i}", response=text) for i, text in enumerate(made)]


def indices(rows: Sequence[Row], of: Callable[[Row], str | None]) -> npt.NDArray[np.int64]:
    """Index of each row's behaviour, UNKNOWN where it has none."""
    index = {name: i for i, name in enumerate(BEHAVIOURS)}
    return np.array([index.get(of(row) or "", UNKNOWN) for row in rows], dtype=np.int64)


def dev_answers(logits: Logits, *, only: Callable[[Row], bool] = lambda _: True, made: int = 160) -> Answers:
    """All dev answers that some head has a target for, plus `made` degenerate ones."""
    rows = [r for r in read("dev") if r.answered and only(r)]
    rows = [r for r in rows if read_as(r) is not None or answer_harm(r) is not None]
    rows += _synthetic(rows, made)
    behaviour = indices(rows, behaviour_of)
    harm = np.array([np.nan if (h := answer_harm(r)) is None else h for r in rows], dtype=np.float32)
    return Answers(rows, behaviour, harm, logits([r.response or "" for r in rows], ANSWER_TYPE))


def dev_prompts(logits: Logits, pairs: Sequence[tuple[Row, float | None]] | None = None) -> Requests:
    """All distinct dev prompts, or the ones given with their harm."""
    pairs = dev_requests() if pairs is None else pairs
    rows = [row for row, _ in pairs]
    harm = np.array([np.nan if h is None else h for _, h in pairs], dtype=np.float32)
    index = {name: i for i, name in enumerate(CATEGORIES)}
    category = np.array(
        [
            index.get(r.category.category, UNKNOWN) if r.category and r.category.exact and h == 1.0 else UNKNOWN
            for r, h in pairs
        ],
        dtype=np.int64,
    )
    return Requests(rows, harm, category, logits([r.prompt for r in rows], REQUEST_TYPE))
