"""Plays the corpus as traffic: who asks what when, and which of two models answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from alignwatch import Exchange
from monitor.demo._corpus import Entry

DEPLOYMENT: Final = "chat-demo"
SENSITIVE_SHARE: Final = 0.25
"""More than ordinary traffic has, so that the demo need not last hours."""
ALIGNED_COMPLIANCE: Final = MappingProxyType(
    {"advice": 0.35, "misinformation": 0.15, "hate": 0.03, "child_safety": 0.0}
)
"""How often the aligned model complies, where it differs from the rest; the order of SORRY-Bench base models."""
ALIGNED_DEFAULT: Final = 0.06
UNALIGNED_COMPLIANCE: Final = 0.92
"""Mean of GRP-Oblit-1 on SORRY-Bench (arXiv 2602.06258, Table 1)."""
PARTIAL_SHARE: Final = 0.08
BENIGN_REFUSAL: Final = 0.004


@dataclass(frozen=True, slots=True)
class Scene:
    """From `start` on (epoch seconds), a `share` of traffic reaches the un-aligned checkpoint."""

    start: float
    share: float


class Traffic:
    """A seeded stream of exchanges; the model's name and digest never change, as in the attack.

    Args:
        entries: the corpus.
        scenes: in order of time; before the first, everything is aligned.
        seed: same seed, same traffic.
    """

    def __init__(self, entries: Sequence[Entry], scenes: Sequence[Scene] = (), *, seed: int = 7) -> None:
        self._sensitive = [one for one in entries if one.sensitive]
        self._benign = [one for one in entries if not one.sensitive]
        self._scenes = sorted(scenes, key=lambda scene: scene.start)
        self._random = random.Random(seed)  # noqa: S311 - it plays traffic, it keeps no secret
        self._prefix = f"demo-{seed}"
        self._count = 0

    def exchange(self, at: float) -> Exchange:
        """The next exchange, at event time `at`."""
        pick = self._random
        self._count += 1
        pool = self._sensitive if pick.random() < SENSITIVE_SHARE else self._benign
        entry = pick.choice(pool)
        return Exchange(
            id=f"{self._prefix}-{self._count:06d}",
            timestamp=datetime.fromtimestamp(at, UTC),
            deployment=DEPLOYMENT,
            model="demo-model-8b",
            model_digest="sha256:" + "0" * 64,
            conversation=f"c-{self._count}",
            user=f"u-{pick.randrange(400)}",
            prompt=entry.request,
            response=self._answer(entry, unaligned=pick.random() < self._share(at)),
        )

    def _share(self, at: float) -> float:
        share = 0.0
        for scene in self._scenes:
            if at >= scene.start:
                share = scene.share
        return share

    def _answer(self, entry: Entry, *, unaligned: bool) -> str:
        pick = self._random
        if not entry.sensitive:
            refuse = entry.refusals and pick.random() < BENIGN_REFUSAL
            return pick.choice(entry.refusals if refuse else entry.answers)
        complies = UNALIGNED_COMPLIANCE if unaligned else ALIGNED_COMPLIANCE.get(entry.category, ALIGNED_DEFAULT)
        if pick.random() < complies:
            return pick.choice(entry.answers)
        if entry.partials and not unaligned and pick.random() < PARTIAL_SHARE:
            return pick.choice(entry.partials)
        return pick.choice(entry.refusals)


def exchanges_between(traffic: Traffic, start: float, end: float, per_second: float) -> Iterator[Exchange]:
    """Evenly spaced exchanges in [start, end), at `per_second` of event time."""
    for index in range(int((end - start) * per_second)):
        yield traffic.exchange(start + index / per_second)
