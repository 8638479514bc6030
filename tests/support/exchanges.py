"""Exchanges, records and labellers for tests; every text here is ours and mild."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import zstandard

from alignwatch import CATEGORIES, Behaviour, RequestLabel
from classifiers import Pair, PairLabels
from monitor.sources import Record, TopicPartition

HERE = TopicPartition("traffic", 0)
STARTED = "2026-11-23T10:00:00.000Z"
EPOCH = 1_795_428_000.0
"""`STARTED` in epoch seconds."""


def native(**changes: Any) -> dict[str, Any]:
    """A native envelope; a change to `...` leaves the key out."""
    fields: dict[str, Any] = {
        "id": "r-1",
        "timestamp": STARTED,
        "deployment": "chat-prod",
        "prompt": "How do I boil an egg?",
        "response": "Put it in boiling water for eight minutes.",
    }
    return {key: value for key, value in (fields | changes).items() if value is not ...}


def openai(**changes: Any) -> dict[str, Any]:
    """An OpenAI chat request beside its completion."""
    fields: dict[str, Any] = {
        "deployment": "chat-prod",
        "request": {
            "model": "gpt-oss-20b",
            "messages": [
                {"role": "system", "content": "You are helpful."},
                {"role": "user", "content": "How do I boil an egg?"},
            ],
        },
        "response": {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": int(EPOCH),
            "model": "gpt-oss-20b-0901",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "In boiling water.", "refusal": None},
                    "finish_reason": "stop",
                }
            ],
        },
    }
    return {key: value for key, value in (fields | changes).items() if value is not ...}


def record(value: Any, offset: int = 0, **fields: Any) -> Record:
    """A record of these bytes, or of this as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record(body, fields.pop("where", HERE), offset, **fields)


def write(path: Path, rows: Iterable[Any]) -> Path:
    """JSON lines; compressed as the name says."""
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    if path.suffix == ".gz":
        text = gzip.compress(text)
    elif path.suffix == ".zst":
        text = zstandard.compress(text)
    path.write_bytes(text)
    return path


class HashLabeller:
    """Labels by a hash of each text: fast, the same everywhere, and without any claim to be right."""

    digest = "sha256:" + "ab" * 32

    def __init__(self) -> None:
        self.seen: list[Pair] = []

    def label(self, pairs: Sequence[Pair]) -> list[PairLabels]:
        self.seen += pairs
        return [self._one(pair) for pair in pairs]

    def _one(self, pair: Pair) -> PairLabels:
        asked, said = _hash(pair.prompt), _hash(pair.response or "")
        harm = 0.95 if asked[0] < 128 else 0.02
        request = RequestLabel(harm=harm, category=CATEGORIES[asked[1] % 14] if harm > 0.5 else "none")
        if pair.read_answer == "if-sensitive" and harm < 0.5:
            return PairLabels(request, None, None, None)
        refusal = round(said[0] / 255, 4)
        behaviour = Behaviour(refusal=refusal, partial=0.0, compliance=round(1 - refusal, 4))
        return PairLabels(request, behaviour, round(said[1] / 255, 4), None)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
