"""The 14 categories against everybody else's: SORRY-Bench, MLCommons hazards, and each source of training data.

`taxonomy.json` is the one table. An entry that starts with `~` cuts across ours: it is read as the category that it
mostly means, but neither trains nor scores the category head.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, cast

from alignwatch import CATEGORIES, Category
from classifiers.errors import ClassifierError

SORRY_BENCH: Final = "sorry-bench"
"""45 names of arXiv 2406.14598."""
ML_COMMONS: Final = "ml-commons"
"""14 hazards of Llama Guard 3 and 4; the AILuminate codes are the scheme `mlcommons/ailuminate`."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """Our category for a foreign name; not `exact` where the foreign one cuts across ours."""

    category: Category
    exact: bool


@cache
def _table() -> dict[str, dict[str, Mapped]]:
    raw: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("taxonomy.json").read_text("utf-8"))
    return {scheme: {name: _mapped(value) for name, value in names.items()} for scheme, names in raw.items()}


def _mapped(value: str) -> Mapped:
    name = value.removeprefix("~")
    if name != "none" and name not in CATEGORIES:
        raise ClassifierError(f"taxonomy.json: category {name!r}; allowed: none, {', '.join(CATEGORIES)}")
    return Mapped(cast("Category", name), exact=not value.startswith("~"))


def schemes() -> tuple[str, ...]:
    """Names of the foreign schemes."""
    return tuple(_table())


def names(scheme: str) -> dict[str, Mapped]:
    """All names of a scheme with what they map to.

    Raises:
        ClassifierError: no such scheme.
    """
    if scheme not in _table():
        raise ClassifierError(f"taxonomy: no scheme {scheme!r}; allowed: {', '.join(_table())}")
    return dict(_table()[scheme])


def back(category: Category, scheme: str) -> tuple[str, ...]:
    """The scheme's names that map to a category of ours; empty where the scheme has no such thing."""
    return tuple(name for name, mapped in names(scheme).items() if mapped.category == category)
