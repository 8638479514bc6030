from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.dead_letters import CLOCK_SKEW, DeadLetterConfig, FileDestination, MemoryDeadLetters, letter_of
from monitor.dedup import SeenIds
from monitor.envelopes import DecodeLimits
from monitor.errors import DecodeError, SourceError
from monitor.intake import ExchangeIntake, Guards, IntakeConfig
from monitor.labelling import LabellingStage
from monitor.letter_replay import Letter, Replayed, from_file, from_headers, replay
from monitor.metrics import Metrics
from monitor.recorded import AttachedOnly
from monitor.sampling import Sampler, SamplingConfig
from monitor.sources import Record, TopicPartition

HERE = TopicPartition("traffic", 2)
EPOCH = 1_700_000_000.0


def native(identifier: str = "r-1", **fields: object) -> bytes:
    body = {"id": identifier, "timestamp": EPOCH, "deployment": "d", "prompt": "question", "response": "answer"}
    return json.dumps(body | fields).encode()


class Topic:
    """A topic that letters speak of: records by offset, and what was appended since."""

    def __init__(self, *values: bytes) -> None:
        self.records = {n: Record(value, HERE, n, (("h", b"1"),), b"key") for n, value in enumerate(values)}
        self.appended: list[Record] = []

    def letters(self, reason: str = "missing-field") -> list[Letter]:
        found = []
        for record in self.records.values():
            letter = from_headers(letter_of(record, DecodeError(reason, "somewhere"), full=False).headers)
            assert letter is not None
            found.append(letter)
        return found

    def fetch(self, letter: Letter) -> Record | None:
        return self.records.get(letter.offset)

    def replay(self, letters: list[Letter], **options: object) -> Replayed:
        return replay(letters, self.fetch, self.appended.append, limits=DecodeLimits(), **options)  # type: ignore[arg-type]


def test_what_decodes_now_is_sent_again_as_it_was_and_the_rest_is_not() -> None:
    topic = Topic(native("a"), b"not json", native("b"))
    found = topic.replay(topic.letters())
    assert (found.sent, dict(found.refused), found.gone) == (2, {"not-json": 1}, 0)
    assert topic.appended == [topic.records[0], topic.records[2]]


def test_a_letter_holds_enough_without_the_body() -> None:
    record = Record(b"a secret prompt", HERE, 7)
    letter = letter_of(record, DecodeError("not-json", "line 1"), full=False)
    assert letter.body is None
    assert b"secret" not in json.dumps(letter.fields).encode() + b"".join(value for _, value in letter.headers)
    assert from_headers(letter.headers) == Letter(HERE, 7, str(letter.fields["sha256"]), "not-json")


def test_what_retention_removed_or_another_topic_replaced_is_not_sent() -> None:
    topic = Topic(native("a"), native("b"))
    letters = topic.letters()
    del topic.records[0]
    topic.records[1] = Record(native("another"), HERE, 1)
    assert topic.replay(letters) == Replayed(sent=0, gone=2)
    assert topic.appended == []


def test_two_letters_about_one_record_send_it_once() -> None:
    topic = Topic(native("a"))
    assert topic.replay(topic.letters() * 2).sent == 1


def test_a_wrong_clock_is_left_alone_unless_asked_for() -> None:
    topic = Topic(native("a"))
    letters = topic.letters(CLOCK_SKEW)
    assert topic.replay(letters) == Replayed(left={CLOCK_SKEW: 1})  # type: ignore[arg-type]
    assert topic.replay(letters, reasons=frozenset({CLOCK_SKEW})).sent == 1


def test_reasons_choose() -> None:
    topic = Topic(native("a"))
    found = topic.replay(topic.letters("too-large"), reasons=frozenset({"not-json"}))
    assert (found.sent, dict(found.left)) == (0, {"too-large": 1})


def test_letters_come_back_from_a_file(tmp_path: Path) -> None:
    topic, path = Topic(b"{", native("b")), tmp_path / "letters.jsonl"
    destination = FileDestination(path)
    for record in topic.records.values():
        destination.put(letter_of(record, DecodeError("not-json", "line 1"), full=False))
    destination.flush()
    destination.close()
    assert [one.offset for one in from_file(path)] == [0, 1]
    path.write_text('{"topic": "t"}\n')
    with pytest.raises(SourceError, match="line 1 is not a dead letter"):
        list(from_file(path))


@given(st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=12)), max_size=6))
def test_headers_of_anything_else_are_no_letter(headers: list[tuple[str, bytes]]) -> None:
    assert from_headers(headers) is None


def test_a_wrong_clock_leaves_a_letter_and_never_opens_the_breaker() -> None:
    letters = MemoryDeadLetters(DeadLetterConfig(breaker_minimum=1, breaker_window=10))
    clock = ManualClock(EPOCH)
    guards = Guards(IntakeConfig(), DecodeLimits(), SeenIds(3600.0), letters, Metrics(), clock)
    intake = ExchangeIntake(guards, Sampler(SamplingConfig(), None, clock), LabellingStage(AttachedOnly()))
    records = [Record(native(f"r-{n}", timestamp=EPOCH + 1e6), HERE, n) for n in range(20)]
    assert intake.read(records) == []
    assert guards.metrics.counters().quarantined == 20
    assert [one.fields["reason"] for one in letters.letters] == [CLOCK_SKEW] * 20
    assert letters.letters[3].fields["offset"] == 3
    assert "allowed: -604800 to +300" in letters.letters[0].fields["detail"]
    assert not letters.breaker_open
