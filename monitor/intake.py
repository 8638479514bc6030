"""From records to labels: decode, guard the clock, sample, drop duplicates, label; every loss is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alignwatch import Exchange, Label
from monitor.clock import Clock
from monitor.dead_letters import CLOCK_SKEW, DeadLetters
from monitor.dedup import SeenIds, id_hash
from monitor.envelopes import (
    DecodeLimits,
    Found,
    Half,
    JoinBuffer,
    PartlyDecodedError,
    Skipped,
    countable,
    decode_record,
)
from monitor.errors import DecodeError
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.sampling import Sampler
from monitor.sources import Record, TopicPartition

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class IntakeConfig(BaseModel):
    """What is taken in, and what is kept out as not credible."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_deployment: str | None = None
    """For envelopes that name none."""
    max_future_seconds: Seconds = 300.0
    """Records dated further ahead than this are quarantined: one wrong clock must not move the watermark."""
    max_past_seconds: Seconds = 7 * 86400.0
    """Records dated further back than this are quarantined."""
    dedup_window_seconds: Seconds = 3600.0
    """An id seen again within this much event time is ignored and counted."""
    dedup_capacity: Annotated[int, Field(ge=1000)] = 500_000
    join_seconds: Seconds = 120.0
    """How long half of a request/response pair waits for the other half; longer than the slowest answer takes."""
    join_capacity: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Halves that wait at most."""
    join_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 34)] = 64 << 20
    """Of all bodies that wait."""


class Intake(Protocol):
    """Records in, labels out; never raises for what a record holds."""

    def read(self, records: Sequence[Record]) -> list[Label]:
        """Labels of the records that were selected, in order."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What both kinds of intake share: limits, the duplicates' memory, dead letters, and counting."""

    config: IntakeConfig
    limits: DecodeLimits
    seen: SeenIds
    dead_letters: DeadLetters
    metrics: Metrics
    clock: Clock | None
    """None switches the clock guard off: recorded traffic may be of any age."""

    def credible(self, timestamp: float, record: Record) -> bool:
        """False, counted, and told in a dead letter about the record, when the event time is out of bounds."""
        if self.clock is None:
            return True
        now = self.clock.now()
        if now - self.config.max_past_seconds <= timestamp <= now + self.config.max_future_seconds:
            return True
        self.metrics.quarantined()
        bounds = f"-{self.config.max_past_seconds:g} to +{self.config.max_future_seconds:g}"
        self.dead_letters.write(
            record, DecodeError(CLOCK_SKEW, f"{timestamp - now:+.0f} s from now; allowed: {bounds}")
        )
        return False

    def new(self, deployment: str, identifier: str, timestamp: float) -> bool:
        """False, and counted, when the id was seen within the window."""
        if self.seen.add(id_hash(deployment, identifier), timestamp):
            return True
        self.metrics.duplicate()
        return False

    def reject(self, record: Record, error: DecodeError) -> None:
        """Write a dead letter."""
        self.metrics.dead_letter(error.reason)
        self.dead_letters.write(record, error)


class ExchangeIntake:
    """Stage A: traffic to labels.

    Args:
        guards: limits and counters.
        sampler: decides by id and prompt which exchanges are labelled.
        labelling: the classifier stage.
    """

    def __init__(self, guards: Guards, sampler: Sampler, labelling: LabellingStage) -> None:
        self._guards = guards
        self._sampler = sampler
        self._labelling = labelling
        config = guards.config
        self._joins = JoinBuffer(
            guards.limits, seconds=config.join_seconds, capacity=config.join_capacity, max_bytes=config.join_bytes
        )
        self._newest = 0.0
        self._read = 0
        self._ends: Counter[tuple[str, str, str | None]] = Counter()
        """Exchanges of the batch in hand by deployment, finish, and the gateway's word where that is unknown."""

    @property
    def sampler(self) -> Sampler:
        """Decides what is labelled."""
        return self._sampler

    def read(self, records: Sequence[Record]) -> list[Label]:
        """Labels of the selected exchanges, in the order of their records."""
        guards = self._guards
        guards.metrics.received(len(records))
        exchanges = [one for record in records for one in self._decode(record)]
        self._tell()
        self._give_up()
        selected = self._sampler.select(exchanges)
        guards.metrics.unsampled(len(exchanges) - len(selected))
        fresh = [
            one
            for one in selected
            if guards.new(one.exchange.deployment, one.exchange.id, one.exchange.timestamp.timestamp())
        ]
        began = time.perf_counter()
        labels = self._labelling.label(fresh)
        if fresh:
            guards.metrics.batch(len(fresh), time.perf_counter() - began)
        for one, label in zip(fresh, labels, strict=True):
            guards.metrics.labelled(label)
            self._compare(one.exchange, label)
        return labels

    def held(self) -> dict[TopicPartition, int]:
        """Where a restart has to read again, for partitions with halves that wait for their other half."""
        self._give_up()
        return self._joins.held()

    def _compare(self, exchange: Exchange, label: Label) -> None:
        """Count what the provider's filter and the classifier say about the same prompt."""
        given = exchange.labels.upstream if exchange.labels is not None else None
        if given is None or label.request is None:
            return
        ours = {label.request.category} - {"none"}
        theirs = set(given.request) - {"none"}
        for category in ours | theirs:
            both = category in ours and category in theirs
            agreement = "both" if both else "upstream-only" if category in theirs else "ours-only"
            self._guards.metrics.upstream(label.deployment, category, agreement)

    def _decode(self, record: Record) -> Iterable[Exchange]:
        guards = self._guards
        try:
            found = decode_record(record, limits=guards.limits, default_deployment=guards.config.default_deployment)
        except PartlyDecodedError as error:
            self._reject(record, error)
            found = error.decoded
        except DecodeError as error:
            self._reject(record, error)
            return ()
        else:
            self._read += 1
        return self._credible(self._complete(found, record), record)

    def _reject(self, record: Record, error: DecodeError) -> None:
        # The circuit breaker wants to know what was read before, first.
        self._tell()
        self._guards.reject(record, error)

    def _tell(self) -> None:
        """Counts what was read since the last time: once a batch, as a metric costs as much as sampling does."""
        guards = self._guards
        guards.dead_letters.decoded(self._read)
        guards.metrics.decoded(sum(self._ends.values()))
        for (deployment, finish, raw), n in self._ends.items():
            guards.metrics.finished(deployment, finish, raw, n)
        self._read = 0
        self._ends.clear()

    def _complete(self, found: Iterable[Found], record: Record) -> Iterator[Exchange]:
        """The exchanges, those that a half completes among them."""
        for one in found:
            if isinstance(one, Exchange):
                yield one
            elif isinstance(one, Skipped):
                self._guards.metrics.skipped(one.reason, one.count)
            else:
                yield from self._join(one, record)

    def _join(self, half: Half, record: Record) -> Sequence[Exchange]:
        self._newest = max(self._newest, record.timestamp or 0.0)
        try:
            return self._joins.add(half, record, self._now())
        except DecodeError as error:
            self._reject(record, error)
            return ()

    def _now(self) -> float:
        """The clock's time; for recorded traffic that of its transport, as far as it has one."""
        return self._newest if self._guards.clock is None else self._guards.clock.now()

    def _give_up(self) -> None:
        for lost in self._joins.give_up(self._now()):
            self._guards.reject(lost.record, lost.error)

    def _credible(self, exchanges: Iterable[Exchange], record: Record) -> list[Exchange]:
        guards = self._guards
        credible = []
        for one in exchanges:
            raw = countable(one.finish_reason) if one.finish == "unknown" and one.finish_reason else None
            self._ends[one.deployment, one.finish or "none", raw] += 1
            if guards.clock is None or guards.credible(one.timestamp.timestamp(), record):
                credible.append(one)
        return credible

    @property
    def waiting(self) -> int:
        """Halves without their other half."""
        return len(self._joins)


class LabelIntake:
    """Stage B's front: a `labels` topic or file, written by `run --role label` or `classify`."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    def read(self, records: Sequence[Record]) -> list[Label]:
        """The labels that parse, are credible, and were not seen before."""
        guards = self._guards
        guards.metrics.received(len(records))
        labels = []
        for record in records:
            label = self._parse(record)
            if label is None:
                continue
            timestamp = label.timestamp.timestamp()
            if guards.credible(timestamp, record) and guards.new(label.deployment, label.id, timestamp):
                guards.metrics.labelled(label)
                labels.append(label)
        return labels

    def _parse(self, record: Record) -> Label | None:
        guards = self._guards
        if len(record.value) > guards.limits.max_bytes:
            size = f"{len(record.value)} bytes; at most {guards.limits.max_bytes}"
            guards.reject(record, DecodeError("too-large", size))
            return None
        try:
            label = Label.model_validate_json(record.value)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "label"
            guards.reject(record, DecodeError("not-a-label", f"{where}: {fault['msg']}"))
            return None
        if label.request is None and label.behaviour is None and label.unlabelable is None:
            # An exchange has a label's required fields too: counting it would look like traffic that says nothing.
            guards.reject(record, DecodeError("not-a-label", "one of request, behaviour and unlabelable is required"))
            return None
        guards.metrics.decoded(1)
        guards.dead_letters.decoded()
        return label
