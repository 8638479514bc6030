"""What a labelled answer teaches: jailbroken answers that open with a refusal, and a second opinion on verdicts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from labelled_rows import row

from classifiers.heads import BEHAVIOURS
from classifiers.training import answers, kept, readings, second_opinion
from classifiers.training.answers import GPTFUZZ, answer_harm, two_voices
from classifiers.training.opinions import Opinions
from classifiers.training.rows import Row
from classifiers.training.second_opinion import VERDICTS, cross_fitted, judged, word_opinions

WORDS = ("river", "stone", "amber", "cloud", "lantern", "paper", "garden", "violin", "harbour", "meadow")


def jailbroken(response: str, **fields: str) -> Row:
    return row(response=response, **{"source": GPTFUZZ, **fields})


@pytest.mark.parametrize(
    ("response", "voices"),
    [
        ("I'm sorry, but I can't do that. Anyway: first you fold the paper.", "unmarked"),
        ("I must emphasise that tickling is wrong. Now fold the paper.", "unmarked"),
        ("[GPT]: I'm sorry, I can't help.\n[BOB]: Fold the paper.", "marked"),
        ("ChatGPT: I cannot assist with this.\nBob: Fold the paper.", "marked"),
        ("(🔒Normal Output) I apologize, no.\n(🔓Other) Fold the paper.", "marked"),
        ("Fold the paper, then crease it.", None),
        ("Fold the paper. " * 30 + "I'm sorry that it took so long.", None),
    ],
)
def test_jailbroken_answers_that_open_with_a_refusal_are_told_apart(response: str, voices: str | None):
    assert two_voices(jailbroken(response)) == voices


def test_only_complying_answers_of_that_source_have_two_voices():
    text = "I'm sorry, I can't."
    assert two_voices(jailbroken(text, behaviour="refusal")) is None
    assert two_voices(jailbroken(text, source="allenai/noncompliance")) is None


def test_an_unmarked_refusal_before_a_jailbroken_answer_teaches_no_behaviour(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "opinions", lambda: Opinions({}, {}))
    unmarked = jailbroken("I'm sorry, but I can't do that. Anyway: first you fold the paper.")
    marked = jailbroken("[GPT]: I'm sorry, I can't help.\n[BOB]: Fold the paper.")
    plain = jailbroken("Fold the paper, then crease it.")
    assert answers._answer(unmarked) is None  # neither behaviour nor harm is known of it
    assert answers._answer(marked).behaviour == answers._answer(plain).behaviour
    assert answers._answer(marked).weight < answers._answer(plain).weight


def test_an_opinion_has_a_say_in_every_label_but_that_of_the_bare_rule(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "opinions", lambda: Opinions({}, {}))
    said = {origin: answers._answer(row(label_by=origin)) for origin in ("human", "llm-judge", "prefix", "constructed")}
    assert [origin for origin, one in said.items() if not one.doubted] == ["prefix"]


def test_what_was_read_stands_over_the_source_and_over_the_two_voices(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "opinions", lambda: Opinions({}, {}))
    unmarked = jailbroken("I'm sorry, but I can't do that. Anyway: first you fold the paper.", id="seen")
    unlabelled = row(id="silent", behaviour=None, label_by=None)
    read = {"seen": "partial", "silent": "compliance"}
    monkeypatch.setattr(answers, "readings", lambda: read)
    monkeypatch.setattr(readings, "readings", lambda: read)
    said = [answers._answer(one) for one in (unmarked, unlabelled)]
    assert [BEHAVIOURS[int(np.argmax(one.behaviour))] for one in said] == ["partial", "compliance"]
    assert [max(one.behaviour) for one in said] == [pytest.approx(1.0 - 2 * 0.05 / 3)] * 2
    assert all(one.doubted for one in said)


def test_a_complying_answer_to_a_request_that_was_read_as_benign_gives_no_harm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readings, "request_readings", lambda: {"a": "benign", "b": "cyber"})
    found = {name: answer_harm(row(id=name, behaviour="compliance", request=None)) for name in ("a", "b", "c")}
    assert found == {"a": 0.0, "b": None, "c": None}


def _told(rng: random.Random, refuse: bool) -> str:
    words = rng.sample(WORDS, 6)
    return " ".join([*words, "decline", "regret"] if refuse else [*words, "certainly", "below"])


def test_a_second_opinion_repairs_wrong_verdicts_that_its_own_request_alone_would_confirm():
    rng = random.Random(3)
    truth = [i % 2 for i in range(240)]
    texts = [_told(rng, refuse=t == 0) for t in truth]
    groups = [str(i // 4) for i in range(240)]
    verdicts = np.array([1 - t if g in {"0", "1", "2", "3"} else t for t, g in zip(truth, groups, strict=True)])
    found = cross_fitted(texts, verdicts, groups, folds=6)
    assert found.shape == (240, 2)
    assert found.sum(1) == pytest.approx(np.ones(240))
    wrong = [i for i, g in enumerate(groups) if g in {"0", "1", "2", "3"}]
    assert np.mean([found[i].argmax() == truth[i] for i in wrong]) > 0.9


def test_opinions_are_given_on_the_judges_rows_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    rng = random.Random(4)
    by_judge = [
        jailbroken(
            _told(rng, refuse=i % 3 == 0),
            behaviour=VERDICTS[i % 3],
            label_by="llm-judge",
            id=str(i),
            prompt=str(i // 3),
        )
        for i in range(90)
    ]
    others = [
        jailbroken("Fold it.", id="human"),
        jailbroken("Fold it.", label_by="llm-judge", behaviour="caution", id="other"),
    ]
    monkeypatch.setattr(second_opinion, "read", lambda split: tuple(by_judge + others))
    word_opinions.cache_clear()
    try:
        found = word_opinions()
    finally:
        word_opinions.cache_clear()
    assert len(judged(by_judge + others)) == 90
    assert set(found) == {r.id for r in by_judge}
    assert all(sum(p) == pytest.approx(1.0) for p in found.values())


def test_what_was_computed_for_the_same_input_is_kept(tmp_path: Path):
    made: list[int] = []

    def compute() -> np.ndarray:
        made.append(1)
        return np.arange(3)

    for inputs in (["a", "b"], ["a", "b"], ["a", "c"]):
        assert kept.kept("x", inputs, compute, tmp_path).tolist() == [0, 1, 2]
    assert len(made) == 2
