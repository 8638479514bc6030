"""Finds the decoder by shape and runs it within the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._base import Context, Decoder, PartlyDecodedError
from monitor.envelopes._native import NativeDecoder
from monitor.envelopes._openai import OpenAIChatDecoder
from monitor.envelopes._parse import DecodeLimits, parse
from monitor.errors import DecodeError
from monitor.sources import Header, Record

DECODERS: Final[tuple[Decoder, ...]] = (OpenAIChatDecoder(), NativeDecoder())
"""In the order of trial: the one with the most telling shape first, the most lenient last."""
_KEPT_HEADER: Final = 512


def decode(record: Record, *, limits: DecodeLimits, default_deployment: str | None) -> list[Exchange]:
    """The exchanges of one record.

    Args:
        record: as its source delivered it; an array holds several.
        limits: checked before and after parsing.
        default_deployment: for envelopes that name none.

    Raises:
        PartlyDecodedError: some elements of an array could not be read; its `decoded` holds the others.
        DecodeError: nothing could be read. Its reason is one of `REASONS` and its detail holds no content.
    """
    obj = parse(record.value, limits)
    context = Context(text_headers(record.headers), default_deployment, record.timestamp)
    if not isinstance(obj, list):
        return decode_object(obj, context)
    if not obj:
        raise DecodeError("empty", "an array without elements")
    if len(obj) > limits.max_exchanges:
        raise DecodeError("too-many", f"an array of {len(obj)} elements; at most {limits.max_exchanges} are allowed")
    return _decode_array(obj, context)


def decode_object(obj: Any, context: Context, decoders: Sequence[Decoder] = DECODERS) -> list[Exchange]:
    """The exchanges of one JSON object, by the first decoder whose shape it has.

    Raises:
        DecodeError: no decoder knows the shape, or the one that does found a fault.
    """
    for decoder in decoders:
        if decoder.why_not(obj) is None:
            return decoder.decode(obj, context)
    names = ", ".join(decoder.name for decoder in decoders)
    raise DecodeError("unknown-envelope", f"none of the known shapes ({names})")


def _decode_array(items: list[Any], context: Context) -> list[Exchange]:
    found: list[Exchange] = []
    first: DecodeError | None = None
    failed = 0
    for index, item in enumerate(items):
        try:
            found += decode_object(item, context)
        except DecodeError as error:
            failed += 1
            first = first or DecodeError(error.reason, f"[{index}] {error.detail}")
    if first is None:
        return found
    detail = f"{failed} of {len(items)} elements: {first.detail}"
    if not found:
        raise DecodeError(first.reason, detail)
    raise PartlyDecodedError(first.reason, detail, found)


def text_headers(headers: Sequence[Header]) -> dict[str, str]:
    """Headers that are short UTF-8 text, by lower-case name; others can't be anything that a decoder asks for."""
    found = {}
    for name, value in headers:
        if len(value) <= _KEPT_HEADER:
            try:
                found[name.lower()] = value.decode("utf-8")
            except UnicodeDecodeError:
                continue
    return found
