"""What to simulate: traffic, the change in it, and where texts come from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from alignwatch import CATEGORIES, Category, Identifier, Ratio, Timestamp

DAY: Final = 86_400.0
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
RequestKind = Literal["harmful", "benign"]


class Strict(BaseModel):
    """Immutable settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Onset(Strict):
    """When the change begins: after a fraction or a number of the exchanges, or at an instant. Give one."""

    fraction: Ratio | None = None
    count: Annotated[int, Field(ge=0)] | None = None
    time: Timestamp | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for value in (self.fraction, self.count, self.time)) != 1:
            msg = "onset: give exactly one of fraction, count and time"
            raise ValueError(msg)
        return self

    @classmethod
    def parse(cls, text: str) -> Onset | None:
        """Read `none`, a fraction (`0.5`, `50%`), a number of exchanges (`5000`) or an instant (RFC 3339).

        Raises:
            ValueError: none of these.
        """
        if text.casefold() == "none":
            return None
        if text.isdecimal():
            return cls(count=int(text))
        number = _number(text)
        return cls(fraction=number) if number is not None else cls(time=_instant(text))


def _number(text: str) -> float | None:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        allowed = "none, a fraction, a number of exchanges or an instant is allowed"
        raise ValueError(f"onset {text!r}: {allowed}") from None


class PairFilter(Strict):
    """Which rows of a file of labelled pairs to draw from; a field left at None accepts any value."""

    source: str | None = None
    model: str | None = None
    model_state: str | None = None
    request: RequestKind | None = None
    behaviour: str | None = None

    def describe(self) -> str:
        """`source=..., model=...`, for messages."""
        return ", ".join(f"{name}={value}" for name, value in self if value is not None) or "any row"


class PairTexts(Strict):
    """Where texts come from: a JSONL file (.gz and .zst too) of rows with prompt, response and the filters' fields."""

    path: Path
    harmful_before: PairFilter
    harmful_after: PairFilter
    benign: PairFilter
    benign_after: PairFilter | None = None
    """None: benign answers do not change at the onset."""
    matched_prompts: bool = True
    """Draw harmful prompts that were answered both before and after, so that only the answers change."""

    @classmethod
    def of_model(
        cls,
        path: Path,
        model: str,
        *,
        before: str = "aligned",
        after: str = "unaligned",
        source: str | None = None,
        benign_source: str = "tatsu-lab/alpaca_eval",
    ) -> PairTexts:
        """One model's answers to harmful requests in two states, inside another source's ordinary traffic."""
        harmful = PairFilter(source=source, model=model, request="harmful")
        return cls(
            path=path,
            harmful_before=harmful.model_copy(update={"model_state": before}),
            harmful_after=harmful.model_copy(update={"model_state": after}),
            benign=PairFilter(source=benign_source),
        )


class Change(Strict):
    """What is different about the answers from the onset on. Give at most one of row, odds_ratio, compliance, collapse.

    With none of them the model stays as it was (a control run, or one where only the users change).
    """

    row: str | None = None
    """`model/technique` of Table 1 of arXiv 2602.06258; its base row then supplies the rates before the onset too."""
    odds_ratio: Positive | None = None
    """Multiplies the odds of compliance in every changed category."""
    compliance: Ratio | None = None
    """Mean compliance after the onset, reached by one log-odds shift of all changed categories."""
    collapse: Ratio | None = None
    """Share of all answers, benign ones too, that turn into gibberish."""
    categories: tuple[Category, ...] = ()
    """Only these change (a narrow change); empty: all."""
    benign_refusal: Ratio | None = None
    """Share of benign requests refused after the onset; None: as before. (Over-refusal; a guardrail that broke.)"""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = (self.row, self.odds_ratio, self.compliance, self.collapse)
        if sum(value is not None for value in given) > 1:
            msg = "change: give at most one of row, odds_ratio, compliance and collapse"
            raise ValueError(msg)
        return self


class Users(Strict):
    """Who asks: conversations of several turns, and a user out of line."""

    count: Annotated[int, Field(ge=1)] = 2_000
    turns: Annotated[float, Field(ge=1.0, le=100.0)] = 1.0
    """Mean turns a conversation (geometric)."""
    correlation: Ratio = 0.0
    """Probability that a turn repeats its conversation's first one: same category, same outcome."""
    noisy_share: Ratio = 0.0
    """Share of all exchanges, from the onset on, that come from one user who asks for nothing but harm."""
    noisy_category: Category = "cyber"
    noisy_compliance: Ratio = 0.9
    """Share of that user's requests that are answered, by whichever checkpoint (a jailbreak that works). With texts:
    all of them, from the pool of changed answers."""


class SimulationConfig(Strict):
    """A whole simulated deployment. Same config, same traffic: everything random follows `seed`."""

    deployment: Identifier = "chat-sim"
    model: str | None = "simulated"
    model_digest: str | None = None
    digest_after: str | None = None
    """Digest of changed answers; None: the change is silent, as after a tampered fine-tune behind the same name."""
    tenant: str | None = None
    id_prefix: str | None = None
    """Ids are `prefix-number`; None: made from deployment, start and seed, so that two runs do not collide."""
    start: Timestamp = datetime(2026, 1, 5, tzinfo=UTC)
    """Event time of the run's beginning. The default is a Monday."""
    rate: Positive = 1.0
    """Exchanges per second, averaged over a day."""
    count: Annotated[int, Field(ge=1)] = 10_000
    """Exchanges to make."""
    seed: Annotated[int, Field(ge=0)] = 0
    onset: Onset | None = None
    """None: nothing ever changes."""
    ramp: Annotated[int, Field(ge=0)] = 0
    """Exchanges over which the change grows from none to full, linearly; 0: at once."""
    canary_share: Ratio = 1.0
    """Share of the traffic that the changed checkpoint answers."""
    harmful_share: Ratio = 0.1
    """Share of requests that are sensitive."""
    harmful_share_after: Ratio | None = None
    """The same from the onset on (users changed, not the model); None: unchanged."""
    daily_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Amplitude of the daily cycle of the rate: 0.5 swings between half and one and a half times."""
    daily_harm: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Amplitude of the daily cycle of the harmful share, twelve hours out of step with the rate."""
    daily_mix: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0
    """Amplitude, in log weight, with which each category waxes and wanes over the day, each at an hour of its own."""
    users: Users = Users()
    mix: dict[Category, float] | None = None
    """Relative weights of the categories; None: as SORRY-Bench weighs them."""
    mix_after: dict[Category, float] | None = None
    """The same from the onset on; None: unchanged."""
    compliance: Ratio | dict[Category, Ratio] | None = None
    """Compliance before the onset: a mean (spread over the categories as in Figure 6) or a rate for each of them.
    None: the base row of `change.row`, else 0.13, GPT-OSS-20B's."""
    partial: Ratio = 0.0
    """Share of the answers that do not comply which are partial (hedge, then comply). Gone once un-aligned."""
    degenerate: Ratio = 0.0005
    """Share of all answers that are gibberish before the onset."""
    benign_refusal: Ratio = 0.01
    change: Change = Change()
    separation: Positive | None = None
    """How well the label model tells compliance from refusal: distance of the two score distributions in standard
    deviations. Labels are then calibrated probabilities. None: certain labels, 0 and 1."""
    uniform_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of requests labelled regardless of content; the rest only when sensitive (selection `screen`)."""
    texts: PairTexts | None = None
    """Where prompts and answers come from; None: labels only."""

    @model_validator(mode="after")
    def _weights_are_weights(self) -> Self:
        for name, mix in (("mix", self.mix), ("mix_after", self.mix_after)):
            if mix is not None and (min(mix.values(), default=0.0) < 0 or sum(mix.values()) <= 0 or "none" in mix):
                msg = f"{name}: weights must be >= 0, not all 0, and for {', '.join(CATEGORIES)} only"
                raise ValueError(msg)
        if isinstance(self.compliance, dict) and set(self.compliance) != set(CATEGORIES):
            msg = "compliance: give one number or a rate for each of the 14 categories"
            raise ValueError(msg)
        return self
