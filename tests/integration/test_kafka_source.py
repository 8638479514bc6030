"""The Kafka source and producer against a real broker: codecs, positions, acknowledgement, rebalances, an outage."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer
from kafka_broker import KafkaBroker

from monitor.envelopes import DecodeLimits, decode
from monitor.errors import DecodeError, SourceError
from monitor.sources import KafkaConfig, KafkaProducerSink, KafkaSource, Record, TopicPartition

pytestmark = pytest.mark.integration

Open = Callable[..., KafkaSource]


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_kafka(kafka_broker: KafkaBroker, group: str) -> Iterator[Open]:
    """Opens sources of one group and closes what the test left open."""
    opened: list[KafkaSource] = []

    def make(topic: str, positions: dict[TopicPartition, int] | None = None, **settings: object) -> KafkaSource:
        position_of = settings.pop("position_of", None)
        defaults = {
            "bootstrap_servers": (kafka_broker.bootstrap,),
            "topics": (topic,),
            "group_id": group,
            "session_timeout_ms": 6_000,
            "heartbeat_interval_ms": 500,
            "fetch_max_wait_ms": 100,
        }
        config = KafkaConfig(**defaults | settings)
        source = KafkaSource(config, position_of=position_of)
        source.start(positions or {})
        opened.append(source)
        return source

    yield make
    for source in opened:
        source.close()


def send(
    broker: KafkaBroker, topic: str, values: list[bytes], *, partition: int | None = None, **options: object
) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=8 << 20, **options)
    try:
        for future in [producer.send(topic, value=value, partition=partition) for value in values]:
            future.get(timeout=60)
    finally:
        producer.close(timeout=5)


def values(count: int, start: int = 0) -> list[bytes]:
    return [b"value-%d" % number for number in range(start, start + count)]


def drain(source: KafkaSource, count: int, seconds: float = 60.0) -> list[Record]:
    """Poll until `count` records came, and a moment longer, to see what should not come."""
    found: list[Record] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        found += source.poll(100, 0.2)
    return found + source.poll(100, 0.1)


def wait_for(condition: Callable[[], bool], turn: Callable[[], object], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        turn()
    return True


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_are_read(kafka_broker, fresh_topic, open_kafka, codec):
    topic = fresh_topic()
    send(kafka_broker, topic, values(50), compression_type=codec)

    records = drain(open_kafka(topic), 50)

    assert [one.value for one in records] == values(50)
    assert [one.offset for one in records] == list(range(50))
    assert records[0].where == TopicPartition(topic, 0)
    assert abs(records[0].timestamp - time.time()) < 60


def test_headers_keys_and_tombstones_arrive(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
    producer.send(topic, key=b"k", value=None, headers=[("h", b"1"), ("empty", b"")]).get(timeout=60)
    producer.close(timeout=5)

    (record,) = drain(open_kafka(topic), 1)

    assert (record.key, record.value, record.headers) == (b"k", b"", (("h", b"1"), ("empty", b"")))


def test_our_positions_win_over_committed_ones(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    part = TopicPartition(topic, 0)
    send(kafka_broker, topic, values(10))
    first = open_kafka(topic)
    drain(first, 10)
    first.ack({part: 9})
    first.close()

    records = drain(open_kafka(topic, {part: 4}), 6)

    assert [one.offset for one in records] == [4, 5, 6, 7, 8, 9]


def test_acknowledged_offsets_are_where_a_new_consumer_begins(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    send(kafka_broker, topic, values(10))
    first = open_kafka(topic)
    drain(first, 10)
    part = TopicPartition(topic, 0)

    def acknowledged() -> bool:
        # A busy machine may have cost the membership, and with it the right to acknowledge, until the next polls.
        try:
            first.ack({part: 7})
            return first.committed(part) == 7
        except SourceError:
            return False

    assert wait_for(acknowledged, lambda: first.poll(10, 0.1))
    first.close()

    assert [one.offset for one in drain(open_kafka(topic), 3)] == [7, 8, 9]


def test_closing_acknowledges_nothing(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    send(kafka_broker, topic, values(5))
    first = open_kafka(topic)
    assert len(drain(first, 5)) == 5
    first.close()

    assert len(drain(open_kafka(topic), 5)) == 5


def test_a_position_beyond_the_end_is_refused_and_nothing_is_skipped(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    send(kafka_broker, topic, values(3))
    source = open_kafka(topic, {TopicPartition(topic, 0): 50})

    with pytest.raises(SourceError, match="ends at 3, before our position 50"):
        wait_for(lambda: False, lambda: source.poll(10, 0.2), 20)
    with pytest.raises(SourceError, match="position 50"):
        source.poll(10, 0.2)
    assert not source.ready()


def test_records_lost_to_retention_are_counted(kafka_broker, fresh_topic, open_kafka):
    from kafka import TopicPartition as Theirs  # noqa: PLC0415 - only here
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - only here

    topic = fresh_topic()
    send(kafka_broker, topic, values(10))
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    admin.delete_records({Theirs(topic, 0): 6})
    admin.close()
    source = open_kafka(topic, {TopicPartition(topic, 0): 2})

    records = drain(source, 4)

    assert [one.offset for one in records] == [6, 7, 8, 9]
    assert source.expired == 4


def test_pause_hands_out_nothing_and_resume_goes_on_without_a_gap(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic(partitions=2)
    for partition in (0, 1):
        send(kafka_broker, topic, values(20), partition=partition)
    source = open_kafka(topic, max_poll_records=5)
    before = []
    assert wait_for(lambda: bool(before), lambda: before.extend(source.poll(5, 0.2)))

    source.pause()
    assert [source.poll(5, 0.1) for _ in range(5)] == [[]] * 5
    source.resume()
    found = before + drain(source, 40 - len(before))

    assert sorted((one.where.partition, one.offset) for one in found) == [(p, o) for p in (0, 1) for o in range(20)]


def test_a_source_paused_before_it_has_partitions_stays_paused(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    send(kafka_broker, topic, values(10))
    source = open_kafka(topic)
    source.pause()

    assert wait_for(lambda: bool(source.assigned()), lambda: source.poll(10, 0.1))
    assert [source.poll(10, 0.1) for _ in range(5)] == [[]] * 5
    source.resume()

    assert [one.offset for one in drain(source, 10)] == list(range(10))


def test_lag_counts_what_was_not_handed_out(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    part = TopicPartition(topic, 0)
    send(kafka_broker, topic, values(30))
    source = open_kafka(topic)
    found = []
    assert wait_for(lambda: bool(found), lambda: found.extend(source.poll(10, 0.2)))

    assert source.lag() == {part: 20}
    assert source.ready()
    assert source.assigned() == {part}
    drain(source, 20)
    assert source.lag() == {part: 0}


def test_an_oversized_record_reaches_the_decoder_and_the_stream_goes_on(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic(max_message_bytes=str(4 << 20))
    send(kafka_broker, topic, [b'"' + b"x" * (3 << 20) + b'"', b"after"])

    big, after = drain(open_kafka(topic, max_partition_fetch_bytes=64 << 10), 2)

    with pytest.raises(DecodeError) as caught:
        decode(big, limits=DecodeLimits(), default_deployment=None)
    assert caught.value.reason == "too-large"
    assert after.value == b"after"


def test_two_members_share_partitions_and_read_everything_once(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic(partitions=4)
    for partition in range(4):
        send(kafka_broker, topic, values(25), partition=partition)
    first = open_kafka(topic)
    found = drain(first, 100)
    first.ack(dict.fromkeys(first.assigned(), 25))
    assert len(first.assigned()) == 4
    second = open_kafka(topic)

    def turn() -> None:
        found.extend(first.poll(100, 0.1))
        found.extend(second.poll(100, 0.1))

    assert wait_for(lambda: len(first.assigned()) == len(second.assigned()) == 2, turn)
    assert not first.assigned() & second.assigned()
    for partition in range(4):
        send(kafka_broker, topic, values(5, 25), partition=partition)
    assert wait_for(lambda: len(found) >= 120, turn)
    turn()

    assert sorted((one.where.partition, one.offset) for one in found) == [(p, o) for p in range(4) for o in range(30)]


def test_a_rebalance_asks_for_our_own_position(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic(partitions=2)
    for partition in (0, 1):
        send(kafka_broker, topic, values(10), partition=partition)
    first = open_kafka(topic)
    drain(first, 20)
    second = open_kafka(topic, position_of=lambda part: 3)

    found = []

    def turn() -> None:
        first.poll(100, 0.1)
        found.extend(second.poll(100, 0.1))

    assert wait_for(lambda: len(second.assigned()) == 1 and len(found) >= 7, turn)

    assert [one.offset for one in found] == list(range(3, 10))


def test_partitions_that_are_added_are_taken_although_no_poll_waits_for_the_join(kafka_broker, fresh_topic, open_kafka):
    from kafka.admin import KafkaAdminClient  # noqa: PLC0415 - only here

    topic = fresh_topic()
    source = open_kafka(topic, metadata_max_age_ms=300)
    assert wait_for(lambda: len(source.assigned()) == 1, lambda: source.poll(10, 0.1))
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    admin.create_partitions({topic: 3})
    admin.close()

    assert wait_for(lambda: len(source.assigned()) == 3, lambda: source.poll(10, 0.001))


def test_a_missing_topic_is_not_ready_until_it_is_made(kafka_broker, open_kafka):
    topic = f"late-{uuid.uuid4().hex[:12]}"
    source = open_kafka(topic, metadata_max_age_ms=500)
    for _ in range(5):
        assert source.poll(10, 0.1) == []
    assert not source.ready()

    kafka_broker.create_topic(topic)
    send(kafka_broker, topic, values(3))

    assert [one.offset for one in drain(source, 3)] == [0, 1, 2]
    assert source.ready()


def test_a_killed_broker_means_not_ready_and_nothing_lost(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    part = TopicPartition(topic, 0)
    send(kafka_broker, topic, values(10))
    found: list[Record] = []
    # An outage longer than the session time-out costs the membership, and with it the client's own position: going on
    # where we were is what the caller's positions are for.
    source = open_kafka(topic, position_of=lambda _: found[-1].offset + 1 if found else None)
    sink = KafkaProducerSink(KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap,), request_timeout_ms=2_000))
    found += drain(source, 10)
    sink.send(topic, None, b"value-10")
    sink.flush()
    found += drain(source, 1)
    assert source.ready()

    kafka_broker.kill()
    try:
        assert wait_for(lambda: not source.ready(), lambda: found.extend(source.poll(10, 0.2)))
        with pytest.raises(SourceError, match="not committed"):
            source.ack({part: 11})
    finally:
        kafka_broker.restart()
    assert wait_for(source.ready, lambda: found.extend(source.poll(10, 0.2)))
    sink.send(topic, None, b"value-11")
    sink.flush()
    found += drain(source, 1)

    def acknowledged() -> bool:  # where the group forgot the member, a commit is refused until a poll has joined anew
        try:
            source.ack({part: 12})
        except SourceError:
            return False
        return True

    assert wait_for(acknowledged, lambda: found.extend(source.poll(10, 0.2)))
    sink.close()

    assert [one.value for one in found] == values(12)
    source.close()
    assert drain(open_kafka(topic), 0, 3) == []


def test_a_broker_that_is_away_at_the_start_is_waited_for(kafka_broker, open_kafka):
    source = open_kafka("any", bootstrap_servers=("127.0.0.1:1",), bootstrap_timeout_ms=300)

    started = time.monotonic()
    assert source.poll(10, 0.2) == []
    assert source.poll(10, 0.2) == []

    assert time.monotonic() - started < 20, "a poll comes back"
    assert not source.ready()


def test_the_producer_keeps_what_a_broker_did_not_confirm(kafka_broker, fresh_topic, open_kafka):
    topic = fresh_topic()
    config = KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap,))
    sink = KafkaProducerSink(config)
    sink.send(topic, b"key", b"first", [("h", b"v")])
    sink.flush()
    away = KafkaProducerSink(KafkaConfig(bootstrap_servers=("127.0.0.1:1",), bootstrap_timeout_ms=300))
    away.send(topic, None, b"never")
    with pytest.raises(SourceError, match="1 records not sent"):
        away.flush()
    away.close()

    (record,) = drain(open_kafka(topic), 1)

    assert (record.key, record.value, record.headers) == (b"key", b"first", (("h", b"v"),))
    sink.close()
