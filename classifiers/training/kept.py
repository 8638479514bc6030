"""Arrays that take minutes to compute and hang on nothing but their input: kept beside the runs, under its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers.training.rows import ROOT

FOLDER = ROOT / ".cache" / "training"


def digest_of(texts: Iterable[str]) -> str:
    """Names a sequence of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def kept(
    name: str, inputs: Iterable[str], compute: Callable[[], npt.NDArray[Any]], folder: Path | None = None
) -> npt.NDArray[Any]:
    """The array of this name and these inputs, computed where no earlier call has left it.

    Args:
        name: what it is; begins the file's name.
        inputs: everything that decides the array and may change.
        compute: makes it.
        folder: where it is kept; `FOLDER` if left out.
    """
    file = (folder or FOLDER) / f"{name}-{digest_of(inputs)}.npy"
    if file.is_file():
        found: npt.NDArray[Any] = np.load(file, allow_pickle=False)
        return found
    made = compute()
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, made)
    return made
