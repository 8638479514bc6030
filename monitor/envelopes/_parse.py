"""From untrusted bytes to JSON values within limits: size, depth, finite numbers, unique keys, valid text."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from monitor.envelopes._fieldmap_config import FieldMap
from monitor.errors import DecodeError

BOM: Final = b"\xef\xbb\xbf"
INNER_DEPTH: Final = 32
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONE: Final = re.compile("[\ud800-\udfff]")


class DecodeLimits(BaseModel):
    """How records are read: what one may be at most (beyond lies the dead letter), and envelopes of one's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: Annotated[int, Field(ge=1024, le=1 << 28)] = 1 << 20
    max_depth: Annotated[int, Field(ge=4, le=200)] = 64
    """Nested arrays and objects; a chat request needs about 10, a structured message in OTLP's JSON about 30."""
    max_exchanges: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """In one array."""
    field_maps: tuple[FieldMap, ...] = ()
    """Envelopes of one's own, tried before the known ones."""


def parse(value: bytes, limits: DecodeLimits) -> Any:
    """The JSON value in `value`, within the limits.

    A UTF-8 byte order mark is dropped. Halves of surrogate pairs (a stream cut inside an emoji) become U+FFFD: the rest
    of such an answer is as good as any.

    Raises:
        DecodeError: with a reason from `REASONS` and a detail that holds sizes and places, never content.
    """
    if len(value) > limits.max_bytes:
        raise DecodeError("too-large", f"{len(value)} bytes; at most {limits.max_bytes} are allowed")
    body = value.removeprefix(BOM)
    if not body.strip():
        raise DecodeError("empty", "no bytes but white space")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("not-utf8", f"byte {error.start} is not UTF-8; JSON text in UTF-8 is allowed") from None
    obj = _loads(text)
    # Counting brackets is quick, and most records have too few of them to be too deep.
    if body.count(b"[") + body.count(b"{") > limits.max_depth and _depth(obj, limits.max_depth) > limits.max_depth:
        raise DecodeError("too-deep", f"nested deeper than {limits.max_depth} levels")
    return _mend(obj) if _SURROGATE.search(text) else obj


def parse_inner(text: str) -> Any:
    """JSON that a record holds as text; the record's own limits have bounded its size.

    Raises:
        DecodeError: as `parse`.
    """
    obj = _loads(text)
    # As above; a stream's answer is hundreds of small texts.
    if text.count("[") + text.count("{") > INNER_DEPTH and _depth(obj, INNER_DEPTH) > INNER_DEPTH:
        raise DecodeError("too-deep", f"nested deeper than {INNER_DEPTH} levels")
    return _mend(obj) if "\\u" in text and _SURROGATE.search(text) else obj


def _loads(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise DecodeError("not-json", f"character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise DecodeError("too-deep", "nested deeper than the parser allows") from None
    except ValueError:
        # An integer of thousands of digits.
        raise DecodeError("not-json", "a number has too many digits") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Two readers may take different ones of the two values: no guess is right.
        raise DecodeError("duplicate-key", f"an object names {len(pairs) - len(found)} of its keys twice")
    return found


def _constant(_name: str) -> NoReturn:
    raise DecodeError("not-finite", "NaN and Infinity are not JSON; finite numbers are allowed")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DecodeError("not-finite", "a number is beyond double precision; finite numbers are allowed")
    return number


# Made once: `json.loads` with hooks makes one for each call, which costs as much as a small text.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite)


def _depth(obj: Any, limit: int) -> int:
    """Nesting of `obj`, exact up to `limit` + 1."""
    layer = [obj]
    for depth in range(limit + 1):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return depth + 1 if isinstance(obj, dict | list) else 0
    return limit + 1


def _mend(obj: Any) -> Any:
    if isinstance(obj, str):
        return _LONE.sub("�", obj)
    if isinstance(obj, list):
        return [_mend(one) for one in obj]
    if isinstance(obj, dict):
        return {_mend(name): _mend(one) for name, one in obj.items()}
    return obj
