"""What every source promises, as checks that run over each twin and over the real broker alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from monitor.sources import Record, Source, TopicPartition

VALUES = [b'{"n": %d}' % number for number in range(12)]
Open = Callable[[], Source]


@dataclass(frozen=True)
class Subject:
    """A source to try.

    Attributes:
        open: a new, unstarted source over `VALUES` in one partition; each call reads the same traffic.
        rereadable: whether a second source may start anywhere (stdin may not).
        finite: whether the traffic ends.
        patience: seconds that records may take to come.
    """

    open: Open
    rereadable: bool = True
    finite: bool = True
    patience: float = 2.0


def drain(source: Source, count: int, patience: float, size: int = 100) -> list[Record]:
    """Poll until `count` records came, and once more to see what should not come."""
    found: list[Record] = []
    deadline = time.monotonic() + patience
    while len(found) < count and time.monotonic() < deadline:
        found += source.poll(min(size, count - len(found)), 0.05)
    return found + source.poll(size, 0.05)


def nothing_before_the_start(subject: Subject) -> None:
    source = subject.open()
    assert not source.ready()
    assert not source.exhausted
    assert source.assigned() == frozenset()
    source.close()


def everything_once_in_order(subject: Subject) -> None:
    source = subject.open()
    source.start({})
    found = drain(source, len(VALUES), subject.patience)
    assert [one.value for one in found] == VALUES
    assert [one.offset for one in found] == list(range(len(VALUES)))
    assert {one.where for one in found} == source.assigned()
    assert source.ready()
    source.poll(1, 0.01)
    assert source.exhausted == subject.finite
    source.close()
    assert not source.ready()


def no_more_than_asked_for(subject: Subject) -> None:
    source = subject.open()
    source.start({})
    sizes = []
    found: list[Record] = []
    deadline = time.monotonic() + subject.patience
    while len(found) < len(VALUES) and time.monotonic() < deadline:
        part = source.poll(5, 0.05)
        sizes.append(len(part))
        found += part
    assert [one.value for one in found] == VALUES
    assert max(sizes) <= 5
    source.close()


def a_stated_position_wins_over_what_was_acknowledged(subject: Subject) -> None:
    if not subject.rereadable:
        return
    source = subject.open()
    source.start({})
    (where,) = {one.where for one in drain(source, len(VALUES), subject.patience)}
    source.ack({where: len(VALUES)})
    source.close()
    again = subject.open()
    again.start({where: 7})
    assert [one.offset for one in drain(again, len(VALUES) - 7, subject.patience)] == list(range(7, len(VALUES)))
    again.close()


def a_pause_holds_back_and_loses_nothing(subject: Subject) -> None:
    source = subject.open()
    source.start({})
    found = drain_exactly(source, 4, subject.patience)
    source.pause()
    assert source.poll(100, 0.01) == []
    assert source.poll(100, 0.01) == []
    assert source.ready()
    assert not source.exhausted
    source.resume()
    found += drain(source, len(VALUES) - 4, subject.patience)
    assert [one.value for one in found] == VALUES
    source.close()


def drain_exactly(source: Source, count: int, patience: float) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + patience
    while len(found) < count and time.monotonic() < deadline:
        found += source.poll(count - len(found), 0.05)
    return found


def acknowledging_changes_nothing_that_is_handed_out(subject: Subject) -> None:
    source = subject.open()
    source.start({})
    found: list[Record] = []
    deadline = time.monotonic() + subject.patience
    while len(found) < len(VALUES) and time.monotonic() < deadline:
        part = source.poll(3, 0.05)
        found += part
        source.ack({one.where: one.offset + 1 for one in part})
    assert [one.value for one in found] == VALUES
    source.ack({TopicPartition("of somebody else", 9): 5} if subject.finite else {})
    source.close()


def lag_is_of_our_partitions_and_falls_to_nothing(subject: Subject) -> None:
    source = subject.open()
    source.start({})
    drain(source, len(VALUES), subject.patience)
    deadline = time.monotonic() + subject.patience
    while any(source.lag().values()) and time.monotonic() < deadline:
        source.poll(1, 0.05)
    assert source.lag().keys() <= source.assigned()
    assert set(source.lag().values()) <= {0}
    source.close()


CHECKS = (
    nothing_before_the_start,
    everything_once_in_order,
    no_more_than_asked_for,
    a_stated_position_wins_over_what_was_acknowledged,
    a_pause_holds_back_and_loses_nothing,
    acknowledging_changes_nothing_that_is_handed_out,
    lag_is_of_our_partitions_and_falls_to_nothing,
)
