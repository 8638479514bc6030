"""The shipped artefact gives the figures that its card states, without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers import Classifier
from classifiers.training.sample import FULL_MARGIN, MARGIN, score_sample

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def sample(labelled_pairs: Path, classifier: Classifier) -> dict:
    return score_sample(classifier)


def test_the_fixed_sample_gives_the_figures_of_the_card(sample: dict, classifier: Classifier):
    stated = classifier.card.evaluation["sample"]
    assert sample["answers"] == stated["answers"] >= 350
    assert sample["requests"] == stated["requests"] >= 150
    for name in ("refusal_f1", "refusal_false_alarms", "response_harm_auc", "request_harm_auc"):
        assert sample[name] == pytest.approx(stated[name], abs=MARGIN), name


def test_the_sample_stands_for_all_of_dev(sample: dict, classifier: Classifier):
    evaluation = classifier.card.evaluation
    for name, whole in (
        ("refusal_f1", evaluation["answers"]["overall"]["f1"]),
        ("response_harm_auc", evaluation["response_harm"]["all"]["auc"]),
        ("request_harm_auc", evaluation["requests"]["auc_all"]),
    ):
        assert sample[name] == pytest.approx(whole, abs=FULL_MARGIN), name
