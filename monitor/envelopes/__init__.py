"""Turns records into exchanges: one decoder a gateway format, found by the shape of the data.

    exchanges = decode(record, limits=DecodeLimits(), default_deployment="chat-prod")

Whatever the bytes are, the only exception is `DecodeError`, whose reason is one of `REASONS`.
"""

from __future__ import annotations

from monitor.envelopes._base import (
    FORMAT_INNOCENT,
    REASONS,
    Context,
    Decoder,
    DecodeReason,
    Found,
    Half,
    PartlyDecodedError,
    Skipped,
)
from monitor.envelopes._explain import Explanation, explain, is_one_record
from monitor.envelopes._fieldmap_config import FieldMap
from monitor.envelopes._finish import countable, normalise
from monitor.envelopes._join import JoinBuffer, Lost
from monitor.envelopes._native import NativeDecoder
from monitor.envelopes._openai import OpenAIChatDecoder
from monitor.envelopes._parse import DecodeLimits
from monitor.envelopes._registry import DECODERS, decode, decode_record

__all__ = [
    "DECODERS",
    "FORMAT_INNOCENT",
    "REASONS",
    "Context",
    "DecodeLimits",
    "DecodeReason",
    "Decoder",
    "Explanation",
    "FieldMap",
    "Found",
    "Half",
    "JoinBuffer",
    "Lost",
    "NativeDecoder",
    "OpenAIChatDecoder",
    "PartlyDecodedError",
    "Skipped",
    "countable",
    "decode",
    "decode_record",
    "explain",
    "is_one_record",
    "normalise",
]
