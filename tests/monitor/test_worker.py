from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.errors import SourceError, StateError
from monitor.sources import MemorySource, Record, TopicPartition
from monitor.worker import ReadAgainError, Worker, WorkerConfig

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


class Shared(MemorySource):
    """A source whose partitions may be taken away, and that counts how it is treated."""

    def __init__(self) -> None:
        super().__init__(partitions=2)
        self.gone: list[frozenset[TopicPartition]] = []
        self.rewinds = self.polls_while_paused = 0
        self.polled = threading.Event()

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        if self._paused:
            self.polls_while_paused += 1
            self.polled.set()
        return super().poll(max_records, timeout)

    def lost(self) -> frozenset[TopicPartition]:
        return self.gone.pop() if self.gone else frozenset()

    def rewind(self) -> None:
        self.rewinds += 1
        self.redeliver()


class Shy(Ledger):
    """A stage whose commits may fail for good, and that can't recover at once."""

    def __init__(self) -> None:
        super().__init__()
        self.again: ReadAgainError | None = None
        self.recoveries = 0
        self.stuck = 0
        self.forgotten: list[frozenset[TopicPartition]] = []

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        self.forgotten.append(parts)
        return True

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        if self.again is not None:
            error, self.again = self.again, None
            self.taken = list(self.saved[0])
            raise error
        super().commit(positions)

    def recover(self) -> None:
        self.recoveries += 1
        if self.stuck:
            self.stuck -= 1
            raise SourceError("no answer")


def share(source: Shared, stage: Shy, *, background: bool = False) -> Worker:
    worker = Worker(
        source,
        stage,
        dead_letters=Breaker(),  # type: ignore[arg-type]
        clock=ManualClock(),
        config=WorkerConfig(max_records=4, poll_seconds=0.001, retry_seconds=0.001),
        positions={},
        membership=source,
        background=background,
    )
    source.start({})
    return worker


def test_a_commit_that_is_lost_is_read_again_after_it_can_no_longer_take_effect() -> None:
    source, stage = Shared(), Shy()
    for value in (b"a", b"b"):
        source.put(value)
    worker = share(source, stage)
    worker.step()
    assert stage.taken == ["a", "b"]
    stage.again, stage.stuck = ReadAgainError("no answer to the commit"), 2
    assert not worker.commit()
    assert worker.fault == "state: no answer to the commit"
    for _ in range(2):
        worker.step()
    assert (source.rewinds, stage.recoveries, stage.taken) == (0, 2, [])
    assert worker.fault == "state: no answer"
    worker.step()
    assert (source.rewinds, stage.taken, worker.fault) == (1, ["a", "b"], None)
    assert stage.saved == (["a", "b"], {HERE: 2})
    assert source.acked == {}, "the stage commits offsets itself"


def test_a_batch_spoiled_by_a_rebalance_is_no_fault() -> None:
    source, stage = Shared(), Shy()
    source.put(b"a")
    worker = share(source, stage)
    worker.step()
    stage.again = ReadAgainError("went to another member", fault=False)
    worker.commit()
    assert worker.fault is None
    worker.step()
    assert stage.taken == ["a"]


def test_positions_of_partitions_that_went_away_are_forgotten() -> None:
    source, stage = Shared(), Shy()
    source.put(b"a")
    source.put(b"b", partition=1)
    worker = share(source, stage)
    worker.step()
    other = TopicPartition("memory", 1)
    source.gone.append(frozenset({other}))
    worker.step()
    assert frozenset({other}) in stage.forgotten
    assert (worker.position_of(HERE), worker.position_of(other)) == (1, None)


def test_polling_goes_on_with_partitions_paused_while_a_batch_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.worker.KEEP_ALIVE_SECONDS", 0.005)
    source, stage = Shared(), Shy()
    for value in (b"a", b"b", b"c", b"d", b"e", b"f"):
        source.put(value)

    def wait_and_take(records: Sequence[Record]) -> bool:
        assert source.polled.wait(30), "nobody polled while the classifier was busy"
        return Ledger.take(stage, records)

    monkeypatch.setattr(stage, "take", wait_and_take)
    worker = share(source, stage, background=True)
    worker.step()
    assert source.polls_while_paused >= 1
    assert stage.taken == ["a", "b", "c", "d"], "and nothing was handed out meanwhile"
    worker.step()
    assert stage.taken == ["a", "b", "c", "d", "e", "f"]


def test_a_fault_of_the_stage_reaches_the_caller_from_its_thread() -> None:
    source, stage = Shared(), Shy()
    source.put(b"a")
    worker = share(source, stage, background=True)
    stage.taken = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        worker.step()


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
