"""Finds the decoder by headers and shape and runs it within the limits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._apisix import ApisixDecoder
from monitor.envelopes._base import Context, Decoder, Found, PartlyDecodedError, each
from monitor.envelopes._bedrock_log import BedrockLogDecoder
from monitor.envelopes._cloudevents import attributes_of, half_of, is_structured, unwrap
from monitor.envelopes._fieldmap import FieldMapDecoder
from monitor.envelopes._fieldmap_config import FieldMap
from monitor.envelopes._kong import KongDecoder
from monitor.envelopes._litellm import MARKS as LITELLM_MARKS
from monitor.envelopes._litellm import LiteLLMDecoder
from monitor.envelopes._native import NativeDecoder
from monitor.envelopes._openai import AnthropicDecoder, BedrockPairDecoder, OpenAIChatDecoder, ResponsesDecoder
from monitor.envelopes._otlp import is_protobuf
from monitor.envelopes._parse import DecodeLimits, parse
from monitor.envelopes._telemetry import OtlpDecoder, decode_protobuf
from monitor.errors import DecodeError
from monitor.sources import Header, Record

_NATIVE: Final = NativeDecoder()
DECODERS: Final[tuple[Decoder, ...]] = (
    OtlpDecoder(),
    LiteLLMDecoder(),
    BedrockLogDecoder(),
    ApisixDecoder(),
    KongDecoder(),
    AnthropicDecoder(),
    BedrockPairDecoder(),
    ResponsesDecoder(),
    OpenAIChatDecoder(),
    _NATIVE,
)
"""In the order of trial: the one with the most telling shape first, the most lenient last."""
TELLING: Final = frozenset({
    "specversion", "resourceSpans", "resourceLogs", "schemaType", "llm_request", "llm_response_text", "llm_summary",
    "ai", "request",
}) | LITELLM_MARKS  # fmt: skip
"""Without one of these keys an object is of no known format but the native one, and no other decoder need be asked."""
CLOUD_EVENT: Final = "cloudevent"
OTLP_PROTOBUF: Final = "otlp-protobuf"
_KEPT_HEADER: Final = 512
_MAX_UNWRAPPED: Final = 4
"""Cloud events within cloud events."""


def decode(record: Record, *, limits: DecodeLimits, default_deployment: str | None) -> list[Exchange]:
    """The exchanges of one record, see `decode_record`; halves and skipped parts are left out.

    Raises:
        PartlyDecodedError: some elements could not be read; its `decoded` holds the others.
        DecodeError: nothing could be read.
    """
    found = decode_record(record, limits=limits, default_deployment=default_deployment)
    return [one for one in found if isinstance(one, Exchange)]


def decode_record(record: Record, *, limits: DecodeLimits, default_deployment: str | None) -> Sequence[Found]:
    """What one record holds.

    Args:
        record: as its source delivered it; an array or batch holds several exchanges.
        limits: checked before and after parsing.
        default_deployment: for envelopes that name none.

    Raises:
        PartlyDecodedError: some elements could not be read; its `decoded` holds the others.
        DecodeError: nothing could be read. Its reason is one of `REASONS` and its detail holds no content.
    """
    return decode_with(
        record.value, limits, Context(text_headers(record.headers), default_deployment, record.timestamp)
    )


def decode_with(value: bytes, limits: DecodeLimits, context: Context) -> Sequence[Found]:
    """The same for a body and what is known about it besides.

    Raises:
        DecodeError: as `decode_record`.
    """
    event = attributes_of(context.headers)
    if event:
        half = half_of(event, value, context)
        if half is not None:
            return [_fitting(half, limits)]
    return decode_value(value, limits, context)


def decode_value(value: bytes, limits: DecodeLimits, context: Context, unwrapped: int = 0) -> Sequence[Found]:
    """What the bytes of a record, or of the data of a cloud event, hold.

    Raises:
        DecodeError: as `decode_record`.
    """
    if is_protobuf(value):
        if len(value) > limits.max_bytes:
            raise DecodeError("too-large", f"{len(value)} bytes; at most {limits.max_bytes} are allowed")
        return decode_protobuf(value, context)
    obj = parse(value, limits)
    if not isinstance(obj, list):
        return _decode_one(obj, limits, context, unwrapped)
    if not obj:
        raise DecodeError("empty", "an array without elements")
    if len(obj) > limits.max_exchanges:
        raise DecodeError("too-many", f"an array of {len(obj)} elements; at most {limits.max_exchanges} are allowed")
    return each(obj, lambda item: _decode_one(item, limits, context, unwrapped))


def _decode_one(obj: Any, limits: DecodeLimits, context: Context, unwrapped: int) -> Sequence[Found]:
    if not limits.field_maps and isinstance(obj, dict) and TELLING.isdisjoint(obj) and _NATIVE.why_not(obj) is None:
        return _NATIVE.decode(obj, context)
    if not is_structured(obj) or unwrapped >= _MAX_UNWRAPPED:
        return decode_object(obj, context, decoders_for(limits.field_maps))
    attributes, data = unwrap(obj)
    half = half_of(attributes, data, context)
    if half is not None:
        return [_fitting(half, limits)]
    return decode_value(data, limits, context, unwrapped + 1)


def _fitting(found: Any, limits: DecodeLimits) -> Any:
    if len(found.body) > limits.max_bytes:
        raise DecodeError("too-large", f"{len(found.body)} bytes; at most {limits.max_bytes} are allowed")
    return found


@lru_cache(maxsize=8)
def decoders_for(maps: tuple[FieldMap, ...]) -> tuple[Decoder, ...]:
    """The configured envelopes first, since whoever describes one means it, then the known ones."""
    return (*(FieldMapDecoder(one) for one in maps), *DECODERS)


def decode_object(obj: Any, context: Context, decoders: Sequence[Decoder] = DECODERS) -> Sequence[Found]:
    """What one JSON object holds, by the first decoder whose shape it has.

    Raises:
        DecodeError: no decoder knows the shape, or the one that does found a fault.
    """
    for decoder in decoders:
        if decoder.why_not(obj) is None:
            return decoder.decode(obj, context)
    names = ", ".join(decoder.name for decoder in decoders)
    raise DecodeError("unknown-envelope", f"none of the known shapes ({names})")


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


__all__ = ["DECODERS", "PartlyDecodedError", "decode", "decode_object", "decode_record", "decode_value"]
