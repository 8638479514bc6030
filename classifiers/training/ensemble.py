"""Who the ensemble is, which texts each of it is asked about, and how what they say becomes one opinion."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifiers.heads import BEHAVIOUR, CATEGORY, HARM, RESPONSE_HARM, sigmoid, softmax
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from classifiers.training.opinions import ANSWER_WIDTH, FILE, REQUEST_WIDTH, save
from classifiers.training.rows import SHORTEST_PROMPT, Row, key_of, read
from classifiers.training.second_opinion import word_opinions

Floats = npt.NDArray[np.float32]
FOLDS = 3
ENCODERS = ("all-MiniLM-L6-v2", "bge-small-en-v1.5")
"""The shipped network's encoder, and one of twice its depth."""
WORDS = "TF-IDF + logistic regression"
SAID = "said.npz"
"""Logits that a teacher leaves in its folder: `answers` and `requests` of its fold, in the order of the rows."""


def fold_of(group: str, folds: int) -> int:
    """The fold in which a group of texts is left out; case and blanks do not count."""
    return zlib.crc32(key_of(group).encode()) % folds


@dataclass(frozen=True, slots=True)
class Teacher:
    """One encoder, fitted without one fold."""

    encoder: str
    fold: int

    def folder(self, work: Path) -> Path:
        """Where its weights and its answers stand."""
        return work / f"{self.encoder}-{self.fold}"


def teachers() -> Iterator[Teacher]:
    """All of the ensemble."""
    return (Teacher(encoder, fold) for encoder in ENCODERS for fold in range(FOLDS))


def asked(rows: Sequence[Row], fold: int | None = None) -> tuple[list[int], list[int]]:
    """Indices of the rows whose answer, and of those whose request, belongs to a fold (or to any).

    Rows that may only evaluate are left out, and so are answers too short to judge.
    """
    fits = [i for i, r in enumerate(rows) if r.may_ship and fold in {None, fold_of(r.prompt, FOLDS)}]
    answers = [i for i in fits if rows[i].answered]
    return answers, [i for i in fits if len(key_of(rows[i].prompt)) >= SHORTEST_PROMPT]


def probabilities(logits: Floats, kind: int) -> Floats:
    """What `opinions` keeps of logits."""
    if kind == ANSWER_TYPE:
        return np.concatenate((softmax(logits[:, BEHAVIOUR]), sigmoid(logits[:, RESPONSE_HARM])), axis=1)
    return np.concatenate((sigmoid(logits[:, HARM]), softmax(logits[:, CATEGORY])), axis=1)


def _with_words(rows: Sequence[Row], answers: Floats) -> None:
    """Gives the model of words half of the voice on behaviour where a judge labelled."""
    by_words = word_opinions()
    told = np.array([i for i, row in enumerate(rows) if row.id in by_words and not np.isnan(answers[i, 0])])
    words = np.array([(*by_words[rows[i].id], 0.0) for i in told], dtype=np.float32)
    answers[told, :-1] = (answers[told, :-1] + words) / 2


def merge(work: Path, target: Path = FILE) -> Path:
    """Averages what the teachers say and writes it to `target`, which is returned."""
    rows = read("train")
    sums = {ANSWER_TYPE: np.zeros((len(rows), ANSWER_WIDTH)), REQUEST_TYPE: np.zeros((len(rows), REQUEST_WIDTH))}
    counts = {kind: np.zeros(len(rows)) for kind in sums}
    for teacher in teachers():
        with np.load(teacher.folder(work) / SAID, allow_pickle=False) as said:
            for kind, where, name in zip(
                (ANSWER_TYPE, REQUEST_TYPE), asked(rows, teacher.fold), ("answers", "requests"), strict=True
            ):
                sums[kind][where] += probabilities(said[name].astype(np.float32), kind)
                counts[kind][where] += 1
    means = {}
    for kind, total in sums.items():
        with np.errstate(invalid="ignore"):
            means[kind] = (total / counts[kind][:, None]).astype(np.float32)
    _with_words(rows, means[ANSWER_TYPE])
    save(target, rows, means[ANSWER_TYPE], means[REQUEST_TYPE], (*ENCODERS, WORDS))
    return target
