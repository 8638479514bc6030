"""Whether measured figures are the card's: small differences pass, others are named."""

from __future__ import annotations

import pytest

from classifiers.training.agreement import differences


@pytest.mark.parametrize(
    ("stated", "measured", "places"),
    [
        ({"f1": 0.930}, {"f1": 0.933}, []),
        ({"f1": 0.930}, {"f1": 0.90}, ["f1"]),
        ({"a": {"f1": 0.93, "refused": 30}}, {"a": {"f1": 0.90, "refused": 30}}, []),
        ({"a": {"f1": 0.93, "refused": 999}}, {"a": {"f1": 0.90, "refused": 999}}, ["a.f1"]),
        ({"n": 1000}, {"n": 1005}, []),
        ({"n": 1000}, {"n": 1200}, ["n"]),
        ({"n": 2}, {"n": 0}, []),
        ({"auc": None}, {"auc": 0.9}, ["auc"]),
        ({"rows": [1, 2]}, {"rows": [1, 9]}, ["rows[1]"]),
        ({"rows": [1, 2]}, {"rows": [1]}, ["rows"]),
        ({"a": {"x": 1.0, "y": 1.0}}, {"a": {"x": 1.0}}, ["a.y"]),
        ({"speed": 1.0}, {}, []),
        ({"bins": {"harm": [1]}, "f1": 1.0}, {"bins": {"harm": [900]}, "f1": 1.0}, []),
        ({"use": "training"}, {"use": "evaluation only"}, ["use"]),
    ],
)  # fmt: skip
def test_differences_are_named_by_their_place(stated: dict, measured: dict, places: list[str]):
    assert [line.split(":")[0] for line in differences(stated, measured)] == places
