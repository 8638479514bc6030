"""At most so many outcomes from one conversation or user: what keeps near-copies from being taken for evidence."""

from __future__ import annotations

import base64
import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, Literal

from alignwatch import Label
from monitor.streams import Outcome, OutcomePolicy, Reading

Refusal = Literal["conversation", "user"]
SHARE_CLASS: Final = 255
"""Class of the exchange itself, whatever was asked; categories and `other` have classes of their own."""
OTHER_CLASS: Final = 254


@lru_cache(maxsize=8_192)  # each label asks several times, and people come back
def key_of(name: str) -> int:
    """A stable 64-bit key, so that state holds no more about a conversation than is needed to recognise it."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Caps:
    """Counts outcomes of conversations and users in event time and says when one is too many.

    The first outcome of a conversation in a class counts, and then none for a window; a user's first `user_cap` count.
    Which labels are let through depends on time, names and the request's class, never on how the answer turned out,
    so what is left keeps its rate. Labels without a conversation or user are not capped. A class is a category, `other`
    (requests that are not sensitive), or the exchange itself for shares of traffic.

    Args:
        policy: windows and the number of outcomes per user.
        entries: keys remembered in each of the two tables; the oldest go first.
    """

    def __init__(self, policy: OutcomePolicy, entries: int = 20_000) -> None:
        self._policy = policy
        self._entries = entries
        self._conversations: dict[int, float] = {}
        self._users: dict[int, tuple[float, int]] = {}

    def refuse(self, label: Label, timestamp: float, stratum: int) -> Refusal | None:
        """Why this label's outcomes of this class must not count; None where they may (and then they have counted)."""
        conversation = user = None
        if label.conversation is not None:
            conversation = (key_of(label.conversation) + stratum) & 0xFFFFFFFFFFFFFFFF
            last = self._conversations.get(conversation)
            if last is not None and abs(timestamp - last) < self._policy.conversation_window_seconds:
                return "conversation"
        if label.user is not None:
            group = stratum if stratum >= OTHER_CLASS else 0
            user = (key_of(label.user) + group) & 0xFFFFFFFFFFFFFFFF
            start, count = self._users.get(user, (timestamp, 0))
            if abs(timestamp - start) >= self._policy.user_window_seconds:
                start, count = timestamp, 0
            if count >= self._policy.user_cap:
                return "user"
            self._users.pop(user, None)
            self._users[user] = (start, count + 1)
        if conversation is not None:
            self._conversations.pop(conversation, None)
            self._conversations[conversation] = timestamp
        self._bound()
        return None

    def _bound(self) -> None:
        while len(self._conversations) > self._entries:
            del self._conversations[next(iter(self._conversations))]
        while len(self._users) > self._entries:
            del self._users[next(iter(self._users))]

    def forget_before(self, timestamp: float) -> None:
        """Drop what can refuse nothing any more: entries whose window ended before `timestamp`."""
        conversations = self._policy.conversation_window_seconds
        users = self._policy.user_window_seconds
        self._conversations = {k: t for k, t in self._conversations.items() if t + conversations > timestamp}
        self._users = {k: v for k, v in self._users.items() if v[0] + users > timestamp}

    def __len__(self) -> int:
        return len(self._conversations) + len(self._users)

    def dump(self) -> list[str]:
        """The tables, in their order, as packed arrays: they are the bulk of the state."""
        times, users = self._conversations, self._users
        return [
            _pack("Q", times),
            _pack("d", times.values()),
            _pack("Q", users),
            _pack("d", (start for start, _ in users.values())),
            _pack("L", (count for _, count in users.values())),
        ]

    def load(self, state: list[str]) -> None:
        """Take up tables written by `dump`."""
        keys, times, users, starts, counts = (_unpack(t, text) for t, text in zip("QdQdL", state, strict=True))
        self._conversations = dict(zip(keys, times, strict=True))
        self._users = {key: (start, int(count)) for key, start, count in zip(users, starts, counts, strict=True)}


def _pack(typecode: str, values: Iterable[float]) -> str:
    return base64.b64encode(array(typecode, values).tobytes()).decode()


def _unpack(typecode: str, text: str) -> Any:
    found: array[Any] = array(typecode)
    found.frombytes(base64.b64decode(text, validate=True))
    return found


def admitted(caps: Caps, label: Label, timestamp: float, reading: Reading, counts: Counter[str]) -> list[Outcome]:
    """The outcomes of a reading that the caps let through; refusals are added to `counts` by reason."""
    outcomes: list[Outcome] = []
    if reading.given_request:
        reason = caps.refuse(label, timestamp, reading.stratum if reading.sensitive else OTHER_CLASS)
        if reason is None:
            outcomes = reading.given_request
        else:
            counts[reason] += 1
    if reading.share:
        reason = caps.refuse(label, timestamp, SHARE_CLASS)
        if reason is None:
            return outcomes + reading.share
        counts[f"share-{reason}"] += 1
    return outcomes
