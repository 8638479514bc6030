"""Turns records into exchanges: one decoder a gateway format, found by the shape of the data.

    exchanges = decode(record, limits=DecodeLimits(), default_deployment="chat-prod")

Whatever the bytes are, the only exception is `DecodeError`, whose reason is one of `REASONS`.
"""

from __future__ import annotations

from monitor.envelopes._base import FORMAT_INNOCENT, REASONS, Context, Decoder, DecodeReason, PartlyDecodedError
from monitor.envelopes._explain import Explanation, explain
from monitor.envelopes._finish import countable, normalise
from monitor.envelopes._native import NativeDecoder
from monitor.envelopes._openai import OpenAIChatDecoder
from monitor.envelopes._parse import DecodeLimits
from monitor.envelopes._registry import DECODERS, decode

__all__ = [
    "DECODERS",
    "FORMAT_INNOCENT",
    "REASONS",
    "Context",
    "DecodeLimits",
    "DecodeReason",
    "Decoder",
    "Explanation",
    "NativeDecoder",
    "OpenAIChatDecoder",
    "PartlyDecodedError",
    "countable",
    "decode",
    "explain",
    "normalise",
]
