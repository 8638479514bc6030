"""Sends what dead letters are about to the decoder again, once it has been mended.

A letter says where the record lies, and by default holds nothing of it; the record itself is fetched from its topic,
checked against the letter's hash, and sent to the end of the topic when it decodes now. Label workers then treat it
like any other. Its exchanges were never counted, and an id that was counted is ignored, so a replay that is cut short
may be run again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from monitor.dead_letters import CLOCK_SKEW, CONNECT, OWN
from monitor.envelopes import DecodeLimits, PartlyDecodedError, decode
from monitor.errors import DecodeError, SourceError
from monitor.sources import Header, Record, TopicPartition, read_lines

KEPT_OUT: Final = frozenset({CLOCK_SKEW})
"""Reasons that no decoder is to blame for."""


class Letter(NamedTuple):
    """What a dead letter says."""

    where: TopicPartition
    offset: int
    sha256: str
    reason: str


Fetch = Callable[[Letter], Record | None]
"""The record that a letter is about; None when its topic no longer has it."""
Send = Callable[[Record], None]
"""Appends a record to its topic again."""


@dataclass
class Replayed:
    """What became of the letters."""

    sent: int = 0
    gone: int = 0
    """Records that retention has removed, or that are not those that the letters speak of."""
    refused: Counter[str] = field(default_factory=Counter)
    """Records that still can't be decoded, by reason."""
    left: Counter[str] = field(default_factory=Counter)
    """Letters that were not looked at, by reason."""


def from_headers(headers: Iterable[Header]) -> Letter | None:
    """The letter in a message's headers; None when they are not those of a dead letter."""
    found = {name: value.decode("utf-8", "replace") for name, value in headers}
    try:
        where = TopicPartition(found[f"{CONNECT}topic"], int(found[f"{CONNECT}partition"]))
        return Letter(where, int(found[f"{CONNECT}offset"]), found[f"{OWN}sha256"], found[f"{OWN}reason"])
    except (KeyError, ValueError):
        return None


def from_file(path: Path) -> Iterator[Letter]:
    """Letters in a file of dead letters.

    Raises:
        SourceError: it can't be read, or a line is no letter.
    """
    for number, line in enumerate(read_lines(str(path)), start=1):
        try:
            body = json.loads(line)
            where = TopicPartition(str(body["topic"]), int(body["partition"]))
            yield Letter(where, int(body["offset"]), str(body["sha256"]), str(body["reason"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{path}: line {number} is not a dead letter: {type(error).__name__}") from error


def replay(
    letters: Iterable[Letter],
    fetch: Fetch,
    send: Send,
    *,
    limits: DecodeLimits,
    default_deployment: str | None = None,
    reasons: frozenset[str] = frozenset(),
) -> Replayed:
    """Send again what decodes now.

    Args:
        letters: a place that is named twice counts once.
        fetch: finds records.
        send: appends them; durable when its owner has flushed.
        limits: of the decoder.
        default_deployment: for envelopes that name none.
        reasons: only letters with these; all but a wrong clock's when empty.
    """
    found = Replayed()
    known: set[tuple[TopicPartition, int]] = set()
    for letter in letters:
        if (letter.where, letter.offset) in known:
            continue
        known.add((letter.where, letter.offset))
        if letter.reason in KEPT_OUT - reasons or (reasons and letter.reason not in reasons):
            found.left[letter.reason] += 1
            continue
        record = fetch(letter)
        if record is None or hashlib.sha256(record.value).hexdigest() != letter.sha256:
            found.gone += 1
            continue
        try:
            decode(record, limits=limits, default_deployment=default_deployment)
        except PartlyDecodedError as error:
            # What can be decoded of it was counted when it came; the rest is as it was.
            found.refused[error.reason] += 1
        except DecodeError as error:
            found.refused[error.reason] += 1
        else:
            send(record)
            found.sent += 1
    return found
