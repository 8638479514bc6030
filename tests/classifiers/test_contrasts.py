"""Requests that are put together from lists: well formed, of one category each, balanced in every language."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from alignwatch import CATEGORIES
from classifiers.training.contrasts import contrasts, contrasts_abroad
from classifiers.training.rows import key_of

ENGLISH = contrasts(random.Random(5))
ABROAD = contrasts_abroad(random.Random(5))
EVERY = [(text, category) for text, category in ENGLISH] + [(text, category) for text, category, _ in ABROAD]


def test_every_gap_is_filled():
    assert [text for text, _ in EVERY if "{" in text or "}" in text] == []


def test_no_request_is_of_two_categories():
    found: dict[str, set[str]] = defaultdict(set)
    for text, category in EVERY:
        found[key_of(text)].add(category)
    assert [text for text, named in found.items() if len(named) > 1] == []


@pytest.mark.parametrize("language", ["en", "fr", "vi", "de", "es", "it", "pt"])
def test_each_language_holds_every_category_and_as_much_that_is_harmless(language: str):
    rows = [("en", c) for _, c in ENGLISH] + [(tongue, c) for _, c, tongue in ABROAD]
    counts = Counter(category for tongue, category in rows if tongue == language)
    assert set(counts) == {*CATEGORIES, "none"}
    assert 0.4 <= counts["none"] / counts.total() <= 0.7


def test_each_pass_draws_other_requests_and_the_same_seed_the_same():
    again, other = contrasts(random.Random(5)), contrasts(random.Random(6))
    assert again == ENGLISH
    assert len(set(other) & set(ENGLISH)) < 0.6 * len(ENGLISH)
