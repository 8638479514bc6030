from __future__ import annotations

import json

import pytest
from decoding import exchanges, fault, found, only, skipped, turns
from exchanges import EPOCH
from gateways import ASKED, SAID, SYSTEM, chat_chunks, chat_response, kong, sse


@pytest.mark.parametrize("documented", [False, True], ids=["as-the-code-writes", "as-the-docs-show"])
def test_payloads_are_json_in_strings(documented):
    one = only(kong(documented=documented))
    assert (one.id, one.deployment, one.model, one.response, one.finish) == (
        "r-1",
        "command",
        "command-r",
        SAID,
        "natural",
    )
    assert one.timestamp.timestamp() == EPOCH
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]


def test_batches_are_arrays():
    second = kong()
    second["request"]["id"] = "r-2"
    assert [one.id for one in exchanges([kong(), second])] == ["r-1", "r-2"]


def test_a_streamed_response_is_an_event_stream_in_the_string():
    entry = kong()
    entry["ai"]["proxy"]["payload"]["response"] = sse(chat_chunks("Put it ", "in."))
    assert only(entry).response == "Put it in."


def test_without_payloads_an_entry_is_counted_and_no_fault():
    entry = kong()
    del entry["ai"]["proxy"]["payload"]
    assert skipped(found(entry)) == {"no-content": 1}
    entry["ai"]["proxy"]["payload"] = {"request": kong()["ai"]["proxy"]["payload"]["request"]}
    assert skipped(found(entry)) == {"no-content": 1}


def test_azures_audit_travels_beside_our_label():
    entry = kong()
    entry["ai"]["audit"] = {"azure_content_safety": {"Hate": "High", "Violence": "Low", "SelfHarm": 4, "Sexual": 2}}
    upstream = only(entry).labels.upstream
    assert (upstream.source, set(upstream.request), upstream.blocked) == ("azure", {"hate", "self_harm"}, False)


@pytest.mark.parametrize("place", ["plugin", "beside"])
def test_a_guardrails_block_is_the_providers(place):
    entry = kong(response={})
    reason = {"input_block_reason": "matched a deny rule"}
    if place == "plugin":
        entry["ai"]["proxy"]["ai-prompt-guard"] = reason
    else:
        entry["ai"]["ai-semantic-prompt-guard"] = reason
    one = only(entry)
    assert (one.response, one.finish, one.labels.upstream.blocked) == ("", "provider_block", True)
    assert "deny rule" not in one.to_json()


def test_what_is_inside_the_strings_is_checked_as_well():
    assert fault(kong(response=json.loads('{"choices": []}'))).reason == "missing-field"
    entry = kong()
    entry["ai"]["proxy"]["payload"]["request"] = "{not json"
    found_fault = fault(entry)
    assert found_fault.reason == "not-json"
    assert found_fault.detail.startswith("ai.proxy.payload.request:")
    entry["ai"]["proxy"]["payload"]["request"] = json.dumps({"messages": [{"role": "user", "content": "x", "a": 1}]})[
        :-3
    ]
    assert fault(entry).reason == "not-json"


def test_the_plugin_with_the_payload_is_found_among_several():
    entry = kong()
    entry["ai"]["ai-prompt-decorator"] = {"meta": {"plugin_id": "x"}}
    entry["ai"] = dict(reversed(entry["ai"].items()))
    assert only(entry).response == SAID


def test_an_upstream_id_or_a_hash_stands_in_for_kongs():
    entry = kong()
    del entry["request"]["id"]
    assert only(entry).id == "chatcmpl-1"
    bare = kong(response={k: v for k, v in chat_response().items() if k != "id"})
    del bare["request"]["id"]
    assert only(bare).id == only(bare).id != only(kong()).id
