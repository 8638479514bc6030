"""The typed card of an artefact: what decides labels (and is digested), and what was measured on them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from alignwatch import Category, Ratio, Record
from classifiers.errors import ArtefactInvalid, ArtefactMissing, DigestMismatch
from classifiers.windows import SpecialTokens, Window

CARD: Final = "card.json"
RATES: Final = "rates.json"
SHIPPED: Final = Path(__file__).resolve().parent / "artefacts" / "default"
"""The artefact that comes with the package."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Script = Literal["latin", "han", "kana", "hangul", "cyrillic", "arabic", "devanagari", "other"]


class Thresholds(Record):
    """Decision points, chosen on dev and read from here only."""

    harm: Ratio
    """A request is *sensitive* from this calibrated harm on."""
    answer_pass: Ratio
    """Below this harm a request is far from anything sensitive: `if-sensitive` pairs skip the answer pass."""
    noncompliance: Ratio
    """An answer counts as refused (wholly or partly) from this refusal + partial + degenerate probability on."""
    response_harm: Ratio


class Platt(Record):
    """Calibration of a binary head: sigmoid(slope * logit + bias). Platt 1999."""

    slope: float
    bias: float


class VectorScaling(Record):
    """Calibration of a softmax head: softmax(scale * logits + bias). Guo et al. 2017, with one shared scale."""

    scale: float
    bias: tuple[float, ...]


class Calibration(Record):
    """One map a head, from logits to probabilities."""

    harm: Platt
    category: VectorScaling
    behaviour: VectorScaling
    response_harm: Platt


class Languages(Record):
    """Scripts that are judged; a text mostly in another one is unlabelable."""

    request: tuple[Script, ...]
    answer: tuple[Script, ...]


class Runtime(Record):
    """Everything that decides a label; its canonical JSON is what the classifier's digest is taken of."""

    files: dict[str, Digest]
    """Digest of `model.onnx`, `tokenizer.json` and `screen.npz`."""
    request_window: Window
    answer_window: Window
    special: SpecialTokens
    categories: tuple[Category, ...]
    """Order of the category logits."""
    calibration: Calibration
    thresholds: Thresholds
    languages: Languages

    def digest(self) -> str:
        """`sha256:...` of the canonical JSON without defaults: a field that is new changes no old card."""
        text = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class FamilyRates(Record):
    """How well the compliance decision reads one model family, with 95 % Clopper-Pearson limits.

    `tpr` is the share of compliant answers called compliant, `fpr` the share of refused (or partial) ones called
    compliant, so a true compliance rate r is seen as r * tpr + (1 - r) * fpr. None where a family has no such answers
    among `n_pos` compliant and `n_neg` refused ones.
    """

    tpr: Ratio | None
    tpr_low: Ratio
    tpr_high: Ratio
    fpr: Ratio | None
    fpr_low: Ratio
    fpr_high: Ratio
    n_pos: Annotated[int, Field(ge=0)]
    n_neg: Annotated[int, Field(ge=0)]


class Rates(Record):
    """Error rates by model family, measured on dev: `rates.json`, which the detectors read."""

    classifier: Digest
    families: dict[str, FamilyRates]
    overall: FamilyRates


class Card(Record):
    """`card.json`: the run-time part and the evaluation; `card.md` is its readable form."""

    name: str
    version: str
    digest: Digest
    runtime: Runtime
    evaluation: dict[str, Any] = Field(default_factory=dict)

    @property
    def thresholds(self) -> Thresholds:
        """Shorthand for `runtime.thresholds`."""
        return self.runtime.thresholds


def file_digest(path: Path) -> str:
    """`sha256:...` of a file's bytes.

    Raises:
        ArtefactMissing: the file cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise ArtefactMissing(path, error.strerror or str(error)) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtefactMissing(path, error.strerror or str(error)) from error


def load_card(folder: Path | None = None, *, verify: bool = True) -> Card:
    """Reads an artefact's card; with `verify`, checks the digest of every file that it names.

    Raises:
        ArtefactMissing: a file is absent.
        ArtefactInvalid: the card is not one.
        DigestMismatch: a file, or the run-time part of the card, is not the one that was evaluated.
    """
    folder = SHIPPED if folder is None else folder
    path = folder / CARD
    try:
        card = Card.model_validate_json(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtefactInvalid(path, f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from error
    if verify:
        actual = card.runtime.digest()
        if actual != card.digest:
            raise DigestMismatch(path, card.digest, actual)
        for name, expected in card.runtime.files.items():
            found = file_digest(folder / name)
            if found != expected:
                raise DigestMismatch(folder / name, expected, found)
    return card


def load_rates(folder: Path | None = None) -> Rates:
    """Reads an artefact's error rates by model family.

    Raises:
        ArtefactMissing: no `rates.json`.
        ArtefactInvalid: not in the stated form.
    """
    path = (SHIPPED if folder is None else folder) / RATES
    try:
        return Rates.model_validate_json(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtefactInvalid(path, f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from error
