"""The one table: every foreign category maps to one of ours, and every one of ours maps back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from alignwatch import CATEGORIES
from classifiers import ClassifierError
from classifiers.taxonomy import ML_COMMONS, SORRY_BENCH, back, names, schemes
from classifiers.training.rows import read

NO_HARM_NAMED = ("harmfulqa / ", "Requests with safety concerns / incomprehensible")
"""Categories that name a subject or a form rather than a harm: their rows train no category."""
SORRY_BENCH_CATEGORIES = 45
ML_COMMONS_HAZARDS = 14


def test_every_scheme_maps_into_our_categories():
    assert {SORRY_BENCH, ML_COMMONS} <= set(schemes())
    for scheme in schemes():
        for name, mapped in names(scheme).items():
            assert mapped.category in {*CATEGORIES, "none"}, (scheme, name)


def test_all_of_sorry_bench_maps_exactly_and_every_category_maps_back():
    table = names(SORRY_BENCH)
    assert len(table) == SORRY_BENCH_CATEGORIES
    assert all(mapped.exact for mapped in table.values())
    assert [category for category in CATEGORIES if not back(category, SORRY_BENCH)] == []
    assert sum(len(back(category, SORRY_BENCH)) for category in CATEGORIES) == SORRY_BENCH_CATEGORIES


def test_all_hazards_of_ml_commons_map_and_those_that_do_not_map_back_have_no_hazard():
    table = names(ML_COMMONS)
    assert sorted(int(name.split()[0][1:]) for name in table) == list(range(1, ML_COMMONS_HAZARDS + 1))
    assert {c for c in CATEGORIES if not back(c, ML_COMMONS)} == {"fraud"}


def test_fraud_is_within_the_hazard_that_cuts_across():
    assert not names(ML_COMMONS)["S2 Non-Violent Crimes"].exact


def test_a_name_maps_back_to_itself():
    for scheme in schemes():
        for name, mapped in names(scheme).items():
            if mapped.category != "none":
                assert name in back(mapped.category, scheme)


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(ClassifierError, match=r"no scheme 'nonsense'; allowed: .*sorry-bench"):
        names("nonsense")


@pytest.mark.data
def test_every_category_of_every_labelled_row_is_mapped(labelled_pairs: Path):
    unmapped = set()
    for split in ("train", "dev"):
        rows = {row.id: row for row in read(split)}
        with gzip.open(labelled_pairs / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for raw in map(json.loads, lines):
                source, key = raw["source"], raw["hazard"] or raw["category"]
                safe = source == "allenai/noncompliance" and not (key or "").startswith("Requests with safety concerns")
                safe = safe or (key or "").startswith(NO_HARM_NAMED)
                if source in schemes() and key and not safe and rows[raw["id"]].category is None:
                    unmapped.add((source, key))
    assert unmapped == set()
