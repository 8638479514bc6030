from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.errors import SourceError, StateError
from monitor.sources import MemorySource, Record, TopicPartition
from monitor.worker import Worker, WorkerConfig

HERE = TopicPartition("memory", 0)


class Breaker:
    breaker_open = False
    breaker_reason = "60 % of the last 200 records failed"

    def flush(self) -> None:
        if self.fault is not None:
            raise self.fault

    fault: SourceError | None = None


class Ledger:
    """A stage whose durable part is set only by a commit, like a state file."""

    def __init__(self, saved: tuple[list[str], dict[TopicPartition, int]] = ([], {})) -> None:
        self.taken: list[str] = list(saved[0])
        self.saved = saved
        self.broken = 0

    def take(self, records: Sequence[Record]) -> bool:
        self.taken += [one.value.decode() for one in records]
        return any(one.value.startswith(b"incident") for one in records)

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        return False

    def recover(self) -> None:
        pass

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        if self.broken:
            self.broken -= 1
            raise StateError("disk full")
        self.saved = (list(self.taken), positions)


def make(source: MemorySource, ledger: Ledger, clock: ManualClock | None = None, breaker: object = None) -> Worker:
    worker = Worker(
        source,
        ledger,
        dead_letters=breaker or Breaker(),  # type: ignore[arg-type]
        clock=clock or ManualClock(),
        config=WorkerConfig(max_records=2, poll_seconds=0.001, commit_seconds=5.0, retry_seconds=0.001),
        positions=dict(ledger.saved[1]),
    )
    source.start(dict(ledger.saved[1]))
    return worker


def filled(*values: str) -> MemorySource:
    source = MemorySource()
    for value in values:
        source.put(value.encode())
    return source


def test_a_run_reads_everything_commits_and_acknowledges() -> None:
    source, ledger = filled("a", "b", "c"), Ledger()
    source.finish()
    make(source, ledger).run()
    assert ledger.saved == (["a", "b", "c"], {HERE: 3})
    assert source.acked == {HERE: 3}


def test_nothing_is_acknowledged_before_the_state_committed() -> None:
    source, ledger, clock = filled("a", "b"), Ledger(), ManualClock()
    worker = make(source, ledger, clock)
    worker.step()
    assert (ledger.saved, source.acked) == (([], {}), {})
    clock.advance(6.0)
    worker.step()
    assert (ledger.saved, source.acked) == ((["a", "b"], {HERE: 2}), {HERE: 2})


def test_an_incident_is_committed_at_once() -> None:
    source, ledger = filled("incident"), Ledger()
    make(source, ledger).step()
    assert ledger.saved[1] == {HERE: 1}


def test_a_full_disk_stops_intake_says_so_and_loses_nothing() -> None:
    source, ledger, clock = filled("a", "b", "c", "d"), Ledger(), ManualClock()
    worker = make(source, ledger, clock)
    ledger.broken = 3
    clock.advance(6.0)
    worker.step()
    assert worker.fault == "state: disk full"
    for _ in range(2):
        worker.step()
    assert ledger.taken == ["a", "b"]
    assert source.acked == {}
    worker.step()
    assert worker.fault is None
    worker.step()
    worker.commit()
    assert ledger.saved == (["a", "b", "c", "d"], {HERE: 4})


def test_a_source_that_fails_is_polled_again() -> None:
    source, ledger = filled("a"), Ledger()
    worker = make(source, ledger)
    source.fail_poll(SourceError("broker away"))
    worker.step()
    assert worker.fault == "source: broker away"
    worker.step()
    assert worker.fault is None
    assert ledger.taken == ["a"]


def test_a_failed_acknowledgement_is_repeated_and_harmless() -> None:
    source, ledger, clock = filled("a"), Ledger(), ManualClock()
    worker = make(source, ledger, clock)
    source.fail_ack()
    clock.advance(6.0)
    worker.step()
    assert ledger.saved[1] == {HERE: 1}
    assert source.acked == {}
    clock.advance(6.0)
    worker.step()
    assert source.acked == {HERE: 1}


def test_an_open_breaker_halts_commits_and_reports() -> None:
    breaker = Breaker()
    source, ledger, clock = filled("a"), Ledger(), ManualClock()
    worker = make(source, ledger, clock, breaker)
    breaker.breaker_open = True
    clock.advance(6.0)
    worker.step()
    assert worker.fault is not None
    assert "60 %" in worker.fault
    assert (ledger.saved[1], source.acked) == ({}, {})
    assert not worker.commit()


def test_dead_letters_are_durable_before_anything_is_acknowledged() -> None:
    letters = Breaker()
    source, ledger, clock = filled("a"), Ledger(), ManualClock()
    worker = make(source, ledger, clock, letters)
    letters.fault = SourceError("topic away")
    clock.advance(6.0)
    worker.step()
    assert worker.fault == "dead letters: topic away"
    assert (ledger.saved[1], source.acked) == ({}, {})
    letters.fault = None
    worker.step()
    assert source.acked == {HERE: 1}


def test_redelivered_records_are_skipped() -> None:
    source, ledger = filled("a", "b", "c"), Ledger()
    worker = make(source, ledger)
    worker.step()
    source.redeliver()
    for _ in range(4):
        worker.step()
    assert ledger.taken == ["a", "b", "c"]


@given(kills=st.lists(st.integers(0, 12), max_size=8), commits=st.lists(st.booleans(), min_size=40, max_size=40))
def test_killed_at_any_moment_every_record_counts_once(kills: list[int], commits: list[bool]) -> None:
    values = [f"r{number}" for number in range(11)]
    saved: tuple[list[str], dict[TopicPartition, int]] = ([], {})
    decisions = iter(commits)
    for turns in [*kills, 40]:
        source, ledger, clock = filled(*values), Ledger(saved), ManualClock()
        worker = make(source, ledger, clock)
        for _ in range(turns):
            clock.advance(6.0 if next(decisions, True) else 0.0)
            worker.step()
        if turns == 40:
            worker.commit()
        saved = ledger.saved
    assert saved == (values, {HERE: 11})


@pytest.mark.parametrize("field", ["max_records", "poll_seconds", "commit_seconds"])
def test_pacing_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        WorkerConfig.model_validate({field: 0})
