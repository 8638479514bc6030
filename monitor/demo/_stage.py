"""Runs the demo: fits a baseline from calm traffic, then plays the corpus into the real service, faster than life."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from alignwatch import Exchange, Label
from classifiers import Labeller
from monitor.baseline import Baseline, fit
from monitor.clock import ScaledClock
from monitor.config import Settings
from monitor.demo._corpus import load_corpus
from monitor.demo._traffic import Scene, Traffic, exchanges_between
from monitor.labelling import LabellingStage
from monitor.recorded import detection_config
from monitor.sampling import Selected
from monitor.sources import MemorySource

SPEED: Final = 120.0
"""Two minutes of traffic in each second."""
PER_SECOND: Final = 14.0
"""Exchanges in a real second: what two cores label with room to spare."""
BASELINE_EXCHANGES: Final = 12_000
BACKLOG: Final = 400


@dataclass(frozen=True)
class Script:
    """When what happens, in real seconds from the start."""

    onset: float = 45.0
    """The un-aligned checkpoint starts to take traffic."""
    canary: float = 12.0
    """For this long it takes a tenth; then all."""
    rollback: float | None = None
    """The old checkpoint comes back; never when None."""

    def scenes(self, start: float) -> list[Scene]:
        """The same in event time."""
        scenes = [Scene(start + self.onset * SPEED, 0.1), Scene(start + (self.onset + self.canary) * SPEED, 1.0)]
        if self.rollback is not None:
            scenes.append(Scene(start + self.rollback * SPEED, 0.0))
        return scenes


def fit_baseline(settings: Settings, labeller: Labeller, *, end: float) -> Baseline:
    """A baseline of calm traffic before `end`, read by the real classifier; the demo approves it itself.

    Texts repeat in the corpus, so each different pair is read once.
    """
    start = end - BASELINE_EXCHANGES / PER_SECOND * SPEED
    traffic = Traffic(load_corpus(), seed=11)
    exchanges = list(exchanges_between(traffic, start, end, PER_SECOND / SPEED))
    pairs: dict[tuple[str | None, str], Exchange] = {(one.prompt, one.response): one for one in exchanges}
    stage = LabellingStage(labeller)
    known: dict[tuple[str | None, str], Label] = {}
    todo = list(pairs.items())
    for at in range(0, len(todo), 64):
        part = todo[at : at + 64]
        labels = stage.label([Selected(one, 1.0, "uniform") for _, one in part])
        known |= {key: label for (key, _), label in zip(part, labels, strict=True)}
    lines = [
        known[one.prompt, one.response].model_copy(
            update={"id": one.id, "timestamp": one.timestamp, "conversation": one.conversation, "user": one.user}
        )
        for one in exchanges
    ]
    (baseline,) = fit(lines, detection_config(settings)).values()
    return baseline.approve("the demo", at=datetime.fromtimestamp(end, UTC))


class Player(threading.Thread):
    """Puts exchanges into the source as their time comes, and waits when the service falls behind."""

    def __init__(self, source: MemorySource, clock: ScaledClock, script: Script) -> None:
        super().__init__(name="demo-traffic", daemon=True)
        self._source = source
        self._clock = clock
        self._traffic = Traffic(load_corpus(), script.scenes(clock.now()))
        self._ended = threading.Event()

    def run(self) -> None:
        """Play until stopped."""
        step = SPEED / PER_SECOND
        at = self._clock.now()
        while not self._ended.is_set():
            self._clock.sleep(at - self._clock.now(), self._ended)
            if sum(self._source.lag().values()) < BACKLOG:
                self._source.put(self._traffic.exchange(self._clock.now()).to_json().encode())
            at = max(at + step, self._clock.now() - step)

    def stop(self) -> None:
        """End the traffic."""
        self._ended.set()
