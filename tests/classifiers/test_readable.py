"""What cannot be judged is given a reason, and what can is not."""

from __future__ import annotations

import pytest

from classifiers.readable import dominant_script, unreadable
from classifiers.records import UNLABELABLE

LATIN = ("latin",)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0", "\u2003"])
def test_nothing_is_empty(text: str):
    assert unreadable(text, LATIN, minimum=4) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        "[REDACTED]",
        "redacted-by-litellm",
        "<redacted>",
        "[content redacted]",
        "***** redacted *****",
        "null",
        "undefined",
        "[removed]",
        "{masked}",
        "█████",
        "********",
        "xxxxxxxx",
        "Prompt redacted.",
    ],
)
def test_a_marker_in_a_texts_place_is_redacted(text: str):
    assert unreadable(text, LATIN, minimum=4) == "redacted"


@pytest.mark.parametrize(
    "text",
    [
        "The names in this letter were redacted by the archive.",
        "removed the old paint first",
        "null and void, says the judge",
        "xxx",
        "Masked balls are fun",
    ],
)
def test_talk_of_redaction_is_not_redacted(text: str):
    assert unreadable(text, LATIN, minimum=3) != "redacted"


@pytest.mark.parametrize("text", ["No.", "?", "ok", "...", "7", "no!"])
def test_a_word_is_too_short(text: str):
    assert unreadable(text, LATIN, minimum=4) == "too-short"


def test_a_long_run_of_signs_is_read_since_it_may_be_degenerate():
    assert unreadable("?!?!?!?!?!?!?!?!?!?!", LATIN, minimum=4) is None


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain English", "latin"),
        ("Übermäßig schön, señor", "latin"),
        ("Извините, нет", "cyrillic"),
        ("很抱歉，我不能", "han"),
        ("ごめんなさい", "kana"),
        ("죄송합니다", "hangul"),
        ("عذرًا، لا", "arabic"),
        ("माफ़ कीजिए", "devanagari"),
        ("ขอโทษ", "other"),
        ("1234 !?", None),
    ],
)
def test_the_script_of_most_letters_decides(text: str, script: str | None):
    assert dominant_script(text) == script


def test_a_script_that_is_not_judged_is_unsupported_and_one_that_is_judged_is_not():
    assert unreadable("Извините, я не могу", LATIN, minimum=4) == "unsupported-language"
    assert unreadable("Извините, я не могу", ("latin", "cyrillic"), minimum=4) is None


def test_a_few_foreign_words_do_not_make_a_text_unreadable():
    assert unreadable("The word мир means both world and peace.", LATIN, minimum=4) is None


def test_of_a_long_text_both_ends_are_looked_at():
    text = "English words " * 60 + "русские слова " * 600
    assert dominant_script(text) in {"latin", "cyrillic", "other"}
    assert unreadable("русские слова " * 600, LATIN, minimum=4) == "unsupported-language"


def test_every_reason_is_a_published_one():
    found = {unreadable(text, LATIN, minimum=4) for text in ("", "[REDACTED]", "No.", "Извините, нет", "fine text")}
    assert found == {*UNLABELABLE, None}
