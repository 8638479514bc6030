"""One meaning for every provider's word for why an answer ended.

Sources: openai-python `types/chat/chat_completion.py`, `types/responses/response.py`; anthropic-sdk-python
`types/stop_reason.py`; Bedrock's MessageStopEvent and model bodies; the OTel GenAI output message schema; Cohere and
Gemini as gateways pass them on.
"""

from __future__ import annotations

import re
from typing import Final

from alignwatch import Finish

UNNAMED: Final = "(other)"
"""What a raw value is counted as when it does not look like a name: it might be text."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,47}")

_MEANING: Final[dict[str, Finish]] = {
    **dict.fromkeys(
        ("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed", "finish", "finished",
         "stop_criteria_met", "end_of_text", "done"),
        "natural",
    ),
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded",
         "max_completion_tokens", "token_limit"),
        "length",
    ),
    **dict.fromkeys(
        ("tool_calls", "tool_call", "tool_use", "function_call", "pause_turn", "tool"), "tool"
    ),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "content-filter", "guardrail_intervened", "provider_block", "safety",
         "prohibited_content", "blocklist", "recitation", "spii", "error_toxic", "responsibleaipolicyviolation",
         "content_policy_violation", "image_safety", "guardrail", "filtered"),
        "provider_block",
    ),
    **dict.fromkeys(("refusal", "model_refusal", "model_refusal_field"), "model_refusal"),
    **dict.fromkeys(
        ("error", "failed", "cancelled", "canceled", "abort", "aborted", "malformed_function_call",
         "malformed_model_output", "malformed_tool_use", "network_error", "timeout"),
        "error",
    ),
}  # fmt: skip

CLASSIFIER_REFUSES: Final = ("anthropic", "claude")
"""Providers whose stop reason `refusal` is a streaming classifier's, not the model's own words."""


def normalise(raw: str | None, provider: str | None = None) -> Finish | None:
    """What a raw finish reason means; None where there is none, `unknown` where nobody here has heard of it.

    Args:
        raw: as the gateway wrote it, in any case.
        provider: name of the provider or model, where known: `refusal` means two things.

    >>> normalise("end_turn"), normalise("SAFETY"), normalise("refusal"), normalise("refusal", "anthropic")
    ('natural', 'provider_block', 'model_refusal', 'provider_block')
    """
    if not raw:
        return None
    name = raw.strip().lower()
    if name == "refusal" and provider and any(one in provider.lower() for one in CLASSIFIER_REFUSES):
        return "provider_block"
    return _MEANING.get(name, "unknown")


def countable(raw: str) -> str:
    """`raw` as a metric's label: itself where it looks like a name, else a stand-in that holds no text."""
    return raw if _NAME.fullmatch(raw) else UNNAMED
