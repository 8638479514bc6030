"""Brings the halves of a call together: a buffer bounded in time, number and bytes; what does not fit is counted.

Bodies stay unparsed until both are there. The buffer is not saved: `held` says how far back a restart must read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._base import Half
from monitor.envelopes._pair import exchanges_of, reply_of
from monitor.envelopes._parse import DecodeLimits, parse
from monitor.envelopes._requests import asked_of
from monitor.envelopes._sse import body_of, looks_like_stream
from monitor.errors import DecodeError
from monitor.sources import Record, TopicPartition

_OVERHEAD: Final = 512
"""Bytes counted for a half besides its body."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A half that was given up, the record that it came in, and why."""

    record: Record
    error: DecodeError


@dataclass(slots=True)
class _Waiting:
    half: Half
    record: Record
    since: float


class JoinBuffer:
    """Halves that wait for their other half.

    Args:
        limits: of the bodies.
        seconds: how long one waits.
        capacity: how many wait at most; the oldest makes room.
        max_bytes: of all bodies that wait.
    """

    def __init__(self, limits: DecodeLimits, *, seconds: float, capacity: int, max_bytes: int) -> None:
        self._limits = limits
        self._seconds = seconds
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[tuple[str, str], _Waiting] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, half: Half, record: Record, now: float) -> list[Exchange]:
        """The exchanges that this half completes; [] while its other half is missing. A repeated half replaces itself.

        Raises:
            DecodeError: both halves are there, and one of them can't be read.
        """
        other = "response" if half.side == "request" else "request"
        found = self._take((half.key, other))
        if found is None:
            self._take((half.key, half.side))
            self._waiting[half.key, half.side] = _Waiting(half, record, now)
            self._bytes += len(half.body) + _OVERHEAD
            return []
        request, response = (half, found.half) if half.side == "request" else (found.half, half)
        return self._joined(request, response)

    def give_up(self, now: float) -> list[Lost]:
        """Halves whose time is over, and the oldest of those for which there is no room."""
        lost: list[Lost] = []
        while self._waiting:
            key, oldest = next(iter(self._waiting.items()))
            late = now - oldest.since >= self._seconds
            if not late and len(self._waiting) <= self._capacity and self._bytes <= self._max_bytes:
                break
            self._take(key)
            missing = "response" if oldest.half.side == "request" else "request"
            why = f"no {missing} within {self._seconds:g} s" if late else "no room in the join buffer"
            lost.append(Lost(oldest.record, DecodeError("unpaired", f"{oldest.half.side}: {why}")))
        return lost

    def held(self) -> dict[TopicPartition, int]:
        """For each partition the lowest offset among the waiting halves: what lies from there on is still needed."""
        found: dict[TopicPartition, int] = {}
        for one in self._waiting.values():
            where, offset = one.record.where, one.record.offset
            found[where] = min(offset, found.get(where, offset))
        return found

    def _take(self, key: tuple[str, str]) -> _Waiting | None:
        found = self._waiting.pop(key, None)
        if found is not None:
            self._bytes -= len(found.half.body) + _OVERHEAD
        return found

    def _joined(self, request: Half, response: Half) -> list[Exchange]:
        asked = asked_of(self._body(request.body, "request"), "request")
        reply = reply_of(self._body(response.body, "response"))
        fields: dict[str, Any] = {**_without_null(request.fields), **_without_null(response.fields)}
        fields["id"] = request.key.partition("\0")[2]
        return exchanges_of(fields, asked, reply)

    def _body(self, body: bytes, where: str) -> Any:
        if looks_like_stream(body[:64].decode("utf-8", "replace")):
            return body_of(body.decode("utf-8", "replace"), where)
        try:
            return parse(body, self._limits)
        except DecodeError as error:
            raise DecodeError(error.reason, f"{where}: {error.detail}") from None


def _without_null(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
