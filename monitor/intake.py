"""From records to labels: decode, guard the clock, sample, drop duplicates, label; every loss is counted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alignwatch import Exchange, Label
from monitor.clock import Clock
from monitor.dead_letters import DeadLetters
from monitor.dedup import SeenIds, id_hash
from monitor.envelopes import DecodeLimits, PartlyDecodedError, decode
from monitor.errors import DecodeError
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.sampling import Sampler
from monitor.sources import Record

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

    def credible(self, timestamp: float) -> bool:
        """False, and counted, when the event time is out of bounds."""
        if self.clock is None:
            return True
        now = self.clock.now()
        if now - self.config.max_past_seconds <= timestamp <= now + self.config.max_future_seconds:
            return True
        self.metrics.quarantined()
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

    def read(self, records: Sequence[Record]) -> list[Label]:
        """Labels of the selected exchanges, in the order of their records."""
        guards = self._guards
        guards.metrics.received(len(records))
        exchanges = [one for record in records for one in self._decode(record)]
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
        for label in labels:
            guards.metrics.labelled(label)
        return labels

    def _decode(self, record: Record) -> Iterable[Exchange]:
        guards = self._guards
        try:
            found = decode(record, limits=guards.limits, default_deployment=guards.config.default_deployment)
        except PartlyDecodedError as error:
            guards.reject(record, error)
            found = error.decoded
        except DecodeError as error:
            guards.reject(record, error)
            return ()
        else:
            guards.dead_letters.decoded()
        guards.metrics.decoded(len(found))
        return [one for one in found if guards.credible(one.timestamp.timestamp())]


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
            if guards.credible(timestamp) and guards.new(label.deployment, label.id, timestamp):
                guards.metrics.labelled(label)
                labels.append(label)
        return labels

    def _parse(self, record: Record) -> Label | None:
        guards = self._guards
        try:
            if len(record.value) > guards.limits.max_bytes:
                raise DecodeError("too-large", f"{len(record.value)} bytes; at most {guards.limits.max_bytes}")
            label = Label.model_validate_json(record.value)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "label"
            guards.reject(record, DecodeError("not-a-label", f"{where}: {fault['msg']}"))
            return None
        except DecodeError as error:
            guards.reject(record, error)
            return None
        guards.metrics.decoded(1)
        guards.dead_letters.decoded()
        return label
