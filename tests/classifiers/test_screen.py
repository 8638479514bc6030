"""The screen: scores from prompts alone, the same in any batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers import DigestMismatch, Screen, load_screen
from classifiers.screen import WORDS, Hasher, words_of
from classifiers.training.adversarial.cases import cases

PROMPTS = [case.prompt for case in cases() if case.prompt]


def test_scores_lie_in_the_unit_interval_and_keep_the_order(screen: Screen):
    scores = screen.score(PROMPTS)
    assert scores.shape == (len(PROMPTS),)
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    assert np.allclose(screen.score(PROMPTS[::-1])[::-1], scores, atol=1e-6)


def test_a_score_does_not_depend_on_the_batch(screen: Screen):
    together = screen.score(PROMPTS)
    assert np.allclose([screen.score([prompt])[0] for prompt in PROMPTS], together, atol=1e-5)


def test_nothing_gives_nothing_and_an_empty_prompt_has_a_score(screen: Screen):
    assert screen.score([]).shape == (0,)
    assert screen.score(["", "?!"]).shape == (2,)


def test_sensitive_requests_score_above_harmless_ones(screen: Screen):
    sensitive = screen.score([c.prompt or "" for c in cases() if c.request == "harmful" and c.language == "en"])
    harmless = screen.score(
        ["How do I bake bread?", "Which boots are best for wet meadows?", "What rhymes with orange?"]
    )
    assert np.median(sensitive) > harmless.max()
    assert (harmless < screen.threshold).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=300), max_size=8))
def test_any_text_has_a_finite_score(screen: Screen, prompts: list[str]):
    assert np.isfinite(screen.score(prompts)).all()


def test_words_of_a_long_prompt_come_from_both_ends():
    text = " ".join(f"w{i}" for i in range(300))
    words = words_of(text)
    assert len(words) <= WORDS
    assert words[0] == "w0"
    assert words[-1] == "w299"
    assert words_of("A Bread-Oven, isn't it? 你好") == ["a", "bread", "oven", "isn't", "it", "你", "好"]


def test_no_pair_of_words_spans_two_prompts():
    rows, counts = Hasher(10).rows(["one two", "three"])
    assert counts.tolist() == [2, 1]
    single, pairs = rows[:3], rows[3:]
    assert pairs[0] == 0
    assert pairs[2] == 0
    assert pairs[1] != 0
    assert len(set(single.tolist())) == 3


def test_hashes_survive_a_full_memory():
    small, large = Hasher(12, memory=2), Hasher(12)
    texts = ["one two three four five", "two three", "six seven eight"]
    assert np.array_equal(small.rows(texts)[0], large.rows(texts)[0])


def test_a_changed_table_is_refused(artefact):
    with (artefact / "screen.npz").open("ab") as handle:
        handle.write(b"\0")
    with pytest.raises(DigestMismatch, match=r"screen\.npz"):
        load_screen(artefact)
