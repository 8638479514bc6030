from __future__ import annotations

import pytest
from decoding import only
from exchanges import native

from monitor.envelopes import countable, normalise


@pytest.mark.parametrize(
    ("raw", "meaning"),
    [
        ("stop", "natural"), ("end_turn", "natural"), ("stop_sequence", "natural"), ("completed", "natural"),
        ("STOP", "natural"), ("length", "length"), ("max_tokens", "length"), ("max_output_tokens", "length"),
        ("model_context_window_exceeded", "length"), ("MAX_TOKENS", "length"), ("tool_calls", "tool"),
        ("function_call", "tool"), ("tool_use", "tool"), ("tool_call", "tool"), ("pause_turn", "tool"),
        ("content_filter", "provider_block"), ("content_filtered", "provider_block"),
        ("guardrail_intervened", "provider_block"), ("SAFETY", "provider_block"), ("ERROR_TOXIC", "provider_block"),
        ("refusal", "model_refusal"), ("error", "error"), ("malformed_model_output", "error"),
        ("something_new", "unknown"), (" stop ", "natural"), ("", None), (None, None),
    ],
)  # fmt: skip
def test_every_providers_word_has_one_meaning(raw, meaning):
    assert normalise(raw) == meaning


@pytest.mark.parametrize("provider", ["anthropic", "aws.bedrock/anthropic.claude-x", "claude-x-1"])
def test_anthropics_refusal_is_a_classifier_in_front_of_the_model(provider):
    assert normalise("refusal", provider) == "provider_block"
    assert normalise("refusal", "openai") == "model_refusal"


def test_a_raw_value_that_may_be_text_is_not_a_metrics_label():
    assert countable("vendor.new_reason-2") == "vendor.new_reason-2"
    for odd in ("I stopped because you asked", "x" * 49, "1st", "", "a\nb"):
        assert countable(odd) == "(other)"


def test_the_native_envelope_may_state_the_meaning_itself():
    assert only(native(finish_reason="vendor_word", finish="provider_block")).finish == "provider_block"
    assert only(native(finish_reason="vendor_word")).finish == "unknown"
    assert only(native()).finish is None
