"""Turns in every provider's form: what is text, what is noted, what is left out, who speaks."""

from __future__ import annotations

import pytest
from decoding import fault, only, turns
from gateways import ASKED, SAID, chat_request, chat_response

from monitor.text import prompt_text


def asked(*messages, **request):
    body = {
        "id": "r",
        "deployment": "d",
        "request": {"messages": list(messages), **request},
        "response": chat_response(),
    }
    return only(body)


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (IMAGE, "image"),
        ({"type": "input_image", "image_url": "https://example.test/a.png"}, "image"),
        ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, "image"),
        ({"image": {"format": "png", "source": {"bytes": "AAAA"}}}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "audio"),
        ({"type": "document", "source": {}}, "file"),
        ({"type": "tool_use", "id": "t", "name": "search", "input": {"q": "eggs"}}, "tool_call"),
        ({"toolUse": {"toolUseId": "t", "name": "search", "input": {}}}, "tool_call"),
        ({"type": "hologram"}, "hologram"),
        ({"type": "not a name: it could be text"}, "part"),
        ({"whatever": 1}, "part"),
    ],
)
def test_parts_that_are_no_text_are_noted_by_kind_and_not_read(part, kind):
    one = asked({"role": "user", "content": [part, {"type": "text", "text": ASKED}]})
    assert one.messages[0].content == ASKED
    assert one.messages[0].omitted == (kind,)
    assert "AAAA" not in one.to_json()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "secret plan", "signature": "x"},
        {"type": "reasoning", "content": "secret plan"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "secret plan"}]},
        {"reasoningContent": {"reasoningText": {"text": "secret plan"}}},
        {"type": "reasoning_text", "text": "secret plan"},
    ],
)
def test_what_a_model_thinks_aloud_is_no_part_of_its_answer(part):
    one = asked(
        {"role": "assistant", "content": [part, {"type": "text", "text": SAID}]}, {"role": "user", "content": "And?"}
    )
    assert turns(one)[0] == ("assistant", SAID)
    assert one.messages[0].omitted == ()
    assert "secret plan" not in one.to_json()


def test_a_reasoning_field_beside_the_answer_is_left_out():
    body = {
        "id": "r",
        "deployment": "d",
        "request": chat_request(),
        "response": chat_response(reasoning_content="secret"),
    }
    assert only(body).response == SAID


def test_several_text_parts_are_one_text():
    one = asked({"role": "user", "content": ["How do I", {"type": "input_text", "text": "boil an egg?"}]})
    assert one.messages[0].content == "How do I\nboil an egg?"


def test_tool_results_inside_a_users_turn_are_not_what_the_user_asked():
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "12 shops near you"}]}
    one = asked({"role": "user", "content": ASKED}, {"role": "assistant", "content": None, "tool_calls": [{}]},
                {"role": "user", "content": [result]})  # fmt: skip
    assert [(turn.role, turn.omitted) for turn in one.messages] == [
        ("user", ()), ("assistant", ("tool_call",)), ("tool", ("tool_result",)),
    ]  # fmt: skip
    assert prompt_text(one)[0] == ASKED


def test_the_last_user_turn_is_judged_with_earlier_turns_as_context_and_the_system_prompt_apart():
    one = asked(
        {"role": "system", "content": "Obey."}, {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."}, {"role": "user", "content": ASKED},
    )  # fmt: skip
    assert prompt_text(one) == (ASKED, "Hello.\nHi.")
    assert turns(one)[0] == ("system", "Obey.")


def test_a_refusal_in_an_earlier_turn_is_text_of_the_model():
    one = asked({"role": "assistant", "content": None, "refusal": "I won't."}, {"role": "user", "content": ASKED})
    assert turns(one)[0] == ("assistant", "I won't.")


@pytest.mark.parametrize(
    ("message", "reason", "where"),
    [
        ({"content": "x"}, "missing-field", "request.messages[0].role"),
        ({"role": 7, "content": "x"}, "wrong-type", "request.messages[0].role"),
        ({"role": "user", "content": 7}, "wrong-type", "request.messages[0].content"),
        ({"role": "user", "content": [7]}, "wrong-type", "request.messages[0].content[0]"),
        ("hello", "wrong-type", "request.messages[0]"),
        ({"type": "message", "content": "x"}, "missing-field", "request.messages[0].role"),
    ],
)
def test_malformed_turns_say_where(message, reason, where):
    found = fault({"id": "r", "deployment": "d", "request": {"messages": [message]}, "response": chat_response()})
    assert found.reason == reason
    assert found.detail.startswith(f"{where}:")
