"""Which tokens are read: all of a short text; head, middle and tail of a long one; context where there is room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.windows import SpecialTokens, Window, clip, frame, visible_answer

SPECIAL = SpecialTokens(cls=101, sep=102, pad=0)
WINDOW = Window(head=4, tail=3)
THREE = Window(head=4, middle=2, tail=3)


def test_a_short_text_is_read_whole():
    assert frame([1, 2, 3], WINDOW, SPECIAL) == [101, 1, 2, 3, 102]
    assert frame([], WINDOW, SPECIAL) == [101, 102]


def test_a_text_that_just_fits_is_not_cut():
    assert frame(list(range(1, 8)), WINDOW, SPECIAL) == [101, 1, 2, 3, 4, 5, 6, 7, 102]


def test_of_a_long_text_both_ends_are_read():
    assert frame(list(range(1, 21)), WINDOW, SPECIAL) == [101, 1, 2, 3, 4, 102, 18, 19, 20, 102]


def test_of_a_long_text_the_middle_is_read_where_the_window_has_one():
    assert frame(list(range(1, 10)), THREE, SPECIAL) == [101, *range(1, 10), 102]
    assert frame(list(range(1, 21)), THREE, SPECIAL) == [101, 1, 2, 3, 4, 102, 10, 11, 102, 18, 19, 20, 102]
    assert len(frame(list(range(1, 500)), THREE, SPECIAL)) == THREE.tokens


@given(st.integers(0, 60))
def test_the_parts_of_a_long_text_never_overlap(length: int):
    read = [token for token in frame(list(range(1000, 1000 + length)), THREE, SPECIAL) if token >= 1000]
    assert read == sorted(set(read))
    assert len(read) == min(length, THREE.room)


def test_context_fills_what_is_left_with_its_end():
    assert frame([1, 2], WINDOW, SPECIAL, [50, 51, 52, 53, 54, 55, 56]) == [101, 52, 53, 54, 55, 56, 102, 1, 2, 102]


def test_context_gives_way_to_the_text():
    text = list(range(1, 8))
    assert frame(text, WINDOW, SPECIAL, [50, 51]) == frame(text, WINDOW, SPECIAL)
    long = list(range(1, 30))
    assert frame(long, WINDOW, SPECIAL, [50, 51]) == frame(long, WINDOW, SPECIAL)


@given(st.lists(st.integers(1000, 2000), max_size=60), st.lists(st.integers(1000, 2000), max_size=60))
def test_no_sequence_is_longer_than_the_window(text: list[int], context: list[int]):
    sequence = frame(text, WINDOW, SPECIAL, context)
    assert len(sequence) <= WINDOW.tokens
    assert sequence[0] == SPECIAL.cls
    assert sequence[-1] == SPECIAL.sep


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("<think>a plan</think>The answer.", "The answer."),
        ("<think>one</think>two</think>three", "three"),
        ("<think>only thought</think>  ", "<think>only thought"),
        ("<think>never closed", "<think>never closed"),
    ],
)
def test_visible_reasoning_is_left_out_unless_nothing_else_is_there(text: str, seen: str):
    assert visible_answer(text) == seen


def test_a_megabyte_is_cut_to_its_ends_and_its_centre_before_it_is_tokenised():
    text = "a" * 400_000 + "b" * 200_000 + "c" * 400_000
    clipped = clip(text)
    assert len(clipped) < 15_000
    assert (clipped[0], clipped[len(clipped) // 2], clipped[-1]) == ("a", "b", "c")
    assert clip("short") == "short"
