from __future__ import annotations

from exchanges import native
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import Exchange
from monitor.text import MAX_CONTEXT, prompt_text


def exchange(*turns: tuple[str, str], prompt: str | None = None) -> Exchange:
    messages = [{"role": role, "content": content} for role, content in turns]
    return Exchange.model_validate(native(prompt=prompt, messages=messages))


def test_the_last_user_turn_is_judged_and_the_turns_before_are_its_context() -> None:
    one = exchange(("user", "first"), ("assistant", "answer"), ("user", "second"))
    assert prompt_text(one) == ("second", "first\nanswer")


def test_a_prompt_of_its_own_wins_over_the_turns() -> None:
    assert prompt_text(exchange(("user", "before"), prompt="now")) == ("now", "before")
    assert prompt_text(Exchange.model_validate(native(prompt="now"))) == ("now", "")


def test_system_prompts_and_tool_output_are_left_out() -> None:
    one = exchange(("system", "rules"), ("user", "q"), ("tool", "rows"), ("developer", "more"), ("user", "now"))
    assert prompt_text(one) == ("now", "q")


def test_a_tool_answer_after_the_question_leaves_the_question_in_place() -> None:
    assert prompt_text(exchange(("user", "now"), ("assistant", ""), ("tool", "rows")))[0] == "now"


def test_other_gateways_names_for_a_user_are_known() -> None:
    assert prompt_text(exchange(("Human", "now"), ("AI", "so")))[0] == "now"


def test_without_a_user_turn_the_last_turn_but_the_systems_is_judged() -> None:
    assert prompt_text(exchange(("system", "rules"), ("assistant", "hello"))) == ("hello", "")
    assert prompt_text(exchange(("system", "rules"))) == ("", "")
    assert prompt_text(exchange()) == ("", "")


def test_context_is_bounded_and_keeps_the_latest() -> None:
    one = exchange(("user", "x" * 9_000), ("assistant", "y" * 1_000), ("user", "now"))
    context = prompt_text(one)[1]
    assert len(context) <= MAX_CONTEXT
    assert context.endswith("y" * 1_000)
    assert context.startswith("x")


@given(response=st.text(max_size=40), turns=st.lists(st.text(max_size=10), max_size=4))
def test_the_answer_never_changes_what_is_judged(response: str, turns: list[str]) -> None:
    messages = [{"role": "user", "content": turn} for turn in turns]
    one = Exchange.model_validate(native(prompt=None, messages=messages))
    other = one.model_copy(update={"response": response})
    assert prompt_text(one) == prompt_text(other)
