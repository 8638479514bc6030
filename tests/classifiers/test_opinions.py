"""The ensemble's opinions: how they are kept, who is asked about what, and how they enter the training targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from labelled_rows import row

from alignwatch import CATEGORIES
from classifiers.errors import ClassifierError
from classifiers.heads import BEHAVIOUR, HEADS, RESPONSE_HARM
from classifiers.training import ensemble, opinions
from classifiers.training.answers import ONE, Answer, smooth
from classifiers.training.ensemble import FOLDS, Teacher, asked, fold_of, merge, probabilities, teachers
from classifiers.training.opinions import ANSWER_WIDTH, REQUEST_WIDTH, STEPS
from classifiers.training.requests import Request
from classifiers.training.rows import Row, key_of
from classifiers.training.targets import REQUESTS, UNLABELLED, mixed, target_of

PROBABILITY = st.floats(0.0, 1.0, width=32)
EVEN = tuple(1.0 / len(CATEGORIES) for _ in CATEGORIES)


def rows_of(count: int) -> list[Row]:
    return [row(id=f"r{i}", prompt=f"How do I fold number {i // 2}?") for i in range(count)]


def answer(
    behaviour: str | None = "compliance",
    harm: float | None = 0.0,
    opinion: tuple[float, ...] | None = None,
    doubted: bool = True,
):
    target = None if behaviour is None else smooth(ONE[behaviour], 0.05)
    return Answer("text", target, harm, 2.0, "s", "f", harm_weight=3.0, opinion=opinion, doubted=doubted)


def request(harm: float | None, category: int | None = None, opinion: tuple[float, ...] | None = None) -> Request:
    return Request("text", harm, category, 0.7, 0.3, "s", "en", opinion)


@given(st.data(), st.integers(1, 30))
def test_kept_opinions_come_back_for_the_rows_that_had_one(tmp_path_factory, data, count: int):
    rows, file = rows_of(count), tmp_path_factory.mktemp("kept") / "o.npz"
    wide = {width: data.draw(arrays(np.float32, (count, width), elements=PROBABILITY)) for width in (5, 15)}
    unknown = data.draw(st.sets(st.integers(0, count - 1)))
    for values in wide.values():
        values[list(unknown)] = np.nan
    opinions.save(file, rows, wide[5], wide[15], ["a"])
    found = opinions.load(file, rows)
    assert set(found.answers) == {rows[i].id for i in range(count) if i not in unknown}
    assert set(found.requests) == {key_of(rows[i].prompt) for i in range(count) if i not in unknown}
    for i in set(range(count)) - unknown:
        assert found.answers[rows[i].id] == pytest.approx(wide[5][i].tolist(), abs=0.51 / STEPS)


def test_opinions_on_other_rows_are_refused(tmp_path: Path):
    rows = rows_of(3)
    opinions.save(tmp_path / "o.npz", rows, np.zeros((3, ANSWER_WIDTH)), np.zeros((3, REQUEST_WIDTH)), ["a"])
    with pytest.raises(ClassifierError, match="made for other labelled pairs"):
        opinions.load(tmp_path / "o.npz", rows[::-1])


def test_every_row_is_asked_of_once_by_each_encoder_and_those_of_one_request_together():
    rows = [*rows_of(40), row(id="nc", licence="CC-BY-NC-SA-4.0")]
    parts = [asked(rows, fold) for fold in range(FOLDS)]
    assert sorted(i for answers, _ in parts for i in answers) == list(range(40))
    for answers, _ in parts:
        assert {i ^ 1 for i in answers} == set(answers)
    assert fold_of("How  do I?", 7) == fold_of("how do i?", 7)


def test_what_the_teachers_say_is_averaged_and_words_speak_on_the_judges_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = rows_of(12)
    monkeypatch.setattr(ensemble, "read", lambda split: tuple(rows))
    monkeypatch.setattr(ensemble, "word_opinions", lambda: {"r0": (0.0, 0.0, 1.0)})
    for teacher in teachers():
        answers, requests = asked(rows, teacher.fold)
        logits = np.zeros((len(answers), HEADS), dtype=np.float16)
        logits[:, BEHAVIOUR.start] = 4.0 if teacher.encoder == ensemble.ENCODERS[0] else -4.0
        teacher.folder(tmp_path).mkdir()
        np.savez(teacher.folder(tmp_path) / ensemble.SAID, answers=logits, requests=np.zeros((len(requests), HEADS)))
    found = opinions.load(merge(tmp_path, tmp_path / "o.npz"), rows)
    assert len(found.answers) == 12
    sure = [probabilities(np.full((1, HEADS), 0.0) + (np.arange(HEADS) == BEHAVIOUR.start) * v, 1) for v in (4.0, -4.0)]
    expected = np.mean(sure, axis=0)[0]
    assert found.answers["r5"] == pytest.approx(expected.tolist(), abs=0.01)
    assert found.answers["r5"][-1] == pytest.approx(0.5, abs=0.01)
    assert found.answers["r0"][2] == pytest.approx((expected[2] + 1.0) / 2, abs=0.01)


def test_probabilities_of_an_answer_are_four_behaviours_and_harm():
    logits = np.zeros((2, HEADS), dtype=np.float32)
    logits[0, RESPONSE_HARM] = 20.0
    assert probabilities(logits, 1).shape == (2, ANSWER_WIDTH)
    assert probabilities(logits, 1)[:, -1] == pytest.approx([1.0, 0.5])
    assert probabilities(logits, 0).shape == (2, REQUEST_WIDTH)
    assert Teacher("e", 1).folder(Path("w")) == Path("w/e-1")


@given(st.lists(PROBABILITY, min_size=4, max_size=4), st.floats(0.01, 1.0))
def test_a_mixed_target_stays_a_distribution_between_label_and_opinion(raw: list[float], share: float):
    total = sum(raw)
    opinion = tuple(v / total for v in raw) if total > 0.01 else ONE["partial"]
    label = smooth(ONE["refusal"], 0.1)
    target, weight = mixed(label, opinion, 2.0, share)
    assert target is not None
    assert sum(target) == pytest.approx(1.0)
    assert weight == 2.0
    for mine, theirs, both in zip(label, opinion, target, strict=True):
        assert min(mine, theirs) - 1e-9 <= both <= max(mine, theirs) + 1e-9


def test_an_opinion_alone_weighs_less_and_nothing_at_a_share_of_none():
    opinion = (0.1, 0.2, 0.7, 0.0, 0.4)
    told = target_of(answer(None, None, opinion), 0.5)
    assert told == [0.1, 0.2, 0.7, 0.0, 2.0 * UNLABELLED, 0.4, 3.0 * UNLABELLED]
    assert target_of(answer(None, None, opinion), 0.0)[4::2] == [0.0, 0.0]
    assert target_of(answer(None, None, None), 0.5)[4::2] == [0.0, 0.0]


def test_an_answers_labelled_harm_is_the_label():
    opinion = (0.1, 0.2, 0.7, 0.0, 0.9)
    assert target_of(answer(harm=0.0, opinion=opinion), 0.5)[5:] == target_of(answer(harm=0.0), 0.5)[5:]
    assert target_of(answer(opinion=opinion), 0.5)[2] == pytest.approx((0.7 + 0.95 + 0.05 / 3) / 2)


def test_a_label_that_is_not_doubted_stands_against_the_opinion():
    opinion = (0.9, 0.1, 0.0, 0.0, 0.9)
    assert target_of(answer(opinion=opinion, doubted=False), 0.5) == target_of(answer(), 0.5)
    assert target_of(answer(None, None, opinion, doubted=False), 0.5) == target_of(answer(None, None, opinion), 0.5)


def test_a_harmless_request_has_no_category_and_a_doubtful_one_by_as_much_as_it_is_harmful():
    opinion = (0.8, *EVEN)
    harmless, doubtful = target_of(request(0.0, opinion=opinion), 0.5), target_of(request(None, opinion=opinion), 0.5)
    assert harmless[-1] == 0.0
    assert doubtful[:2] == [0.8, 0.7 * UNLABELLED]
    assert doubtful[-1] == pytest.approx(0.3 * 0.8 * UNLABELLED)
    labelled = target_of(request(1.0, 3, opinion), 0.5)
    assert labelled[0] == pytest.approx((1 - 0.5 * REQUESTS) * 0.97 + 0.5 * REQUESTS * 0.8)
    assert int(np.argmax(labelled[2:-1])) == 3
    assert sum(labelled[2:-1]) == pytest.approx(1.0)
    assert labelled[-1] == 0.3
