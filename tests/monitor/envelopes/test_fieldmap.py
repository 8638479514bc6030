from __future__ import annotations

import pytest
from decoding import fault, only
from exchanges import EPOCH, native
from gateways import ASKED, SAID
from pydantic import ValidationError

from monitor.config import load
from monitor.envelopes import DecodeLimits, FieldMap

BENTO = {
    "input_text": ASKED,
    "summarized_text": SAID,
    "timestamp": "2026-11-23T10:00:00",
    "request_id": 14642743634293743168,
}
MAP = {"name": "bento", "id": "$.request_id", "timestamp": "$.timestamp", "prompt": "$.input_text",
       "response": "$.summarized_text"}  # fmt: skip


def limits(**changes):
    return DecodeLimits(
        field_maps=(FieldMap.model_validate({k: v for k, v in (MAP | changes).items() if v is not None}),)
    )


def test_a_described_envelope_is_read_as_described():
    one = only(BENTO, limits=limits(), default="d")
    assert (one.id, one.prompt, one.response) == ("14642743634293743168", ASKED, SAID)
    assert one.timestamp.timestamp() == EPOCH, "without an offset times are UTC"


def test_paths_go_through_objects_arrays_and_odd_names():
    described = limits(
        id=None, timestamp="$.at", prompt=None, messages="$['the chat'].turns", response="$.out[-1].text",
        deployment="$.meta.app", model="$.meta.model", finish_reason="$.why", user="$.meta.who",
    )  # fmt: skip
    body = {
        "at": int(EPOCH * 1000), "the chat": {"turns": [{"role": "user", "content": ASKED}]},
        "out": [{"text": "draft"}, {"text": SAID}], "why": "max_tokens",
        "meta": {"app": "shop", "model": "m", "who": "u"},
    }  # fmt: skip
    one = only(body, limits=described)
    assert (one.deployment, one.model, one.user, one.response, one.finish) == ("shop", "m", "u", SAID, "length")
    assert one.timestamp.timestamp() == EPOCH
    assert one.id == only(body, limits=described).id


@pytest.mark.parametrize("value", ["I can't.", True])
def test_a_mapped_refusal_is_a_refusal(value):
    one = only(BENTO | {"no": value, "summarized_text": None}, limits=limits(refusal="$.no", when="$.no"), default="d")
    assert one.finish == "model_refusal"


def test_other_envelopes_are_read_as_before_and_the_described_one_goes_first():
    assert only(native(), limits=limits()).deployment == "chat-prod"
    described = limits(prompt="$.prompt", response="$.answer", id="$.id")
    assert only(native(answer="other"), limits=described, default="d").response == "other"


def test_when_and_equals_choose():
    described = limits(when="$.kind", equals="chat")
    assert only(BENTO | {"kind": "chat"}, limits=described, default="d").response == SAID
    assert fault(BENTO | {"kind": "health"}, limits=described, default="d").reason == "unknown-envelope"


def test_what_is_missing_is_told_by_path():
    described = limits(when="$.input_text")
    found = fault({k: v for k, v in BENTO.items() if k != "summarized_text"}, limits=described, default="d")
    assert (found.reason, "$.summarized_text" in found.detail) == ("missing-field", True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "request_id"}, "a path begins with \\$"),
        ({"id": "$.a..b"}, "from character 3"),
        ({"id": "$.a[x]"}, "from character 3"),
        ({"messages": "$.m"}, "exactly one of"),
        ({"prompt": None}, "exactly one of"),
        ({"equals": "x"}, "needs `when`"),
        ({"colour": "$.c"}, "not permitted"),
        ({"id": "$" + ".a" * 20}, "is allowed"),
    ],
)
def test_a_bad_description_is_refused(change, told):
    with pytest.raises(ValidationError, match=told):
        limits(**change)


def test_maps_come_from_the_configuration(tmp_path):
    path = tmp_path / "a.toml"
    rows = "\n".join(f'{key} = "{value}"' for key, value in MAP.items())
    path.write_text(f"[[decode.field_maps]]\n{rows}\n")
    described = load(path, {}).settings.decode
    assert only(BENTO, limits=described, default="d").response == SAID
