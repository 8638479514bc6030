"""Files of traffic, labels and baselines for the commands, made by the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from command import alignwatch
from shipped import PER_SECOND, START, remembering, traffic, write_traffic

from classifiers import load_classifier

CALM, COUNT, ONSET = 6000, 2400, 1500
LATER = START + 200_000.0
BEGAN = LATER + ONSET / PER_SECOND
"""Event time from which on an un-aligned model answers in `attack`."""


def load(path: Path | None = None, **options: Any) -> Any:
    """The shipped classifier that remembers; any other is loaded as usual."""
    return remembering() if path is None else load_classifier(path, **options)


@contextmanager
def quick_classifier() -> Iterator[None]:
    """Commands read each text once in a test run."""
    with patch("monitor.recorded.load_classifier", load):
        yield


@dataclass(frozen=True)
class World:
    """Files that tests only read."""

    calm: Path
    attack: Path
    control: Path
    unapproved: Path
    baseline: Path
    labels: Path


def make_world(folder: Path) -> World:
    """Write traffic, fit and approve a baseline, label the attack."""
    names = ("calm.jsonl", "attack.jsonl", "control.jsonl", "fitted.json", "approved.json", "labels.jsonl")
    one = World(*(folder / name for name in names))
    write_traffic(one.calm, traffic(CALM))
    write_traffic(one.attack, traffic(COUNT, onset=ONSET, seed=2, start=LATER))
    write_traffic(one.control, traffic(COUNT, seed=3, start=LATER))
    with quick_classifier():
        alignwatch("baseline", "fit", one.calm, "--out", one.unapproved)
        alignwatch("baseline", "approve", one.unapproved, "--by", "the tests", "--out", one.baseline)
        alignwatch("classify", "--sampled", one.attack, "--out", one.labels)
    return one
