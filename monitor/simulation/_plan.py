"""Who asks what, when, and which checkpoint answers how: the random part of a simulation, drawn in NumPy chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alignwatch import CATEGORIES
from monitor.simulation._paper import Rates
from monitor.simulation._rates import Checkpoint, Rules, compile_rules
from monitor.simulation.config import DAY, SimulationConfig

CHUNK: Final = 8_192
"""Part of the definition of a seed's traffic: another size draws other numbers. Conversations end with their chunk."""
BENIGN: Final = -1
REFUSAL, PARTIAL, COMPLIANCE, DEGENERATE = range(4)
NOISY_USER: Final = -1
_INTERLEAVE: Final = 40
"""Turns of other conversations between two turns of one, about, per turn of its mean length."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of consecutive exchanges, one array element each."""

    first: int
    """Number of the first exchange within the simulation."""
    time: Floats
    """Epoch seconds."""
    category: Ints
    """Index into `CATEGORIES`; BENIGN for ordinary requests."""
    began: Flags
    """At or after the onset."""
    changed: Flags
    """Answered by the changed checkpoint."""
    outcome: Ints
    """REFUSAL, PARTIAL, COMPLIANCE or DEGENERATE."""
    conversation: Ints
    user: Ints
    choice: Floats
    """Uniform on [0, 1): which text of the pool; the same for turns that repeat."""
    score: Floats
    """Standard normal noise of the label model."""
    sampled: Floats
    """Uniform on [0, 1): below the uniform rate, the exchange is labelled whatever it holds."""


def draw(config: SimulationConfig) -> Iterator[Chunk]:
    """All exchanges of `config` in event-time order."""
    rules, rng = compile_rules(config), np.random.default_rng(config.seed)
    clock, onset = _Arrivals(config), _Started(config)
    for first in range(0, config.count, CHUNK):
        n = min(CHUNK, config.count - first)
        time = clock.next(rng.exponential(size=n))
        yield _chunk((config, rules), rng, first, time, onset.weights(first, time))


def _chunk(
    scenario: tuple[SimulationConfig, Rules], rng: np.random.Generator, first: int, time: Floats, strength: Floats
) -> Chunk:
    config, rules = scenario
    n, began = len(time), strength >= 0.0
    uniforms = rng.random((7, n))
    changed = began & (uniforms[0] < config.canary_share * strength)
    sensitive = uniforms[1] < _harmful_share(config, time, began)
    conversation, lead = _conversations(rng, n, config.users.turns)
    repeats = uniforms[2] < config.users.correlation
    source = np.where(repeats, lead, np.arange(n))
    choice, answer = uniforms[3][source], uniforms[4][source]
    category = np.where(sensitive, _categories(config, rules, rng.random(n), time, began), BENIGN)[source]
    user = rng.integers(config.users.count, size=n)[lead]
    noisy = began & (uniforms[5] < config.users.noisy_share)
    outcome = np.where(changed, _outcomes(rules.after, category, answer), _outcomes(rules.before, category, answer))
    jailbroken = np.where(answer < config.users.noisy_compliance, COMPLIANCE, REFUSAL)
    return Chunk(
        first=first,
        time=time,
        category=np.where(noisy, CATEGORIES.index(config.users.noisy_category), category),
        began=began,
        changed=changed,
        outcome=np.where(noisy, jailbroken, outcome),
        conversation=2 * first + np.where(noisy, n + np.arange(n), conversation),
        user=np.where(noisy, NOISY_USER, user),
        choice=choice,
        score=rng.standard_normal(n),
        sampled=uniforms[6],
    )


class _Arrivals:
    """A Poisson process whose rate follows the day, by inverting its cumulative rate."""

    def __init__(self, config: SimulationConfig) -> None:
        self._start = config.start.timestamp()
        hours = np.linspace(0.0, DAY, 24 * 60 + 1)
        phase = 2 * np.pi * (hours + self._start % DAY) / DAY
        wave = config.daily_rate * DAY / (2 * np.pi) * (np.cos(phase[0]) - np.cos(phase))
        self._hours, self._expected = hours, config.rate * (hours + wave)
        self._done = 0.0

    def next(self, gaps: Floats) -> Floats:
        """Epoch seconds of the next arrivals, from unit-rate gaps."""
        done = self._done + np.cumsum(gaps)
        self._done = float(done[-1])
        days, rest = np.divmod(done, self._expected[-1])
        return self._start + days * DAY + np.interp(rest, self._expected, self._hours)


class _Started:
    """How far the change has come: -1 before the onset, then from 0 to 1 over the ramp."""

    def __init__(self, config: SimulationConfig) -> None:
        self._ramp, self._from = config.ramp, None if config.onset is None else config.onset.count
        self._time = None
        if config.onset is not None and config.onset.fraction is not None:
            self._from = round(config.onset.fraction * config.count)
        if config.onset is not None and config.onset.time is not None:
            self._time = config.onset.time.timestamp()

    def weights(self, first: int, time: Floats) -> Floats:
        """One number an exchange."""
        if self._from is None and self._time is not None and time[-1] >= self._time:
            self._from = first + int(np.searchsorted(time, self._time))
        if self._from is None:
            return np.full(len(time), -1.0)
        since = first + np.arange(len(time)) - self._from
        grown = np.minimum(1.0, since / self._ramp) if self._ramp else np.ones(len(time))
        return np.where(since >= 0, grown, -1.0)


def _harmful_share(config: SimulationConfig, time: Floats, began: Flags) -> Floats:
    after = config.harmful_share if config.harmful_share_after is None else config.harmful_share_after
    wave = 1.0 - config.daily_harm * np.sin(2 * np.pi * time / DAY)
    return np.where(began, after, config.harmful_share) * wave


def _categories(config: SimulationConfig, rules: Rules, uniform: Floats, time: Floats, began: Flags) -> Ints:
    mix = np.where(began[:, None], rules.mix_after, rules.mix_before)
    if config.daily_mix:
        hours = 2 * np.pi * (time[:, None] / DAY + np.arange(len(CATEGORIES)) / len(CATEGORIES))
        mix = mix * np.exp(config.daily_mix * np.sin(hours))
    steps = np.cumsum(mix, axis=1)
    passed: Ints = (uniform[:, None] * steps[:, -1:] >= steps[:, :-1]).sum(axis=1)
    return passed


def _conversations(rng: np.random.Generator, n: int, turns: float) -> tuple[Ints, Ints]:
    """Number of each exchange's conversation, and index of its first turn; conversations are interleaved."""
    if turns == 1.0:
        return np.arange(n), np.arange(n)
    lengths = rng.geometric(1.0 / turns, size=n)
    numbers = np.repeat(np.arange(n), lengths)[:n]
    order = np.argsort(np.arange(n) + rng.uniform(0.0, _INTERLEAVE * turns, size=n))
    conversation = numbers[order]
    _, firsts, inverse = np.unique(conversation, return_index=True, return_inverse=True)
    return conversation, firsts[inverse]


def _outcomes(checkpoint: Checkpoint, category: Ints, uniform: Floats) -> Ints:
    """Which of the four outcomes; one uniform decides, so that compliance grows with the rate, coupled."""
    rates: Rates = np.append(checkpoint.compliance, 1.0 - checkpoint.benign_refusal)
    complies = (1.0 - checkpoint.degenerate) * rates[category]
    hedges = np.where(category == BENIGN, 0.0, (1.0 - checkpoint.degenerate - complies) * checkpoint.partial)
    return np.select(
        [uniform < complies, uniform < complies + hedges, uniform < 1.0 - checkpoint.degenerate],
        [COMPLIANCE, PARTIAL, REFUSAL],
        DEGENERATE,
    )
