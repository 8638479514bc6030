"""What an ensemble of fine-tuned encoders makes of each training text, none of which saw that text or its request.

Labels contradict themselves: of two answers of one model to one request that nearly agree in their words, the judge of
the largest source gives one pair in nine contrary verdicts. Probabilities by models that were fitted on the other
requests are a steadier target, and the only one where a source says nothing (distillation from an ensemble, Hinton et
al. 2015, arXiv 1503.02531; targets mixed with predictions, Reed et al. 2014, arXiv 1412.6596). `teach.py` makes them;
the file beside this module keeps them, so that training the shipped network needs none of the ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alignwatch import CATEGORIES
from classifiers.errors import ClassifierError
from classifiers.heads import BEHAVIOURS
from classifiers.training.kept import digest_of
from classifiers.training.rows import Row, key_of, read

FILE = Path(__file__).with_name("opinions.npz")
ANSWER_WIDTH = len(BEHAVIOURS) + 1
"""Probabilities of the four behaviours, then of harm."""
REQUEST_WIDTH = 1 + len(CATEGORIES)
"""Probability of harm, then those of the categories."""
STEPS = 255
"""Probabilities are kept as whole numbers of this many parts."""

Floats = npt.NDArray[np.float32]
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Opinions:
    """Opinions on answers by row id, and on requests by `key_of` the prompt."""

    answers: Mapping[str, Numbers]
    requests: Mapping[str, Numbers]


def _named(rows: Sequence[Row]) -> str:
    """Names the rows that opinions are about; their order counts."""
    return digest_of(row.id for row in rows)


def save(file: Path, rows: Sequence[Row], answers: Floats, requests: Floats, teachers: Sequence[str]) -> None:
    """Writes opinions.

    Args:
        file: where to.
        rows: what they are about.
        answers: shape (rows, ANSWER_WIDTH), NaN throughout a row that has none.
        requests: shape (rows, REQUEST_WIDTH), likewise.
        teachers: names of the models whose mean they are.
    """
    packed: dict[str, Any] = {"digest": np.array(_named(rows)), "teachers": np.array(teachers)}
    for name, values in (("answers", answers), ("requests", requests)):
        known = ~np.isnan(values[:, 0])
        packed[name] = np.round(np.nan_to_num(values[known]) * STEPS).astype(np.uint8)
        packed[f"{name}_known"] = np.packbits(known)
    np.savez_compressed(file, **packed)


def load(file: Path, rows: Sequence[Row]) -> Opinions:
    """Reads what `save` wrote.

    Raises:
        ClassifierError: the file is about other rows.
    """
    with np.load(file, allow_pickle=False) as kept:
        if str(kept["digest"]) != _named(rows):
            raise ClassifierError(f"{file.name}: made for other labelled pairs; run `teach` again or remove the file")
        found: list[dict[int, Numbers]] = []
        for name in ("answers", "requests"):
            known = np.flatnonzero(np.unpackbits(kept[f"{name}_known"], count=len(rows)))
            values = kept[name].astype(np.float64) / STEPS
            found.append({int(i): tuple(map(float, one)) for i, one in zip(known, values, strict=True)})
    answers, requests = found
    return Opinions(
        {rows[i].id: one for i, one in answers.items()}, {key_of(rows[i].prompt): one for i, one in requests.items()}
    )


@cache
def opinions() -> Opinions:
    """The kept opinions on the training rows; none where there is no file."""
    return load(FILE, read("train")) if FILE.is_file() else Opinions({}, {})


def teachers() -> tuple[str, ...]:
    """Names of the models that the kept opinions come from."""
    if not FILE.is_file():
        return ()
    with np.load(FILE, allow_pickle=False) as kept:
        return tuple(map(str, kept["teachers"]))
