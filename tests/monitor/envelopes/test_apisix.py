from __future__ import annotations

import pytest
from decoding import fault, found, only, skipped, turns
from exchanges import EPOCH
from gateways import ASKED, SAID, SYSTEM, apisix


def test_a_log_entry_is_one_exchange():
    one = only(apisix())
    assert (one.id, one.deployment, one.model, one.user, one.response) == (
        "r-1", "gpt-oss-20b", "gpt-oss-20b-0901", "u-7", SAID,
    )  # fmt: skip
    assert one.timestamp.timestamp() == EPOCH
    assert turns(one) == [("system", SYSTEM), ("user", ASKED)]
    assert one.finish is None, "APISIX does not say why the answer ended"


def test_a_batch_is_an_array_and_the_default_deployment_wins_over_the_model():
    assert only([apisix()], default="d").deployment == "d"


def test_an_entry_without_payloads_is_counted_and_no_fault():
    entry = apisix()
    del entry["llm_request"], entry["llm_response_text"]
    assert skipped(found(entry)) == {"no-content": 1}


def test_without_a_request_id_the_same_entry_has_the_same_id_and_another_has_another():
    bare = apisix(request={"headers": {}})
    first, again = only(bare).id, only(bare).id
    assert first == again
    assert first.startswith("h-")
    assert only(apisix(request={}, start_time=1)).id != first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"llm_request": None}, "missing-field"),
        ({"llm_request": {"messages": 7}}, "wrong-type"),
        ({"llm_response_text": None}, "no-answer"),
        ({"llm_response_text": {"content": 7}}, "wrong-type"),
    ],
)
def test_malformed_entries_say_why(change, reason):
    assert fault(apisix(**change)).reason == reason
