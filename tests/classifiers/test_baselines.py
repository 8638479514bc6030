"""The baselines: phrase lists as people use them, every method in the same cuts."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_rows import row

from classifiers.training import baselines
from classifiers.training.devset import Answers


@pytest.mark.parametrize(
    ("text", "prefix", "anywhere"),
    [
        ("I'm sorry, but I can't help with that.", 1, 1),
        ("I’m sorry, but no.", 1, 1),
        ('"Sorry, not today."', 1, 0),
        ("Here is the recipe. I'm sorry that it took so long.", 0, 1),
        ("Mix flour and water.", 0, 0),
        ("There is no reason to think less of anyone for that.", 0, 0),
    ],
)
def test_phrase_lists_see_phrases_and_nothing_else(text: str, prefix: int, anywhere: int):
    assert baselines.by_prefix([text]).tolist() == [prefix]
    assert baselines.by_phrase([text]).tolist() == [anywhere]


def _answers() -> Answers:
    texts = [
        ("I'm sorry, I can't do that.", "refusal"),
        ("Mix flour and water.", "compliance"),
        ("Let's not go there.", "refusal"),
    ]
    rows = [
        row(id=str(i), source=source, family=f"family-{source}", response=text, behaviour=behaviour)
        for source in ("one", "two")
        for i, (text, behaviour) in enumerate(texts * 10)
    ]
    behaviour = np.array([0 if one.behaviour == "refusal" else 2 for one in rows])
    return Answers(
        rows, behaviour, np.full(len(rows), np.nan, dtype=np.float32), np.zeros((len(rows), 20), dtype=np.float32)
    )


def test_all_methods_stand_in_the_same_cuts_and_losses_are_told(monkeypatch: pytest.MonkeyPatch):
    answers = _answers()
    perfect = (answers.behaviour == 0).astype(np.float32)
    monkeypatch.setattr(
        baselines, "METHODS", {"prefix list": baselines.by_prefix, "oracle": lambda _: perfect * 0.9 + 0.05}
    )
    ours = baselines.by_prefix([row.response or "" for row in answers.rows]) > 0
    found = baselines.compare(answers, ours)
    methods = found["methods"]
    assert set(methods) == {"ours", "prefix list", "oracle"}
    assert methods["ours"]["by_source"] == methods["prefix list"]["by_source"]
    assert methods["ours"]["overall"]["recall"] == pytest.approx(0.5)
    assert methods["oracle"]["overall"]["f1"] == 1.0
    assert {(loss["name"], loss["method"]) for loss in found["beaten_by"] if loss["cut"] == "by_source"} == {
        ("one", "oracle"),
        ("two", "oracle"),
    }
