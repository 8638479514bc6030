"""Request examples: what was asked, whether that is harmful, and in which category; never what was answered."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from alignwatch import CATEGORIES
from classifiers.training.rows import Row, augmentation, key_of, read

INDEX = {name: i for i, name in enumerate(CATEGORIES)}
WEIGHT = {"human": 1.0, "constructed": 0.8}
"""Trust in a request label by its origin; everything else 0.7."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with its targets; None where the source says nothing, which takes the example out of that head's loss."""

    text: str
    harm: float | None
    category: int | None
    harm_weight: float
    category_weight: float
    source: str
    language: str


def held_out(prompt: str) -> bool:
    """Whether an AlpacaEval prompt is kept for evaluation: its rows are split by model, so one in five is set aside."""
    return zlib.crc32(key_of(prompt).encode()) % 5 == 0


def harm_of(row: Row) -> float | None:
    """1 harmful, 0 benign, None unknown; AlpacaEval and CoCoNot's groups without safety concerns are benign requests."""
    if row.request is not None:
        return float(row.request == "harmful")
    if row.source == "tatsu-lab/alpaca_eval":
        return 0.0
    if row.source == "allenai/noncompliance":
        return 1.0 if row.category is not None else 0.0
    return None


def _request(row: Row) -> Request:
    harm = harm_of(row)
    stated = row.request is not None
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


def train_requests() -> list[Request]:
    """Distinct training prompts, none of which occurs in dev (AlpacaEval's held-out fifth included).

    In a language without benign examples the harm target is dropped: the language itself would become the signal.
    """
    dev = {key_of(row.prompt) for row in read("dev") if row.source != "tatsu-lab/alpaca_eval"}
    found: dict[str, Request] = {}
    for row in read("train"):
        key = key_of(row.prompt)
        if len(key) < 8 or key in dev or key in found or (row.source == "tatsu-lab/alpaca_eval" and held_out(key)):
            continue
        if harm_of(row) is not None:
            found[key] = _request(row)
    for request in _augmented():
        found.setdefault(key_of(request.text), request)
    return _without_language_shortcut(list(found.values()))


def _without_language_shortcut(requests: list[Request]) -> list[Request]:
    benign: dict[str, int] = {}
    for request in requests:
        benign[request.language] = benign.get(request.language, 0) + (request.harm == 0.0)
    kept = []
    for r in requests:
        if benign[r.language] >= 30:
            kept.append(r)
        elif r.category is not None:
            kept.append(Request(r.text, None, r.category, 0.0, r.category_weight, r.source, r.language))
    return kept


def dev_requests() -> list[tuple[Row, float | None]]:
    """Distinct dev prompts with their harm; AlpacaEval only with the prompts that training never sees."""
    found: dict[str, tuple[Row, float | None]] = {}
    for row in read("dev"):
        key = key_of(row.prompt)
        if len(key) < 8 or key in found or (row.source == "tatsu-lab/alpaca_eval" and not held_out(key)):
            continue
        found[key] = (row, harm_of(row))
    return list(found.values())
