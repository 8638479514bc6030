"""Assembles an artefact folder from a trained network: graphs, tokenizer, screen, calibration, thresholds, card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignwatch import CATEGORIES
from classifiers.card import CARD, RATES, Calibration, Card, Rates, Runtime, Thresholds, file_digest
from classifiers.heads import Heads
from classifiers.runtime import MODEL, TOKENIZER, Encoder
from classifiers.screen import SCREEN
from classifiers.training.batches import sequences
from classifiers.training.calibrate import choose, fit_all
from classifiers.training.compensate import own_sequences
from classifiers.training.devset import LANGUAGES, Answers, Floats, Logits, Requests, dev_answers, dev_prompts
from classifiers.training.evaluate import COMPLIANCE, rates_of
from classifiers.training.export import export_float, quantise
from classifiers.training.network import ANSWER_WINDOW, BASE, REQUEST_WINDOW, Network, special_tokens, tokenizer
from classifiers.training.requests import dev_requests
from classifiers.training.rows import Row
from classifiers.training.screening import make_screen

NAME = "alignwatch-minilm-l6"
FLOAT = "float.onnx"
"""The fp32 graph, which is kept beside the run's checkpoints and not shipped."""
LEVELS = 63
"""Weight magnitudes in the int8 graph: with 63 no CPU's 16-bit partial sums saturate, so every machine labels alike."""


def onnx_logits(file: Path, threads: int = 2) -> Logits:
    """Logits by an ONNX file, through the run time's own batching."""
    tok = tokenizer()
    encoder = Encoder(file, threads=threads, batch_tokens=4096, pad=special_tokens(tok).pad)

    def logits(texts: Any, kind: int) -> Floats:
        return encoder.logits(sequences(texts, tok, answers=bool(kind)), kind)

    return logits


def export(weights: Path, folder: Path, work: Path) -> dict[str, Any]:
    """Writes `model.onnx` (int8), `tokenizer.json` and `screen.npz`; the fp32 graph stays in `work`."""
    folder.mkdir(parents=True, exist_ok=True)
    network = Network()
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    export_float(network, work / FLOAT)
    quantise(work / FLOAT, folder / MODEL, own_sequences(), levels=LEVELS)
    shutil.copyfile(BASE / "tokenizer.json", folder / TOKENIZER)
    tokenizer().save(str(folder / TOKENIZER), pretty=False)
    return make_screen(folder)


def calibrated(q: Requests, a: Answers) -> tuple[Calibration, Thresholds]:
    """Maps and thresholds from all usable dev rows."""
    maps = fit_all(q, a, (np.ones(len(q.rows), dtype=bool), np.ones(len(a.rows), dtype=bool)))
    return maps, choose(q, a, maps)


def assemble(
    folder: Path, version: str, screen: dict[str, Any], *, only: Callable[[Row], bool] = lambda _: True
) -> tuple[Card, Requests, Answers]:
    """Calibrates the folder's int8 graph on dev and writes `card.json` and `rates.json`; returns what it scored.

    Args:
        folder: holds the graph, the tokenizer and the screen.
        version: goes into the card.
        screen: what was measured of the screen; goes into the card.
        only: dev rows that are used, for short runs.
    """
    logits = onnx_logits(folder / MODEL)
    q = dev_prompts(logits, [one for one in dev_requests() if only(one[0])])
    a = dev_answers(logits, only=only)
    maps, thresholds = calibrated(q, a)
    runtime = Runtime(
        files={name: file_digest(folder / name) for name in (MODEL, TOKENIZER, SCREEN)},
        request_window=REQUEST_WINDOW,
        answer_window=ANSWER_WINDOW,
        special=special_tokens(tokenizer()),
        categories=CATEGORIES,
        calibration=maps,
        thresholds=thresholds,
        languages=LANGUAGES,
    )
    card = Card(name=NAME, version=version, digest=runtime.digest(), runtime=runtime, evaluation={"screen": screen})
    write_card(folder, card)
    write_rates(folder, card, a)
    return card, q, a


def make(weights: Path, folder: Path, work: Path, version: str) -> Card:
    """A whole artefact from trained weights: graphs, tokenizer, screen, calibration, thresholds, error rates."""
    print(f"exporting to {folder}", flush=True)
    screen = export(weights, folder, work)
    print("calibrating on dev", flush=True)
    return assemble(folder, version, screen)[0]


def write_card(folder: Path, card: Card) -> None:
    """Writes `card.json`."""
    text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CARD).write_text(text + "\n", "utf-8")


def write_rates(folder: Path, card: Card, a: Answers) -> None:
    """Writes `rates.json`: error rates of the compliance decision by model family."""
    heads = Heads(card.runtime.calibration)
    called = 1.0 - heads.behaviour(a.logits)[:, COMPLIANCE] >= card.thresholds.noncompliance
    families, overall = rates_of(a, called)
    rates = Rates(classifier=card.digest, families=families, overall=overall)
    (folder / RATES).write_text(json.dumps(rates.model_dump(mode="json"), indent=1) + "\n", "utf-8")
