"""`python -m classifiers.training teach`: fine-tunes the ensemble by folds and keeps what it makes of the rest.

Each encoder is fitted once for each fold, without the texts of that fold's requests, and asked about them. Meant for a
GPU (minutes); two cores would need most of a day. What it leaves, `opinions.npz`, is all that training the shipped
network needs of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from classifiers.errors import ClassifierError
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from classifiers.training.asking import logits_of
from classifiers.training.bases import base
from classifiers.training.ensemble import ENCODERS, FOLDS, SAID, Teacher, asked, merge, teachers
from classifiers.training.fit import Run, Schedule, finished
from classifiers.training.rows import read

SCHEDULE = Schedule(
    epochs=4,
    rate=1.5e-4,
    embeddings=True,
    scale=1.0,
    hidden_dropout=0.1,
    average=0.99,
    request_passes=1,
    share=0.0,
    tokens=16_384,
    folds=FOLDS,
)


def schedule_of(teacher: Teacher) -> Schedule:
    """The common one; seeds differ, so that the ensemble does not err alike."""
    seed = 100 + 10 * ENCODERS.index(teacher.encoder) + teacher.fold
    return replace(SCHEDULE, base=str(base(teacher.encoder)), left_out=teacher.fold, seed=seed)


def teach(teacher: Teacher, work: Path) -> Path:
    """Fits one teacher and writes what it says of its fold; returns that file. Nothing is done twice."""
    folder, schedule = teacher.folder(work), schedule_of(teacher)
    file = folder / SAID
    if file.is_file() and finished(folder, schedule):
        return file
    run = Run(folder, schedule)
    ask = logits_of(run.go(every=100_000), run.device)
    rows = read("train")
    answers, requests = asked(rows, teacher.fold)
    said = (
        ask([rows[i].response or "" for i in answers], ANSWER_TYPE),
        ask([rows[i].prompt for i in requests], REQUEST_TYPE),
    )
    np.savez(file, answers=said[0].astype(np.float16), requests=said[1].astype(np.float16))
    run.checkpoint.unlink()
    return file


def run(work: Path, only: str | None = None) -> int:
    """Fits all teachers and merges what they say, or fits one (`encoder-fold`) for a merge to come.

    Raises:
        ClassifierError: there is no such teacher.
    """
    names = [teacher.folder(work).name for teacher in teachers()]
    if only not in {None, *names}:
        raise ClassifierError(f"teacher {only!r}: must be one of {names}")
    for teacher in teachers():
        if only in {None, teacher.folder(work).name}:
            print(f"teacher {teacher.folder(work).name}", flush=True)
            teach(teacher, work)
    if only is None:
        print(f"wrote {merge(work).name}")
    return 0
