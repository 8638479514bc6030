"""The loop: poll, read, count, commit, acknowledge, in that order: a stop anywhere loses and repeats nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from alignwatch import Label
from monitor.clock import Clock
from monitor.dead_letters import DeadLetters
from monitor.errors import SourceError, StateError
from monitor.intake import Intake
from monitor.sources import Source, TopicPartition

log = logging.getLogger(__name__)


class WorkerConfig(BaseModel):
    """How the loop paces itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_records: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Records a poll; with the classifier's speed it bounds the time between polls."""
    poll_seconds: Annotated[float, Field(gt=0)] = 0.5
    commit_seconds: Annotated[float, Field(gt=0)] = 5.0
    """State is committed at least this often, and at once when there is an incident."""
    retry_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Pause before trying again after a source or the state failed."""
    drain_seconds: Annotated[float, Field(gt=0)] = 10.0
    """On SIGTERM: at most this long for the last commit and the alerts; keep it below the pod's grace period."""


class Outlet(Protocol):
    """Where labels go: the detectors and their state, or a topic."""

    def take(self, labels: Sequence[Label]) -> bool:
        """Count the labels; True asks for a commit at once."""

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        """Make everything taken so far durable together with the positions.

        Raises:
            StateError: nothing was committed; may be tried again.
        """


class Worker:
    """Drives one source through one intake into one outlet.

    Args:
        source: where records come from; started by `run`.
        intake: records to labels.
        outlet: labels to evidence, or to a topic.
        positions: next offsets from the state, which win over what the source believes.
        on_turn: called after every turn, in the loop's thread: where detectors may be looked at.
    """

    def __init__(
        self,
        source: Source,
        intake: Intake,
        outlet: Outlet,
        *,
        dead_letters: DeadLetters,
        clock: Clock,
        config: WorkerConfig,
        positions: dict[TopicPartition, int],
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._intake = intake
        self._outlet = outlet
        self._dead_letters = dead_letters
        self._clock = clock
        self._config = config
        self._positions = positions
        self._on_turn = on_turn
        self._dirty = False
        self._committed_at = clock.now()
        self._stop = threading.Event()
        self._ticked_at = clock.now()
        self.fault: str | None = None
        """Why nothing is being committed just now; None when all is well."""

    @property
    def committed_at(self) -> float:
        """When the state was last committed, on the worker's clock."""
        return self._committed_at

    @property
    def ticked_at(self) -> float:
        """When the loop last turned, on the worker's clock."""
        return self._ticked_at

    def position_of(self, where: TopicPartition) -> int | None:
        """Next offset of a partition, committed or not: where to go on after a rebalance gave it back."""
        return self._positions.get(where)

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; safe from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Turn until stopped or the source is exhausted, then drain: last commit, acknowledge."""
        self._source.start(dict(self._positions))
        while not self._stop.is_set() and not self._source.exhausted:
            self.step()
            self._on_turn()
        self.commit()
        self._on_turn()

    def step(self) -> None:
        """One turn; a failing source or state is reported in `fault` and tried again, never skipped."""
        self._ticked_at = self._clock.now()
        try:
            records = self._source.poll(self._config.max_records, self._config.poll_seconds)
        except SourceError as error:
            self._failed(f"source: {error}")
            return
        urgent = False
        fresh = [one for one in records if one.offset >= self._positions.get(one.where, 0)]
        if fresh:
            urgent = self._outlet.take(self._intake.read(fresh))
            for one in fresh:
                self._positions[one.where] = one.offset + 1
            self._dirty = True
        due = self._clock.now() - self._committed_at >= self._config.commit_seconds
        if urgent or due or self.fault is not None:
            self.commit()

    def commit(self) -> bool:
        """Commit the outlet, then acknowledge; False when it failed and must be tried again."""
        if self._dead_letters.breaker_open:
            # Most records stopped decoding: the gateway changed its format. Committing would empty the topic into the
            # dead letters; the positions stay where all was well, and an operator decides.
            self._halt(f"decoding: {self._dead_letters.breaker_reason}")
            return False
        try:
            self._dead_letters.flush()
            self._outlet.commit(dict(self._positions))
        except SourceError as error:
            self._halt(f"dead letters: {error}")
            return False
        except StateError as error:
            self._halt(f"state: {error}")
            return False
        self._committed_at = self._clock.now()
        if self.fault is not None:
            log.info("recovered", extra={"fault": self.fault})
            self.fault = None
            self._source.resume()
        if self._dirty:
            self._acknowledge()
        return True

    def _acknowledge(self) -> None:
        held = self._source.assigned()
        try:
            self._source.ack({where: offset for where, offset in self._positions.items() if where in held})
            self._dirty = False
        except SourceError as error:
            # Our own state holds the offsets; the broker's copy only serves lag displays and is written again.
            log.warning("acknowledging failed", extra={"reason": str(error)})

    def _halt(self, reason: str) -> None:
        """Take nothing more in while nothing can be committed; polling goes on, or the broker would drop us."""
        self._source.pause()
        self._failed(reason)

    def _failed(self, reason: str) -> None:
        if self.fault != reason:
            log.error("stopped committing", extra={"reason": reason})
        self.fault = reason
        self._clock.sleep(self._config.retry_seconds, self._stop)
