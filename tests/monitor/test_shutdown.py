from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.cli._run import stop_on_signals
from monitor.clock import ManualClock
from monitor.config import HttpConfig, Settings
from monitor.dead_letters import MemoryDeadLetters
from monitor.errors import MonitorError, StateError
from monitor.metrics import Metrics
from monitor.service import Parts, Service
from monitor.sources import MemorySource, Record, TopicPartition
from monitor.worker import Worker, WorkerConfig


class Diary:
    """Everything that a shutdown touches, and in which order, with what `/readyz` said at that moment."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bool]] = []
        self.service: Service | None = None
        self.broken = False

    def note(self, what: str) -> None:
        assert self.service is not None
        self.lines.append((what, self.service.ready()[0]))

    def take(self, records: list[Record]) -> bool:
        self.note("take")
        return False

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        return False

    def recover(self) -> None:
        pass

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        self.note("commit")
        if self.broken:
            raise StateError("disk full")

    def drain(self, deadline: float) -> int:
        self.note("alerts")
        return 0

    def close(self) -> None:
        self.note("state")


class Source(MemorySource):
    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self.diary = diary

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        found = super().poll(max_records, timeout)
        assert self.diary.service is not None
        self.diary.service.stop()
        return found

    def close(self) -> None:
        self.diary.note("leave")
        super().close()


def make(diary: Diary) -> Service:
    source, clock = Source(diary), ManualClock()
    source.put(b"record")
    worker = Worker(
        source,
        diary,  # type: ignore[arg-type]
        dead_letters=MemoryDeadLetters(),
        clock=clock,
        config=WorkerConfig(poll_seconds=0.001, retry_seconds=0.001, commit_seconds=100.0),
        positions={},
    )
    parts: dict[str, Any] = {
        "settings": Settings(http=HttpConfig(enabled=False)), "worker": worker, "source": source,
        "source_kind": "memory", "metrics": Metrics(), "state": None, "engine": None, "outbox": None,
        "dispatcher": diary, "classifier": None, "clock": clock, "close": diary.close,
    }  # fmt: skip
    diary.service = Service(Parts(**parts))
    return diary.service


def test_the_order_of_an_end_is_batch_commit_leave_alerts_and_not_ready_first() -> None:
    diary = Diary()
    make(diary).run()
    assert diary.lines == [
        ("take", False),
        ("commit", False),
        ("leave", False),
        ("alerts", False),
        ("state", False),
    ]


def test_an_end_without_a_last_commit_takes_everything_down_and_says_so() -> None:
    diary = Diary()
    diary.broken = True
    with pytest.raises(MonitorError, match="stopped without a last commit: state: disk full"):
        make(diary).run()
    assert [what for what, _ in diary.lines] == ["take", "commit", "leave", "alerts", "state"]


@pytest.fixture
def handlers() -> Iterator[None]:
    held = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_the_first_signal_asks_and_the_second_forces(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    diary = Diary()
    service = make(diary)
    stop_on_signals(service)
    signal.raise_signal(signal.SIGTERM)
    assert (service.ready(), ended) == ((False, "stopping"), [])
    signal.raise_signal(signal.SIGINT)
    assert ended == [128 + signal.SIGINT]
