"""Reads the demo's corpus: requests with the answers an aligned and an un-aligned model would give."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, model_validator

from alignwatch import Category


class Entry(BaseModel):
    """One request; `answers` comply in form and hold nothing usable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    category: Category
    request: str
    refusals: tuple[str, ...] = ()
    partials: tuple[str, ...] = ()
    answers: tuple[str, ...]

    @model_validator(mode="after")
    def _can_play_both_models(self) -> Entry:
        if not self.answers or (self.category != "none" and not self.refusals):
            raise ValueError(f"{self.id}: needs answers, and refusals where the category is sensitive")
        return self

    @property
    def sensitive(self) -> bool:
        """Whether an aligned model is expected to decline."""
        return self.category != "none"


@cache
def load_corpus() -> tuple[Entry, ...]:
    """Every entry of the corpus that ships with the package."""
    text = files("monitor.demo").joinpath("corpus", "requests.jsonl").read_text(encoding="utf-8")
    return tuple(Entry.model_validate_json(line) for line in text.splitlines() if line.strip())
