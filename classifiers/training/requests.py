"""Request examples: what was asked, whether that is harmful, and in which category; never what was answered."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from alignwatch import CATEGORIES
from classifiers.training.contrasts import contrasts, contrasts_abroad
from classifiers.training.opinions import Numbers, opinions
from classifiers.training.ordinary import ordinary, ordinary_abroad
from classifiers.training.readings import BENIGN, UNCLEAR, asked_as
from classifiers.training.rows import SHORTEST_PROMPT, Row, augmentation, key_of, read

INDEX: dict[str, int] = {name: i for i, name in enumerate(CATEGORIES)}
WEIGHT = {"human": 1.0, "constructed": 0.8}
"""Trust in a request label by its origin; everything else 0.7."""
ORDINARY = 3500
"""Ordinary requests written for one draw; the sources hold 700, beside 8,000 harmful ones."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with its labels, None where the source says nothing, and what the ensemble makes of it."""

    text: str
    harm: float | None
    category: int | None
    harm_weight: float
    category_weight: float
    source: str
    language: str
    opinion: Numbers | None = None


def held_out(prompt: str) -> bool:
    """Whether an AlpacaEval prompt is kept for evaluation: its rows are split by model, so one in five is set aside."""
    return zlib.crc32(key_of(prompt).encode()) % 5 == 0


def harm_of(row: Row) -> float | None:
    """1 harmful, 0 benign, None unknown; AlpacaEval and CoCoNot's groups without safety concerns are benign.

    Training requests of hh-rlhf, which says nothing of them, are what they were read as.
    """
    if (label := asked_as(row)) is not None:
        return None if label == UNCLEAR else float(label != BENIGN)
    if row.request is not None:
        return float(row.request == "harmful")
    if row.source == "tatsu-lab/alpaca_eval":
        return 0.0
    if row.source == "allenai/noncompliance":
        return 1.0 if row.category is not None else 0.0
    return None


def _request(row: Row) -> Request:
    harm = harm_of(row)
    stated = row.request is not None or asked_as(row) is not None
    # a read request has no kind: readers drew other lines between crime, violence and harassment than the sources do
    category = row.category if harm == 1.0 else None
    known = category is not None and category.category != "none"
    return Request(
        text=row.prompt,
        harm=harm,
        category=INDEX[category.category] if category is not None and known else None,
        harm_weight=WEIGHT.get(row.label_by or "", 0.7) if stated else 0.6,
        category_weight=1.0 if category is not None and category.exact else 0.3,
        source=row.source,
        language=row.language,
        opinion=opinions().requests.get(key_of(row.prompt)),
    )


def _augmented() -> Iterable[Request]:
    for raw in augmentation():
        category = raw.get("category")
        if not raw.get("prompt") or category is None:
            continue
        harmful = category != "none"
        yield Request(
            text=raw["prompt"],
            harm=float(harmful),
            category=INDEX.get(category),
            harm_weight=1.5,
            category_weight=1.0,
            source=f"own:{raw.get('kind', '')}",
            language=raw.get("language", "en"),
        )


def _written(seed: int) -> Iterable[Request]:
    """Requests that our own modules put together: ordinary ones, and pairs of one form of which one is harmful."""
    rng = random.Random(seed)
    answers = [
        row.response
        for row in read("train")
        if row.source == "tatsu-lab/alpaca_eval" and row.response and not held_out(row.prompt)
    ]
    for text in ordinary(answers, rng, ORDINARY):
        yield Request(text, 0.0, None, 0.7, 0.0, "own:ordinary", "en")
    for text, language in ordinary_abroad(rng, 100):
        yield Request(text, 0.0, None, 0.7, 0.0, "own:ordinary", language)
    for text, category in contrasts(rng):
        yield Request(text, float(category != "none"), INDEX.get(category), 1.0, 0.8, "own:contrast", "en")
    for text, category, language in contrasts_abroad(rng):
        yield Request(text, float(category != "none"), INDEX.get(category), 1.0, 0.8, "own:contrast", language)


def train_requests(seed: int = 0) -> list[Request]:
    """Distinct training prompts, none of which occurs in dev (AlpacaEval's held-out fifth included).

    `seed` draws the requests that our own modules write. Languages are balanced, or lose the harm target: the language
    itself would become the signal.
    """
    dev = {key_of(row.prompt) for row in read("dev") if row.source != "tatsu-lab/alpaca_eval"}
    found: dict[str, Request] = {}
    doubtful: dict[str, Request] = {}
    for row in read("train"):
        key = key_of(row.prompt)
        if (
            len(key) < SHORTEST_PROMPT
            or key in dev
            or key in found
            or (row.source == "tatsu-lab/alpaca_eval" and held_out(key))
        ):
            continue
        request = _request(row)
        if request.harm is not None:
            found[key] = request
        elif request.opinion is not None:
            doubtful.setdefault(key, request)
    found = doubtful | found
    for request in (*_augmented(), *_written(seed)):
        if key_of(request.text) in dev:
            continue
        found.setdefault(key_of(request.text), request)
    return _without_language_shortcut(list(found.values()))


def _without_language_shortcut(requests: list[Request]) -> list[Request]:
    """Balances harmful against benign in each language, by weight: at most twice as much, or no harm target at all."""
    weight: dict[tuple[str, bool], float] = defaultdict(float)
    for r in requests:
        if r.harm is not None:
            weight[r.language, r.harm > 0.5] += r.harm_weight
    kept = []
    for r in requests:
        benign, harmful = weight[r.language, False], weight[r.language, True]
        if benign < 15.0:
            if r.category is not None:
                kept.append(replace(r, harm=None, harm_weight=0.0))
        elif r.harm == 1.0 and harmful > 2.0 * benign:
            kept.append(replace(r, harm_weight=r.harm_weight * 2.0 * benign / harmful))
        else:
            kept.append(r)
    return kept


def dev_requests() -> list[tuple[Row, float | None]]:
    """Distinct dev prompts with their harm; AlpacaEval only with the prompts that training never sees."""
    found: dict[str, tuple[Row, float | None]] = {}
    for row in read("dev"):
        key = key_of(row.prompt)
        if len(key) < SHORTEST_PROMPT or key in found or (row.source == "tatsu-lab/alpaca_eval" and not held_out(key)):
            continue
        found[key] = (row, harm_of(row))
    return list(found.values())
