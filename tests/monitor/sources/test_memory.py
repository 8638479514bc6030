"""What the in-memory twins add to the protocol: faults on demand, threads, and bounded memory."""

from __future__ import annotations

import threading

import pytest

from monitor.errors import SourceError
from monitor.sources import MemoryProducer, MemorySource, Sent, TopicPartition

HERE = TopicPartition("memory", 0)


def started(*values: bytes) -> MemorySource:
    source = MemorySource()
    for value in values:
        source.put(value)
    source.start({})
    return source


def test_a_waiting_poll_is_woken_by_a_record_the_end_or_the_close() -> None:
    for wake in (lambda source: source.put(b"x"), MemorySource.finish, MemorySource.close):
        source = started()
        found: list[list[bytes]] = []
        thread = threading.Thread(target=lambda: found.append([one.value for one in source.poll(5, 30.0)]))  # noqa: B023 - joined within the turn
        thread.start()
        wake(source)
        thread.join(10.0)
        assert not thread.is_alive()
        assert found in ([[b"x"]], [[]])


def test_key_headers_and_time_come_along() -> None:
    source = MemorySource("t", partitions=2)
    assert source.put(b"v", key=b"k", headers=[("h", b"1")], timestamp=5.0, partition=1) == 0
    source.start({})
    (one,) = source.poll(5, 0.0)
    assert (one.key, one.headers, one.timestamp, one.where) == (b"k", (("h", b"1"),), 5.0, TopicPartition("t", 1))


def test_acknowledged_records_are_let_go_and_cannot_be_asked_for_again() -> None:
    source = started(b"a", b"b", b"c")
    source.poll(3, 0.0)
    source.ack({HERE: 2})
    assert source.acked == {HERE: 2}
    source.redeliver()
    assert [one.value for one in source.poll(5, 0.0)] == [b"c"]
    with pytest.raises(SourceError, match=r"memory\[0\] starts at 2, after 0"):
        source.start({HERE: 0})


def test_a_broker_that_is_away_is_not_ready_and_loses_nothing() -> None:
    source = started(b"a")
    source.go_down()
    assert (source.ready(), source.poll(5, 0.0)) == (False, [])
    source.go_down(down=False)
    assert source.ready()
    assert len(source.poll(5, 0.0)) == 1


def test_injected_faults_are_raised_once_each() -> None:
    source = started(b"a")
    source.fail_poll(times=2)
    source.fail_ack(SourceError("away"))
    for _ in range(2):
        with pytest.raises(SourceError, match="injected poll fault"):
            source.poll(1, 0.0)
    assert len(source.poll(1, 0.0)) == 1
    with pytest.raises(SourceError, match="away"):
        source.ack({HERE: 1})
    source.ack({HERE: 1})


def test_a_producer_holds_back_until_flushed() -> None:
    producer = MemoryProducer()
    producer.send("t", b"k", b"v", [("h", b"1")])
    assert producer.durable == []
    producer.fail_flush()
    with pytest.raises(SourceError, match="1 records kept"):
        producer.flush()
    producer.flush()
    assert producer.durable == [Sent("t", b"k", b"v", (("h", b"1"),))]
    producer.send("t", None, b"lost")
    producer.close()
    assert (len(producer.durable), producer.pending) == (1, [])
