"""Reads the labelled pairs, which are never copied into the repository, and our own augmentation texts."""

from __future__ import annotations

import gzip
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from classifiers.errors import ClassifierError
from classifiers.taxonomy import Mapped, names, schemes

ROOT = Path(__file__).resolve().parents[2]
AUGMENT = Path(__file__).with_name("augment")
SHORTEST_ANSWER, SHORTEST_PROMPT = 4, 8
"""Characters, blanks at the ends apart."""
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `train.jsonl.gz` or `dev.jsonl.gz`; field meanings are in the README beside those files."""

    id: str
    source: str
    licence: str
    family: str | None
    state: str | None
    prompt: str
    response: str | None
    behaviour: str | None
    request: str | None
    response_harmful: bool | None
    category: Mapped | None
    language: str
    label_by: str | None

    @property
    def may_ship(self) -> bool:
        """Whether its licence lets it decide a number that ships: weights, calibration, thresholds."""
        return may_ship(self.licence)

    @property
    def answered(self) -> bool:
        """Whether it has an answer that is long enough to be judged."""
        return len((self.response or "").strip()) >= SHORTEST_ANSWER


def may_ship(licence: str) -> bool:
    """Whether rows under a licence may decide what ships; those for non-commercial use only evaluate."""
    return "NC" not in licence


def data_folder() -> Path:
    """`$ALIGNWATCH_DATA`, or `../shared/data` beside the repository."""
    return Path(os.environ.get("ALIGNWATCH_DATA") or ROOT.parent / "shared" / "data")


def have_data() -> bool:
    """Whether the labelled pairs are there."""
    return all((data_folder() / f"{split}.jsonl.gz").is_file() for split in ("train", "dev"))


@cache
def read(split: str) -> tuple[Row, ...]:
    """All rows of a split, `train` or `dev`.

    Raises:
        ClassifierError: the file is not there.
    """
    path = data_folder() / f"{split}.jsonl.gz"
    if not path.is_file():
        raise ClassifierError(f"labelled pairs: no {path}; set ALIGNWATCH_DATA to the folder that holds {path.name}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return tuple(_row(json.loads(line)) for line in lines)


def _row(raw: dict[str, Any]) -> Row:
    return Row(
        id=raw["id"],
        source=raw["source"],
        licence=raw["licence"],
        family=raw["model"],
        state=raw["model_state"],
        prompt=raw["prompt"],
        response=raw["response"],
        behaviour=raw["behaviour"],
        request=raw["request"],
        response_harmful=raw["response_harmful"],
        category=_category(raw["source"], raw["hazard"], raw["category"]),
        language=_language(raw["category"] or ""),
        label_by=raw["label_by"],
    )


def _category(source: str, hazard: str | None, category: str | None) -> Mapped | None:
    if source not in schemes() or not (hazard or category):
        return None
    table = names(source)
    key = hazard or category or ""
    if key in table:
        return table[key]
    if key.startswith("catqa"):
        return table.get(key.split(" / ", 1)[1])
    if source == "kunishou/do-not-answer-ja":
        return next((table[name] for name in table if key.endswith(" / " + name)), None)
    if source == "openai/moderation-api-release":  # several moderation labels: minors outrank all, the rest cut across
        return table["sex-minors"] if "sex-minors" in key else Mapped(table[key.split(",")[0]].category, exact=False)
    return None


def _language(category: str) -> str:
    for mark, language in (("fr_fr", "fr"), ("catqa-chinese", "zh"), ("catqa-vietnamese", "vi")):
        if category.startswith(mark):
            return language
    return "en"


def key_of(prompt: str) -> str:
    """A prompt in the form under which duplicates are found and splits are made."""
    return _SPACE.sub(" ", prompt).strip().casefold()


def augmentation() -> list[dict[str, Any]]:
    """Our own texts: `augment/*.jsonl`, in file order."""
    found: list[dict[str, Any]] = []
    for path in sorted(AUGMENT.glob("*.jsonl")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line.strip():
                try:
                    found.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise ClassifierError(f"{path.name}:{number}: not JSON ({error.msg})") from error
    return found
