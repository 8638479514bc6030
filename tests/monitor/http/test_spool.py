"""The spool and the HTTP source: durable when told so, replayed after a restart, damage noticed."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import Future, wait
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import (
    HttpSource,
    HttpSourceConfig,
    InboxFullError,
    Incoming,
    MemoryInbox,
    MemoryProducer,
    MemorySource,
    ProducerInbox,
    TopicPartition,
)
from monitor.sources._spool import Spool

HERE = TopicPartition("http", 0)


def source(folder: Path, **changes) -> HttpSource:
    return HttpSource(HttpSourceConfig(spool=folder / "spool", **changes))


def opened(folder: Path, position: int | None = None, **changes) -> HttpSource:
    one = source(folder, **changes)
    one.start({} if position is None else {HERE: position})
    return one


def put(one: HttpSource, *values: bytes) -> None:
    one.put([Incoming(value, (("ce_id", value[:8]),), timestamp=5.0) for value in values]).result(5)


def values(one: HttpSource, count: int = 100) -> list[bytes]:
    return [record.value for record in one.poll(count, 0.0)]


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "spool").glob("*.spool"))


def test_what_was_accepted_is_handed_out_in_order_with_headers_and_time(tmp_path):
    one = opened(tmp_path)
    put(one, b"a", b"b")
    put(one, b"\xff\x00 not text")
    first, second, third = one.poll(10, 0.0)
    assert [record.value for record in (first, second, third)] == [b"a", b"b", b"\xff\x00 not text"]
    assert [record.offset for record in (first, second, third)] == [0, 1, 2]
    assert (first.where, first.headers, first.timestamp) == (HERE, (("ce_id", b"a"),), 5.0)
    assert third.headers == (("ce_id", b"\xff\x00 not t"),)
    assert one.poll(10, 0.0) == []


def test_after_a_restart_it_goes_on_where_the_state_says(tmp_path):
    one = opened(tmp_path)
    put(one, b"a", b"b", b"c")
    assert values(one) == [b"a", b"b", b"c"]
    one.close()
    again = opened(tmp_path, position=1)
    put(again, b"d")
    assert [(r.offset, r.value) for r in again.poll(10, 0.0)] == [(1, b"b"), (2, b"c"), (3, b"d")]


def test_without_a_state_everything_that_is_there_is_replayed(tmp_path):
    one = opened(tmp_path)
    put(one, b"a", b"b")
    one.close()
    assert values(opened(tmp_path)) == [b"a", b"b"]


def test_acknowledged_records_leave_the_disk_and_numbers_go_on(tmp_path):
    one = opened(tmp_path)
    put(one, b"secret text")
    values(one)
    one.ack({HERE: 1})
    assert segments(tmp_path) == []
    one.close()
    again = opened(tmp_path, position=1)
    put(again, b"next")
    assert [(r.offset, r.value) for r in again.poll(10, 0.0)] == [(1, b"next")]


def test_segments_rotate_and_go_one_by_one(tmp_path):
    one = opened(tmp_path, segment_bytes=1 << 16)
    for number in range(6):
        put(one, bytes([number]) * 40_000)
    assert len(segments(tmp_path)) == 3
    assert [len(value) for value in values(one)] == [40_000] * 6
    one.ack({HERE: 3})
    assert [int(path.stem) for path in segments(tmp_path)] == [2, 4]
    one.close()
    assert [r.offset for r in opened(tmp_path, position=3, segment_bytes=1 << 16).poll(10, 0.0)] == [3, 4, 5]


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 20])
def test_half_a_record_at_the_end_is_cut_off(tmp_path, cut):
    one = opened(tmp_path)
    put(one, b"kept")
    put(one, b"torn" * 10)
    one.close()
    (path,) = segments(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    again = opened(tmp_path)
    put(again, b"after")
    assert values(again) == [b"kept", b"after"]


def test_zeros_or_stale_blocks_where_the_last_append_was_torn_are_cut_off(tmp_path):
    one = opened(tmp_path)
    put(one, b"kept")
    size = segments(tmp_path)[0].stat().st_size
    put(one, b"x" * 5000, b"y" * 5000)
    one.close()
    (path,) = segments(tmp_path)
    with path.open("r+b") as file:
        file.seek(size + 4096)
        file.write(bytes(2000))
    assert values(opened(tmp_path)) == [b"kept"]


def test_damage_before_the_end_is_reported_and_nothing_skipped(tmp_path):
    one = opened(tmp_path)
    put(one, b"a" * 100)
    put(one, b"b" * 100)
    one.close()
    (path,) = segments(tmp_path)
    with path.open("r+b") as file:
        file.seek(60)
        file.write(b"!")
    with pytest.raises(SourceError, match="damaged at byte 0"):
        opened(tmp_path)


def test_damage_in_an_older_segment_is_reported_when_it_is_reached(tmp_path):
    one = opened(tmp_path, segment_bytes=1 << 16)
    put(one, b"a" * 70_000)
    put(one, b"b" * 70_000)
    one.close()
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    again = opened(tmp_path, segment_bytes=1 << 16)
    for _ in range(2):
        with pytest.raises(SourceError, match="damaged at record 0"):
            again.poll(10, 0.0)


def test_only_the_owner_can_read_it(tmp_path):
    one = opened(tmp_path)
    put(one, b"a")
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    for path in (tmp_path / "spool").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_processes_do_not_share_a_spool(tmp_path):
    one = opened(tmp_path)
    with pytest.raises(SourceError, match=r"another process uses this spool.*source\.http\.spool"):
        opened(tmp_path)
    one.close()
    opened(tmp_path).close()


def test_a_full_spool_takes_nothing_more_until_something_is_counted(tmp_path):
    one = opened(tmp_path, max_bytes=1 << 20)
    put(one, b"x" * (1 << 19))
    put(one, b"y" * (1 << 18))
    with pytest.raises(InboxFullError):
        one.put([Incoming(b"z" * (1 << 19))])
    values(one)
    one.ack({HERE: 2})
    put(one, b"z" * (1 << 19))


def test_nothing_is_taken_before_the_start_or_after_the_end(tmp_path):
    one = source(tmp_path)
    with pytest.raises(SourceError, match="not started"):
        one.put([Incoming(b"x")])
    assert not one.ready()
    one.start({})
    assert one.ready()
    one.close()
    with pytest.raises(SourceError):
        one.put([Incoming(b"x")])


def test_a_failed_write_keeps_nothing_and_is_told(tmp_path, monkeypatch):
    one = opened(tmp_path)
    put(one, b"before")
    monkeypatch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SourceError, match="No space left"):
        put(one, b"lost")
    assert not one.ready()
    monkeypatch.undo()
    put(one, b"after")
    assert one.ready()
    assert values(one) == [b"before", b"after"]
    one.close()
    assert values(opened(tmp_path)) == [b"before", b"after"]


def test_paused_it_takes_in_and_hands_out_nothing(tmp_path):
    one = opened(tmp_path)
    one.pause()
    put(one, b"a")
    assert values(one) == []
    assert one.lag() == {HERE: 1}
    one.resume()
    assert values(one) == [b"a"]
    assert (one.lag(), one.exhausted, one.assigned()) == ({HERE: 0}, False, frozenset({HERE}))


def test_a_waiting_poll_wakes_when_something_arrives(tmp_path):
    one = opened(tmp_path)
    thread = threading.Thread(target=put, args=(one, b"a"))
    thread.start()
    assert [r.value for r in one.poll(1, 30.0)] == [b"a"]
    thread.join()


def test_a_state_older_than_the_spool_goes_on_with_what_is_there(tmp_path, caplog):
    one = opened(tmp_path)
    put(one, b"a", b"b")
    values(one)
    one.ack({HERE: 2})
    put(one, b"c")
    one.close()
    assert [(r.offset, r.value) for r in opened(tmp_path, position=0).poll(9, 0.0)] == [(2, b"c")]
    assert "the spool begins after the state" in caplog.text


def test_many_senders_share_flushes_and_each_hears_of_its_own(tmp_path, monkeypatch):
    flushes = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (flushes.append(fd), real(fd)))
    one = opened(tmp_path)
    futures: list[Future[None]] = [one.put([Incoming(str(n).encode())]) for n in range(500)]
    done, _ = wait(futures, 10)
    assert len(done) == 500
    assert sorted(int(value) for value in values(one, 1000)) == list(range(500))
    assert len(flushes) < 500


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "poll", "ack", "restart"]), st.integers(1, 5)), min_size=1, max_size=25
    )
)
def test_whatever_happens_each_record_is_handed_out_once_and_in_order(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("spool")
    one, sent, got, committed = opened(folder, segment_bytes=1 << 16), 0, [], 0
    for step, n in steps:
        if step == "put":
            put(one, *(str(sent + i).encode().ljust(9000) for i in range(n)))
            sent += n
        elif step == "poll":
            got += [int(value) for value in values(one, n)]
        elif step == "ack":
            committed = len(got)
            one.ack({HERE: committed})
        else:
            one.close()
            got = got[:committed]
            one = opened(folder, position=committed, segment_bytes=1 << 16)
    got += [int(value) for value in values(one, 1000)]
    while more := values(one, 1000):
        got += [int(value) for value in more]
    one.close()
    assert got == list(range(sent))


def test_a_spool_numbers_on_from_a_state_that_knows_more(tmp_path):
    spool = Spool(tmp_path / "s", segment_bytes=1 << 20)
    spool.start_at(7)
    spool.append([Incoming(b"x")])
    assert (spool.first, spool.next) == (7, 8)
    spool.close()


def test_a_producer_behind_the_door_confirms_after_its_flush():
    producer = MemoryProducer()
    inbox = ProducerInbox(producer, "traffic")
    inbox.put([Incoming(b"a", key=b"k", headers=(("h", b"v"),))]).result(5)
    assert [(s.topic, s.key, s.value, s.headers) for s in producer.durable] == [("traffic", b"k", b"a", (("h", b"v"),))]
    producer.fail_flush()
    with pytest.raises(SourceError, match="injected"):
        inbox.put([Incoming(b"b")]).result(5)
    inbox.put([Incoming(b"c")]).result(5)
    assert [s.value for s in producer.durable] == [b"a", b"b", b"c"], "what the broker did not confirm is sent again"
    inbox.close()


def test_a_broker_that_stays_away_fills_the_inbox():
    producer = MemoryProducer()
    inbox = ProducerInbox(producer, "traffic", queue_bytes=5_000)
    producer.fail_flush(100)
    with pytest.raises(SourceError):
        inbox.put([Incoming(b"x" * 6_000)]).result(5)
    with pytest.raises(InboxFullError):
        inbox.put([Incoming(b"y")])


def test_the_memory_twin_keeps_the_same_promises():
    memory = MemorySource()
    memory.start({})
    inbox = MemoryInbox(memory, capacity=2)
    inbox.put([Incoming(b"a", timestamp=5.0)]).result(0)
    assert [(r.value, r.timestamp) for r in memory.poll(5, 0.0)] == [(b"a", 5.0)]
    with pytest.raises(InboxFullError):
        inbox.put([Incoming(b"x")] * 3)
    inbox.fault = SourceError("disk")
    with pytest.raises(SourceError, match="disk"):
        inbox.put([Incoming(b"x")]).result(0)
