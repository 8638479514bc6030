"""The snapshot's bytes: a version line, a checksum, and one JSON document a deployment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from monitor.errors import StateError

MAGIC: Final = b"alignwatch-engine/1"


def encode(state: Mapping[str, Any]) -> bytes:
    """One deployment's state as a line of JSON; floats keep every bit."""
    return json.dumps(state, separators=(",", ":"), allow_nan=False).encode("utf-8", "surrogatepass")


def pack(lines: Iterable[bytes]) -> bytes:
    """A snapshot of these lines."""
    body = b"\n".join(lines)
    return b"\n".join((MAGIC, hashlib.sha256(body).hexdigest().encode(), body))


def unpack(snapshot: bytes) -> list[dict[str, Any]]:
    """The states in a snapshot.

    Raises:
        StateError: it is of another version, cut short or altered.
    """
    magic, _, rest = snapshot.partition(b"\n")
    if magic != MAGIC:
        raise StateError(f"engine snapshot: format {magic[:40]!r}; allowed is {MAGIC!r}")
    checksum, _, body = rest.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise StateError("engine snapshot: its contents do not match its checksum; it is cut short or altered")
    try:
        return [json.loads(line) for line in body.split(b"\n") if line]
    except ValueError as error:
        raise StateError(f"engine snapshot: not JSON ({error})") from error
