from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from exchanges import native, record
from hypothesis import given
from hypothesis import strategies as st

from monitor.dead_letters import (
    CircuitBreaker,
    DeadLetterConfig,
    DeadLetters,
    FileDestination,
    MemoryDeadLetters,
    TopicDestination,
    open_dead_letters,
)
from monitor.errors import ConfigError, DecodeError, SourceError
from monitor.sources import MemoryProducer, TopicPartition

FAULT = DecodeError("wrong-type", "timestamp: is a boolean; a string is allowed")
LETTER = record(b'{"prompt": "canary"}', 41, where=TopicPartition("traffic", 3), timestamp=5.0)


def test_a_letter_says_where_and_why_and_holds_a_hash_instead_of_the_body() -> None:
    letters = MemoryDeadLetters()
    letters.write(LETTER, FAULT)
    (letter,) = letters.letters
    assert letter.fields == {
        "topic": "traffic",
        "partition": 3,
        "offset": 41,
        "timestamp": 5.0,
        "bytes": 20,
        "sha256": hashlib.sha256(LETTER.value).hexdigest(),
        "reason": "wrong-type",
        "detail": "timestamp: is a boolean; a string is allowed",
    }
    assert letter.body is None
    assert letters.counts == {"wrong-type": 1}


def test_headers_are_named_as_kafka_connect_names_them() -> None:
    letters = MemoryDeadLetters()
    letters.write(LETTER, FAULT)
    headers = dict(letters.letters[0].headers)
    assert headers["__connect.errors.topic"] == b"traffic"
    assert headers["__connect.errors.partition"] == b"3"
    assert headers["__connect.errors.offset"] == b"41"
    assert headers["__connect.errors.exception.message"] == str(FAULT).encode()
    assert headers["alignwatch.errors.reason"] == b"wrong-type"


def test_the_body_is_kept_only_where_it_was_asked_for() -> None:
    for body, expected in (("none", None), ("full", LETTER.value)):
        letters = MemoryDeadLetters(DeadLetterConfig.model_validate({"body": body}))
        letters.write(LETTER, FAULT)
        assert letters.letters[0].body == expected
    assert DeadLetterConfig().body == "none"


def test_a_body_beyond_what_a_broker_takes_is_left_out() -> None:
    letters = MemoryDeadLetters(DeadLetterConfig(body="full"))
    letters.write(record(b"x" * 900_001), FAULT)
    assert letters.letters[0].body is None
    assert letters.letters[0].fields["bytes"] == 900_001


def test_a_file_of_letters_is_jsonl_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    letters = open_dead_letters(DeadLetterConfig(kind="file", path=path))
    letters.write(LETTER, FAULT)
    assert not path.exists()
    letters.flush()
    letters.write(LETTER, FAULT)
    letters.flush()
    letters.flush()
    letters.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["offset"] for line in lines] == [41, 41]
    assert "canary" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_keeps_its_letters_for_the_next_flush(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    destination = FileDestination(folder / "letters.jsonl")
    letters = DeadLetters(DeadLetterConfig(body="full"), destination)
    letters.write(record(b"\xff\x00binary"), FAULT)
    with pytest.raises(SourceError, match=r"dead letters: .*letters\.jsonl: No such file"):
        letters.flush()
    folder.mkdir()
    letters.flush()
    (line,) = (folder / "letters.jsonl").read_text().splitlines()
    assert json.loads(line)["body"] == "\\xff\x00binary"


@pytest.mark.parametrize("body", ["none", "full"])
def test_a_topic_of_letters_is_durable_only_after_a_flush(body: str) -> None:
    producer = MemoryProducer()
    letters = DeadLetters(
        DeadLetterConfig.model_validate({"body": body}), TopicDestination("alignwatch.dead-letters", producer)
    )
    letters.write(LETTER, FAULT)
    producer.fail_flush()
    with pytest.raises(SourceError, match="1 records kept"):
        letters.flush()
    letters.flush()
    (sent,) = producer.durable
    assert sent.topic == "alignwatch.dead-letters"
    assert dict(sent.headers)["alignwatch.errors.reason"] == b"wrong-type"
    assert (sent.value == LETTER.value) == (body == "full")
    assert (b"canary" in sent.value) == (body == "full")


def test_letters_to_a_topic_need_a_broker() -> None:
    with pytest.raises(ConfigError, match=r'dead_letters\.kind = "kafka": needs a Kafka source'):
        open_dead_letters(DeadLetterConfig(kind="kafka"))
    assert open_dead_letters(DeadLetterConfig()).counts == {}


def breaker(minimum: int = 10) -> CircuitBreaker:
    return CircuitBreaker(share=0.5, window=20, minimum=minimum)


def test_the_breaker_opens_when_most_records_fail_and_stays_open() -> None:
    one = breaker()
    for _ in range(9):
        one.record(ok=False)
    assert not one.open
    one.record(ok=False)
    assert one.reason == "10 of the last 10 records could not be decoded (more than 50 %)"
    for _ in range(100):
        one.record(ok=True)
    assert one.open
    one.reset()
    assert not one.open
    one.record(ok=False)
    assert not one.open


def test_half_of_the_records_is_not_most() -> None:
    one = breaker()
    for index in range(1000):
        one.record(ok=index % 2 == 0)
    assert not one.open
    one.record(ok=False)
    one.record(ok=False)
    assert one.open


@given(st.lists(st.booleans(), max_size=120))
def test_the_breaker_counts_exactly_the_latest_records(oks: list[bool]) -> None:
    one = breaker()
    for index, ok in enumerate(oks):
        before = one.open
        one.record(ok=ok)
        recent = oks[max(0, index - 19) : index + 1]
        expected = len(recent) >= 10 and recent.count(False) > len(recent) / 2
        assert one.open == (before or expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=12))
def test_successes_counted_together_are_those_counted_one_by_one(runs: list[tuple[bool, int]]) -> None:
    together, singly = breaker(), breaker()
    for ok, n in runs:
        if ok:
            together.succeeded(n)
        for _ in range(n):
            singly.record(ok=ok)
            if not ok:
                together.record(ok=False)
        assert vars(together) == vars(singly)


def test_a_failed_call_upstream_says_nothing_about_the_format() -> None:
    letters = MemoryDeadLetters(DeadLetterConfig(breaker_window=10, breaker_minimum=1))
    for _ in range(50):
        letters.write(record(native()), DecodeError("no-answer", "the call failed upstream"))
    assert not letters.breaker_open
    assert letters.counts == {"no-answer": 50}


def test_the_reason_names_what_failed_most() -> None:
    letters = MemoryDeadLetters(DeadLetterConfig(breaker_window=10, breaker_minimum=2))
    assert letters.breaker_reason == "closed"
    for reason in ("not-json", "unknown-envelope", "unknown-envelope"):
        letters.write(LETTER, DecodeError(reason, "x"))
    assert letters.breaker_open
    assert "most of all: unknown-envelope 2, not-json 1; has the gateway's format changed?" in letters.breaker_reason
    letters.reset_breaker()
    letters.decoded()
    assert not letters.breaker_open


def test_memory_holds_a_bounded_number_of_letters() -> None:
    letters = MemoryDeadLetters()
    for offset in range(10_050):
        letters.write(record(b"x", offset), FAULT)
    assert len(letters.letters) == 10_000
    assert letters.letters[-1].fields["offset"] == 10_049
    assert letters.counts["wrong-type"] == 10_050
