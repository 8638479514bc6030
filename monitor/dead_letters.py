"""Records that could not be decoded: where they lie and why, without their body; and the breaker that trips on many.

Header names follow Kafka Connect's dead letter queues (KIP-298), so that tools for those read ours.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, deque
from itertools import islice, repeat
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from monitor.envelopes import FORMAT_INNOCENT
from monitor.errors import ConfigError, DecodeError, SourceError
from monitor.sources import Header, Producer, Record

MAX_BODY: Final = 900_000
"""Bodies beyond this are left out even when bodies are wanted: a broker's default limit is 1 MiB a message."""
KEPT_LETTERS: Final = 10_000
CONNECT: Final = "__connect.errors."
OWN: Final = "alignwatch.errors."
CLOCK_SKEW: Final = "clock-skew"
"""Reason of a record that decodes and is not credible: quarantined, and no sign of another format."""


class DeadLetterConfig(BaseModel):
    """Where dead letters go, what they hold, and when there are too many of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["none", "kafka", "file"] = "none"
    """`none` counts them only."""
    topic: Annotated[str, Field(min_length=1, max_length=249)] = "alignwatch.dead-letters"
    path: Path = Path("alignwatch-dead-letters.jsonl")
    body: Literal["none", "full"] = "none"
    """`full` copies prompts and answers: only where the destination is guarded as well as the traffic."""
    breaker_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Above this share of failures among the latest records, committing stops."""
    breaker_window: Annotated[int, Field(ge=10, le=1_000_000)] = 1_000
    breaker_minimum: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Records that must have been seen before the breaker may open."""


class DeadLetter(NamedTuple):
    """One record that failed: metadata, headers to send, and the body where it is wanted."""

    fields: dict[str, Any]
    headers: tuple[Header, ...]
    body: bytes | None


class CircuitBreaker:
    """Opens when too many of the latest records fail, and stays open until reset.

    Args:
        share: failures above this share open it.
        window: how many records are remembered.
        minimum: how many must have been seen.

    >>> breaker = CircuitBreaker(share=0.5, window=10, minimum=4)
    >>> for ok in (True, False, False, False):
    ...     breaker.record(ok=ok)
    >>> breaker.open, breaker.reason
    (True, '3 of the last 4 records could not be decoded (more than 50 %)')
    """

    def __init__(self, share: float, window: int, minimum: int) -> None:
        self._share = share
        self._recent: deque[bool] = deque(maxlen=window)
        self._minimum = min(minimum, window)
        self._failures = 0
        self.reason: str | None = None
        """Why it is open; None while it is closed."""

    @property
    def open(self) -> bool:
        """True once it has tripped."""
        return self.reason is not None

    def record(self, *, ok: bool) -> None:
        """Count one record."""
        if len(self._recent) == self._recent.maxlen:
            self._failures -= not self._recent[0]
        self._recent.append(ok)
        self._failures += not ok
        if (
            self.reason is None
            and len(self._recent) >= self._minimum
            and self._failures > self._share * len(self._recent)
        ):
            self.reason = (
                f"{self._failures} of the last {len(self._recent)} records could not be decoded"
                f" (more than {self._share * 100:g} %)"
            )

    def succeeded(self, n: int) -> None:
        """Count `n` records that were read, as `record` would one by one."""
        # One by one only while the next may be the one that lets it open: from then on successes lower the share.
        while n > 0 and (len(self._recent) < self._minimum or self._failures > self._share * len(self._recent)):
            self.record(ok=True)
            n -= 1
        forgotten = max(0, len(self._recent) + n - (self._recent.maxlen or 0))
        self._failures -= sum(not ok for ok in islice(self._recent, forgotten))
        self._recent.extend(repeat(True, n))  # noqa: FBT003 - a value to repeat

    def reset(self) -> None:
        """Close it and forget the past."""
        self._recent.clear()
        self._failures = 0
        self.reason = None


class Destination(Protocol):
    """Takes dead letters in."""

    def put(self, letter: DeadLetter) -> None:
        """Keep one; may buffer."""

    def flush(self) -> None:
        """Make them durable.

        Raises:
            SourceError: they are not; tried again at the next flush.
        """

    def close(self) -> None:
        """Let go of files."""


class DeadLetters:
    """Counts, writes and watches records that fail to decode.

    Args:
        config: what a letter holds, and the breaker's settings.
        destination: None counts only.
    """

    def __init__(self, config: DeadLetterConfig, destination: Destination | None = None) -> None:
        self._config = config
        self._destination = destination
        self._breaker = CircuitBreaker(config.breaker_share, config.breaker_window, config.breaker_minimum)
        self.counts: Counter[str] = Counter()
        """Letters so far by reason."""

    def write(self, record: Record, error: DecodeError) -> None:
        """Write one letter about `record`, which failed with `error`."""
        self.counts[error.reason] += 1
        if error.reason not in FORMAT_INNOCENT and error.reason != CLOCK_SKEW:
            self._breaker.record(ok=False)
        if self._destination is not None:
            self._destination.put(letter_of(record, error, full=self._config.body == "full"))

    def decoded(self, n: int = 1) -> None:
        """Count `n` records that were read, after everything that was told before."""
        self._breaker.succeeded(n)

    @property
    def breaker_open(self) -> bool:
        """True when most records stopped decoding: nothing may be acknowledged."""
        return self._breaker.open

    @property
    def breaker_reason(self) -> str:
        """Why the breaker is open, in one line."""
        if self._breaker.reason is None:
            return "closed"
        common = ", ".join(f"{reason} {count}" for reason, count in self.counts.most_common(3))
        return f"{self._breaker.reason}; most of all: {common}; has the gateway's format changed?"

    def reset_breaker(self) -> None:
        """Close the breaker again."""
        self._breaker.reset()

    def flush(self) -> None:
        """Make letters durable; call it before acknowledging the records that they are about.

        Raises:
            SourceError: they are not durable yet.
        """
        if self._destination is not None:
            self._destination.flush()

    def close(self) -> None:
        """Let go of the destination."""
        if self._destination is not None:
            self._destination.close()


class MemoryDestination:
    """Keeps letters in memory: the twin for tests."""

    def __init__(self) -> None:
        self.letters: deque[DeadLetter] = deque(maxlen=KEPT_LETTERS)

    def put(self, letter: DeadLetter) -> None:
        """Keep one."""
        self.letters.append(letter)

    def flush(self) -> None:
        """All are as durable as they get."""

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryDeadLetters(DeadLetters):
    """Dead letters kept in memory, in `letters`."""

    def __init__(self, config: DeadLetterConfig | None = None) -> None:
        self._memory = MemoryDestination()
        super().__init__(config or DeadLetterConfig(), self._memory)

    @property
    def letters(self) -> list[DeadLetter]:
        """The latest letters."""
        return list(self._memory.letters)


class FileDestination:
    """Appends letters to a JSONL file, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._unwritten: list[bytes] = []
        self._lock = threading.Lock()

    def put(self, letter: DeadLetter) -> None:
        """Buffer one line."""
        body = {} if letter.body is None else {"body": letter.body.decode("utf-8", "backslashreplace")}
        self._unwritten.append(json.dumps({**letter.fields, **body}).encode() + b"\n")

    def flush(self) -> None:
        """Append the buffered lines."""
        if not self._unwritten:
            return
        try:
            with self._lock:
                if self._file is None:
                    self._path.touch(mode=0o600)
                    self._file = self._path.open("ab", buffering=0)
                self._file.write(b"".join(self._unwritten))
        except OSError as error:
            raise SourceError(f"dead letters: {self._path}: {error.strerror}") from error
        self._unwritten.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class TopicDestination:
    """Sends letters to a topic: metadata as headers and as a JSON value, or the original body where wanted."""

    def __init__(self, topic: str, producer: Producer) -> None:
        self._topic = topic
        self._producer = producer

    def put(self, letter: DeadLetter) -> None:
        """Queue one."""
        value = json.dumps(letter.fields).encode() if letter.body is None else letter.body
        self._producer.send(self._topic, None, value, letter.headers)

    def flush(self) -> None:
        """Wait for the broker."""
        self._producer.flush()

    def close(self) -> None:
        """The producer belongs to who made it."""


def letter_of(record: Record, error: DecodeError, *, full: bool) -> DeadLetter:
    """The letter about one record: place, reason and hash; the body only when `full`."""
    fields = {
        "topic": record.where.topic,
        "partition": record.where.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "bytes": len(record.value),
        "sha256": hashlib.sha256(record.value).hexdigest(),
        "reason": error.reason,
        "detail": error.detail,
    }
    headers = {
        f"{CONNECT}topic": record.where.topic,
        f"{CONNECT}partition": str(record.where.partition),
        f"{CONNECT}offset": str(record.offset),
        f"{CONNECT}stage": "VALUE_CONVERTER",
        f"{CONNECT}exception.class.name": type(error).__name__,
        f"{CONNECT}exception.message": str(error),
        f"{OWN}reason": error.reason,
        f"{OWN}sha256": str(fields["sha256"]),
        f"{OWN}bytes": str(len(record.value)),
    }
    body = record.value if full and len(record.value) <= MAX_BODY else None
    return DeadLetter(fields, tuple((name, value.encode()) for name, value in headers.items()), body)


def open_dead_letters(config: DeadLetterConfig, producer: Producer | None = None) -> DeadLetters:
    """Dead letters as the settings want them.

    Args:
        config: checked settings.
        producer: needed for `kind = "kafka"`; stays the caller's to close.

    Raises:
        ConfigError: a topic is wanted and there is no producer.
    """
    if config.kind == "file":
        return DeadLetters(config, FileDestination(config.path))
    if config.kind == "kafka":
        if producer is None:
            raise ConfigError(['dead_letters.kind = "kafka": needs a Kafka source; "none" and "file" are allowed'])
        return DeadLetters(config, TopicDestination(config.topic, producer))
    return DeadLetters(config)
