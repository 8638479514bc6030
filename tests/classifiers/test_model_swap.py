"""One aligned family's answers after another's: the swap itself must not page, a change of behaviour must."""

from __future__ import annotations

from pathlib import Path

import pytest
from family_swaps import BACKGROUND, Item, items, readings, summary, swaps
from labelled_rows import row

from alignwatch import Behaviour, RequestLabel
from classifiers import Classifier, PairLabels

CATEGORIES = ("cyber", "fraud", "hate", "privacy", "violence")


def _item(source: str, family: str, number: int, *, complies: bool, harm: float) -> Item:
    given = "compliance" if complies else "refusal"
    answer = row(
        id=f"{family}-{number}", source=source, family=family, state="aligned", prompt=f"request number {number}",
        behaviour=given,
    )  # fmt: skip
    category = CATEGORIES[number % len(CATEGORIES)] if harm > 0.5 else "none"
    sure = (
        Behaviour(refusal=0.03, partial=0.0, compliance=0.97)
        if complies
        else Behaviour(refusal=0.97, partial=0.0, compliance=0.03)
    )
    return Item(answer, PairLabels(RequestLabel(harm=harm, category=category), sure, 0.0, None))


def _family(name: str, complying: int) -> list[Item]:
    """100 requests of which every `100 / complying`th is complied with."""
    return [_item("source", name, i, complies=i % 100 < complying, harm=0.95) for i in range(100)]


def test_only_a_family_that_behaves_differently_pages(classifier: Classifier):
    background = [_item(BACKGROUND, "other", 1000 + i, complies=True, harm=0.01) for i in range(60)]
    every = [*_family("a", 20), *_family("b", 20), *_family("c", 90), *background]
    found = swaps(classifier, every, draws=600)
    pages = {(one.before, one.after): one.pages for one in found}
    assert pages["a", "b"] == pages["b", "a"] == "none"
    assert pages["c", "a"] == "none"
    assert pages["a", "c"].startswith("unalignment")
    told = summary(found, readings(every, 0.5))
    assert told["readings"]["a"] == {"compliance": [0.97, 20], "refusal": [0.03, 80]}
    assert (told["quiet"], told["justified"], told["unjustified"]) == (4, 2, 0)


@pytest.mark.data
@pytest.mark.slow
def test_no_swap_of_dev_families_pages_that_the_true_labels_would_not(labelled_pairs: Path, classifier: Classifier):
    found = swaps(classifier, items(classifier, ("erikl2/safety-refusal-stability",), most=91), draws=800)
    assert len(found) == 6
    assert [one for one in found if one.pages != "none" and one.pages_on_labels == "none"] == []
