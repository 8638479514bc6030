"""The loop: poll, read, count, commit, acknowledge, in that order: a stop anywhere loses and repeats nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from typing import Annotated, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from monitor.clock import Clock
from monitor.dead_letters import DeadLetters
from monitor.errors import SourceError, StateError
from monitor.sources import Record, Source, TopicPartition

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS: Final = 1.0
"""A batch that takes longer than this is waited for with the partitions paused and polling going on."""


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
    backlog_seconds: Annotated[float, Field(gt=0)] | None = 900.0
    """A backlog that takes longer than this to label is worked off by labelling a smaller share, with weights that say
    so; unset, it may grow without bound."""
    drain_seconds: Annotated[float, Field(gt=0)] = 10.0
    """On SIGTERM: at most this long for the last commit and the alerts; keep it below the pod's grace period."""


OnTime = Callable[[str, float, int], None]
"""Hears of a step, its seconds and its records."""


class ReadAgainError(StateError):
    """What was taken since the last commit is gone, here and at the outlet: it must be read again.

    Args:
        reason: in one line.
        fault: False when nothing is wrong, as after a rebalance.
    """

    def __init__(self, reason: str, *, fault: bool = True) -> None:
        super().__init__(reason)
        self.fault = fault


class Stage(Protocol):
    """What the loop drives: records in, something durable out."""

    def take(self, records: Sequence[Record]) -> bool:
        """Read and count the records; True asks for a commit at once."""

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        """Make everything taken so far durable together with the positions.

        Raises:
            ReadAgainError: nothing was committed, and what was taken is gone.
            StateError: nothing was committed; may be tried again.
        """

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        """Other members own these partitions now, or did; True when their positions are no longer ours to say."""

    def recover(self) -> None:
        """Called before reading again: afterwards nothing of a failed commit can take effect.

        Raises:
            SourceError: not possible yet.
        """


class Membership(Protocol):
    """The side of a source that shares its partitions with other processes."""

    def lost(self) -> frozenset[TopicPartition]:
        """Partitions taken from us since the last call, even if they came back."""

    def rewind(self) -> None:
        """Go back to what is committed before handing out the next record."""


class Worker:
    """Drives one source through one stage.

    Args:
        source: where records come from; started by `run`.
        stage: what becomes of them.
        positions: next offsets from the state, which win over what the source believes.
        membership: the source again, where it shares its partitions with others and the stage commits its offsets.
        background: whether batches are taken in a thread, so that polling goes on while the classifier is busy.
        on_time: told how long each step of a turn took: `poll`, `take` or `commit`, seconds, and records in hand.
        held: for partitions of which earlier records are still needed (half of a pair), where a restart must begin.
    """

    def __init__(
        self,
        source: Source,
        stage: Stage,
        *,
        dead_letters: DeadLetters,
        clock: Clock,
        config: WorkerConfig,
        positions: dict[TopicPartition, int],
        membership: Membership | None = None,
        background: bool = False,
        on_time: OnTime = lambda _step, _seconds, _records: None,
        held: Callable[[], Mapping[TopicPartition, int]] = dict,
    ) -> None:
        self._source = source
        self._stage = stage
        self._dead_letters = dead_letters
        self._clock = clock
        self._config = config
        self._positions = positions
        self._membership = membership
        self._thread = ThreadPoolExecutor(1, "take") if background else None
        self._on_time = on_time
        self._held = held
        self._dirty = False
        self._read_again = False
        self._committed_at = clock.now()
        self._stop = threading.Event()
        self._ticked_at = clock.now()
        self.on_turn: Callable[[], None] = lambda: None
        """Called after every turn, in the loop's thread: where detectors may be looked at."""
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
        try:
            while not self._stop.is_set() and not self._source.exhausted:
                self.step()
                self.on_turn()
            # Still a member of the group, so this commit counts; what it can't save is read again by whoever is next.
            self._note_lost()
            if not self._read_again:
                self.commit()
            self.on_turn()
        finally:
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    def step(self) -> None:
        """One turn; a failing source or state is reported in `fault` and tried again, never skipped."""
        self._ticked_at = self._clock.now()
        if self._read_again and not self._rewound():
            return
        began = time.perf_counter()
        try:
            records = self._source.poll(self._config.max_records, self._config.poll_seconds)
        except SourceError as error:
            self._note_lost()
            self._failed(f"source: {error}")
            return
        self._on_time("poll", time.perf_counter() - began, len(records))
        self._note_lost()
        urgent = False
        fresh = [one for one in records if one.offset >= self._positions.get(one.where, 0)]
        if fresh:
            urgent = self._take(fresh)
            for one in fresh:
                self._positions[one.where] = one.offset + 1
            self._dirty = True
            self._note_lost()
        due = self._clock.now() - self._committed_at >= self._config.commit_seconds
        if urgent or due or self.fault is not None:
            self.commit()

    def _take(self, records: Sequence[Record]) -> bool:
        began = time.perf_counter()
        urgent = (
            self._stage.take(records)
            if self._thread is None
            else self._wait_for(self._thread.submit(self._stage.take, records))
        )
        self._on_time("take", time.perf_counter() - began, len(records))
        return urgent

    def _wait_for(self, batch: Future[bool]) -> bool:
        paused = False
        while True:
            try:
                urgent = batch.result(KEEP_ALIVE_SECONDS)
            except NotYetError:
                # Paused, or records would pile up in memory; polled, or a rebalance would wait for this batch.
                if not paused:
                    self._source.pause()
                    paused = True
                self._keep_polling()
            else:
                if paused:
                    self._source.resume()
                return urgent

    def _keep_polling(self) -> None:
        try:
            self._source.poll(1, 0.0)
        except SourceError as error:
            log.warning("polling failed while a batch is in hand", extra={"reason": str(error)})

    def _note_lost(self) -> None:
        lost = self._membership.lost() if self._membership is not None else frozenset()
        if lost and self._stage.forget(lost):
            for part in lost:
                self._positions.pop(part, None)

    def commit(self) -> bool:
        """Commit the stage, then acknowledge; False when it failed and must be tried again."""
        if self._dead_letters.breaker_open:
            # Most records stopped decoding: the gateway changed its format. Committing would empty the topic into the
            # dead letters; the positions stay where all was well, and an operator decides.
            self._halt(f"decoding: {self._dead_letters.breaker_reason}")
            return False
        began = time.perf_counter()
        positions = self._safe_positions()
        try:
            self._dead_letters.flush()
            self._stage.commit(positions)
        except SourceError as error:
            self._halt(f"dead letters: {error}")
            return False
        except ReadAgainError as error:
            self._forget_all(error)
            return False
        except StateError as error:
            self._halt(f"state: {error}")
            return False
        self._on_time("commit", time.perf_counter() - began, 0)
        self._committed_at = self._clock.now()
        if self.fault is not None:
            log.info("recovered", extra={"fault": self.fault})
            self.fault = None
            self._source.resume()
        if self._dirty and self._membership is None:
            self._acknowledge(positions)
        return True

    def _safe_positions(self) -> dict[TopicPartition, int]:
        """Where to go on after a restart: what was read again changes nothing, what was not read is lost."""
        held = self._held()
        return {where: min(offset, held.get(where, offset)) for where, offset in self._positions.items()}

    def _forget_all(self, error: ReadAgainError) -> None:
        self._positions.clear()
        self._dirty = False
        self._read_again = True
        if error.fault:
            self._failed(f"state: {error}")
        else:
            log.info("reading again", extra={"reason": str(error)})

    def _rewound(self) -> bool:
        try:
            self._stage.recover()
        except SourceError as error:
            self._failed(f"state: {error}")
            return False
        if self._membership is not None:
            self._membership.rewind()
        self._read_again = False
        return True

    def _acknowledge(self, positions: Mapping[TopicPartition, int]) -> None:
        ours = self._source.assigned()
        try:
            self._source.ack({where: offset for where, offset in positions.items() if where in ours})
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
