"""Decides by hash, screen and budget which exchanges are labelled, and with which known probability.

Three stages, each with a uniform number of its own from one keyed hash of the exchange's id, so that every replica
and every restart decides alike:

1. `rate` of all exchanges goes on, whatever they hold.
2. Of those, every prompt that the screen finds suspect goes on, and `uniform_rate` of all prompts, suspect or not.
3. A labelling budget thins what is left with a probability fixed before the batch is looked at.

The product of the stages' probabilities is the chance of being labelled; its inverse is the weight of Horvitz and
Thompson (1952, JASA 47:663), which keeps every rate unbiased. Statistics that need constant weights use the part whose
`selection` is `uniform`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from alignwatch import Exchange, Selection
from monitor.clock import Clock
from monitor.text import prompt_alone

Probability = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
DropReason = Literal["rate", "screen", "budget"]
DEFAULT_UNIFORM_RATE: Final = 0.1
MIN_KEEP: Final = 1e-3
"""The budget never keeps less than this share: a weight must stay finite."""
DEMAND_SECONDS: Final = 10.0
"""Time constant of the demand's moving average."""
_UNIT: Final = 2.0**-53


class Screen(Protocol):
    """A cheap score of prompts; `score(prompts)[i] >= threshold` is a hit."""

    @property
    def threshold(self) -> float:
        """Scores from here on are hits."""

    def score(self, prompts: Sequence[str]) -> Any:
        """One number a prompt (an array of shape (len(prompts),))."""


class SamplingConfig(BaseModel):
    """Rates and the budget; all replicas must share them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Probability = 1.0
    """Share of all exchanges that is looked at."""
    uniform_rate: Probability | None = None
    """Share labelled whatever the screen says; when unset 0.1 with a screen, and 1.0 without one."""
    budget_pairs_per_second: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """At most this many exchanges a second, on average, go to the classifier; unset is no limit."""
    burst_seconds: Annotated[float, Field(gt=0.0, le=3600.0)] = 10.0
    """The budget may be exceeded by what it gives in this time, and then has to be saved up again."""
    key: Annotated[str, Field(max_length=64)] = "alignwatch"
    """Key of the hash: change it to sample other exchanges. Keep it secret where senders may choose ids."""

    def without_budget(self) -> SamplingConfig:
        """The same rates for recorded traffic, where there is no hurry."""
        return self.model_copy(update={"budget_pairs_per_second": None})


@dataclass(frozen=True, slots=True)
class Selected:
    """An exchange to label, the inverse of its probability of being here, and why it is."""

    exchange: Exchange
    weight: float
    selection: Selection


def uniforms(identifier: str, key: str) -> tuple[float, float, float]:
    """Three independent numbers, uniform in [0, 1), from the keyed BLAKE2b hash (RFC 7693) of an id."""
    digest = hashlib.blake2b(
        identifier.encode("utf-8", "surrogatepass"), digest_size=24, key=key.encode()[:64]
    ).digest()
    # 64 bits would round up to 1.0 in a double: 53 of them are what a double holds.
    first, second, third = ((number >> 11) * _UNIT for number in struct.unpack("<3Q", digest))
    return first, second, third


class Budget:
    """A token bucket that says, before each batch, which share of it may be kept.

    The share depends on the past (time, and how many were selected) and on the batch's size, never on what the batch
    holds, so that thinning by it is independent of content. The bucket may go into debt by a burst; debt lowers the
    share. Before anything is known a batch is taken to be wanted whole: a backlog at the start must not pass unthinned.

    Args:
        per_second: tokens a second.
        burst_seconds: the bucket holds this much of them.
        now: the clock's reading to begin with.
    """

    def __init__(self, per_second: float, burst_seconds: float, now: float) -> None:
        self._rate = per_second
        self._burst = burst_seconds
        self._level = per_second * burst_seconds
        self._demand = 0.0
        self._offered = 0.0
        self._seen = 0.0
        self._now = now

    def share(self, now: float, size: int) -> float:
        """The share to keep of what will be wanted of the coming batch of `size`, in [MIN_KEEP, 1]."""
        elapsed = max(0.0, now - self._now)
        self._now = max(now, self._now)
        capacity = self._rate * self._burst
        self._level = min(capacity, self._level + elapsed * self._rate)
        decay = math.exp(-elapsed / DEMAND_SECONDS)
        self._demand *= decay
        self._offered *= decay
        # How much of the average's time constant has been observed: without it the first seconds look idle.
        self._seen = self._seen * decay + (1.0 - decay)
        wanted = size * (self._demand / self._offered if self._offered > 0.0 else 1.0)
        share = (self._level + capacity) / wanted if wanted > 0.0 else 1.0
        if self._seen > 0.0 and self._demand > 0.0:
            demand = self._demand / (DEMAND_SECONDS * self._seen)
            share = min(share, (self._rate + self._level / self._burst) / demand)
        return min(1.0, max(MIN_KEEP, share))

    def spend(self, size: int, wanted: int, kept: int) -> None:
        """Account for a batch of `size` after its decisions."""
        self._offered += size
        self._demand += wanted
        self._level = max(-self._rate * self._burst, self._level - kept)


class Sampler:
    """Selects exchanges.

    Args:
        config: rates, key and budget.
        screen: scores prompts; None where there is none.
        clock: paces the budget.
    """

    def __init__(self, config: SamplingConfig, screen: Screen | None, clock: Clock) -> None:
        self._config = config
        self._screen = screen
        self._clock = clock
        default = 1.0 if screen is None else DEFAULT_UNIFORM_RATE
        self.uniform_rate = config.uniform_rate if config.uniform_rate is not None else default
        """Share labelled whatever the screen says."""
        rate = config.budget_pairs_per_second
        self._budget = None if rate is None else Budget(rate, config.burst_seconds, clock.now())
        self.dropped: Counter[DropReason] = Counter()
        """Exchanges not selected so far, by the stage that dropped them."""
        self.keep = 1.0
        """Share that the budget kept of the latest batch."""
        self.relief = 1.0
        """At most this share is kept; set by whoever watches the backlog, before a batch is looked at."""

    def select(self, exchanges: Sequence[Exchange]) -> list[Selected]:
        """The exchanges to label, in order.

        Exchanges with verdicts attached upstream cost no labelling: they pass the screen and the budget, at `rate`.
        """
        numbers = [uniforms(one.id, self._config.key) for one in exchanges]
        looked = [index for index, (first, _, _) in enumerate(numbers) if first < self._config.rate]
        self.dropped["rate"] += len(exchanges) - len(looked)
        free = [index for index in looked if _attached(exchanges[index])]
        paid = [index for index in looked if not _attached(exchanges[index])]
        chosen = self._screened(exchanges, paid, numbers)
        kept = self._within_budget(chosen, numbers, len(paid))
        kept |= dict.fromkeys(free, (1.0, "uniform"))
        return [
            Selected(exchanges[index], 1.0 / (self._config.rate * probability), selection)
            for index, (probability, selection) in sorted(kept.items())
        ]

    def _screened(
        self, exchanges: Sequence[Exchange], indices: list[int], numbers: list[tuple[float, float, float]]
    ) -> dict[int, tuple[float, Selection]]:
        hits = self._hits([exchanges[index] for index in indices])
        chosen: dict[int, tuple[float, Selection]] = {}
        for index, hit in zip(indices, hits, strict=True):
            uniform = numbers[index][1] < self.uniform_rate
            if hit or uniform:
                chosen[index] = (1.0 if hit else self.uniform_rate, "uniform" if uniform else "screen")
        self.dropped["screen"] += len(indices) - len(chosen)
        return chosen

    def _hits(self, exchanges: list[Exchange]) -> list[bool]:
        if self._screen is None or not exchanges:
            return [False] * len(exchanges)
        scores = self._screen.score([prompt_alone(one) for one in exchanges])
        threshold = self._screen.threshold
        return [bool(score >= threshold) for score in scores]

    def _within_budget(
        self, chosen: dict[int, tuple[float, Selection]], numbers: list[tuple[float, float, float]], size: int
    ) -> dict[int, tuple[float, Selection]]:
        if self._budget is None and self.relief >= 1.0:
            self.keep = 1.0
            return chosen
        share = self._budget.share(self._clock.now(), size) if self._budget is not None else 1.0
        self.keep = max(MIN_KEEP, min(share, self.relief))
        kept = {
            index: (probability * self.keep, selection)
            for index, (probability, selection) in chosen.items()
            if numbers[index][2] < self.keep
        }
        self.dropped["budget"] += len(chosen) - len(kept)
        if self._budget is not None:
            self._budget.spend(size, len(chosen), len(kept))
        return kept


def _attached(exchange: Exchange) -> bool:
    given = exchange.labels
    return given is not None and (
        given.request is not None or given.behaviour is not None or given.unlabelable is not None
    )
