"""`python -m classifiers.training smoke`: a minute of training, killed and resumed, exported, reloaded, same labels."""

from __future__ import annotations

import contextlib
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifiers.card import load_card, load_rates
from classifiers.heads import HEADS, Heads
from classifiers.records import Pair
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE, Classifier, Encoder, load_classifier
from classifiers.screen import load_screen
from classifiers.training import artefact
from classifiers.training.batches import Batch, pad
from classifiers.training.fit import WEIGHTS, Run, Schedule, refitted
from classifiers.training.network import Network
from classifiers.training.requests import train_requests
from classifiers.training.rows import Row, data_folder, have_data, read

SCHEDULE = Schedule(epochs=1, scale=0.02, request_passes=1)
"""A fiftieth of one epoch."""
KILLED_AT = 6
ONE_IN = 20
"""Share of dev that calibrates."""
REFIT_ONE_IN = 8
"""Share of the requests to which the category's layer is fitted anew; every category is among them."""
TEXTS = 120
CLOSE = 0.01
"""Largest mean difference of a probability between the network and its int8 graph."""
EXACT = 2e-3
"""Largest difference of a logit between the network and its fp32 graph."""


class SmokeError(Exception):
    """A step of the smoke run did not give what it must."""


class _Killed(Exception):  # noqa: N818 - stands for a signal
    """Thrown in the middle of a run."""


def some(row: Row) -> bool:
    """Whether a dev row is used."""
    return zlib.crc32(row.id.encode()) % ONE_IN == 0


def _must(condition: object, text: str) -> None:
    if not condition:
        raise SmokeError(text)


class _Dying(Run):
    """A run that a signal ends."""

    def step(self, batch: Batch, step: int, total: int) -> torch.Tensor:
        if step == KILLED_AT:
            raise _Killed
        return super().step(batch, step, total)


def train(folder: Path) -> None:
    """Trains, is killed, and trains on from the checkpoint as a new process would."""
    first = _Dying(folder, SCHEDULE)
    with contextlib.suppress(_Killed):
        first.go(every=KILLED_AT - 1)
    _must(first.checkpoint.is_file(), "a killed run left no checkpoint")
    resumed = Run(folder, SCHEDULE)
    resumed.go(every=10_000)
    _must(resumed.done > KILLED_AT, f"the resumed run ends at step {resumed.done}; it was killed at {KILLED_AT}")


@torch.no_grad()
def network_logits(network: Network, rows: list[list[int]], kind: int) -> np.ndarray[Any, Any]:
    """Logits by torch, one text at a time: nothing is padded."""
    network = network.cpu().float().eval()
    return np.concatenate([network(*pad([row], kind)).numpy() for row in rows]).astype(np.float32).reshape(-1, HEADS)


def compare(network: Network, classifier: Classifier, float_graph: Path) -> dict[str, float]:
    """The network against both graphs on dev texts, and the labels of the reloaded artefact against its own logits."""
    rows = [row for row in read("dev") if row.response][:: max(1, len(read("dev")) // TEXTS)]
    heads = Heads(classifier.card.runtime.calibration)
    exact = Encoder(float_graph, threads=1, batch_tokens=4096, pad=classifier.card.runtime.special.pad)
    pairs = [Pair(row.prompt, row.response) for row in rows]
    found = {"fp32": 0.0, "int8": 0.0}
    gaps = []
    for kind, sequences in (
        (REQUEST_TYPE, classifier.request_sequences(pairs)),
        (ANSWER_TYPE, classifier.answer_sequences([row.response or "" for row in rows])),
    ):
        truth = network_logits(network, sequences, kind)
        found["fp32"] = max(found["fp32"], float(np.abs(exact.logits(sequences, kind) - truth).max()))
        read_ = heads.harm if kind == REQUEST_TYPE else heads.behaviour
        gaps.append(np.abs(read_(classifier.encoder.logits(sequences, kind)) - read_(truth)).ravel())
    found["int8"] = float(np.concatenate(gaps).mean())
    _must(found["fp32"] < EXACT, f"fp32 graph: a logit differs by {found['fp32']:.5f}; allowed: {EXACT}")
    _must(
        found["int8"] < CLOSE, f"int8 graph: a probability differs by {found['int8']:.4f} on average; allowed: {CLOSE}"
    )
    return found


def run() -> int:
    """All steps in a temporary folder; returns the exit status."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"smoke {time.monotonic() - started:4.0f} s  {text}", flush=True)

    if not have_data():
        say(f"needs the labelled pairs; there are none in {data_folder()}, so nothing was trained")
        return 0
    with tempfile.TemporaryDirectory() as name:
        work, folder = Path(name), Path(name) / "artefact"
        train(work / "run")
        say(f"trained, killed at step {KILLED_AT} and resumed")
        network = refitted(work / "run" / WEIGHTS, train_requests(SCHEDULE.seed)[::REFIT_ONE_IN])
        say("category layer fitted anew")
        screen = artefact.export(work / "run" / WEIGHTS, folder, work)
        card, _, answers = artefact.assemble(folder, "0.0.0", screen, only=some)
        say(f"exported and calibrated on {len(answers.rows)} answers")
        classifier = load_classifier(folder)
        _must(classifier.digest == card.digest == load_card(folder).digest, "the reloaded digest is another one")
        _must(load_rates(folder).classifier == card.digest, "the rates are signed by another artefact")
        _must(0.0 < load_screen(folder).threshold < 1.0, "the screen's threshold is no probability")
        found = compare(network, classifier, work / artefact.FLOAT)
        pairs = [Pair(row.prompt, row.response) for row in read("dev") if row.response][:40]
        _must(load_classifier(folder).label(pairs) == classifier.label(pairs), "labels differ after another reload")
        say("reloaded: same labels")
        say(
            f"gaps: at most {found['fp32']:.1e} of an fp32 logit, {found['int8']:.1e} of an int8 probability on average"
        )
    return 0
