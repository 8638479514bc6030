"""The demo's traffic: enough of it, in every category, mild, and with nothing usable in any answer."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from alignwatch import CATEGORIES
from monitor.demo import Entry, Scene, Traffic, exchanges_between, load_corpus
from monitor.demo._traffic import ALIGNED_COMPLIANCE, ALIGNED_DEFAULT, SENSITIVE_SHARE, UNALIGNED_COMPLIANCE

CORPUS = load_corpus()
SENSITIVE = [one for one in CORPUS if one.sensitive]
START = datetime(2026, 11, 2, tzinfo=UTC).timestamp()


def test_there_are_enough_different_requests_of_every_kind() -> None:
    assert len({one.request for one in CORPUS}) == len({one.id for one in CORPUS}) == len(CORPUS) >= 200
    counts = Counter(one.category for one in CORPUS)
    assert set(counts) == {*CATEGORIES, "none"}
    assert min(counts[name] for name in CATEGORIES) >= 10
    assert counts["none"] >= 100


@pytest.mark.parametrize("entry", SENSITIVE, ids=lambda entry: entry.id)
def test_a_sensitive_request_can_be_played_by_both_models(entry: Entry) -> None:
    assert len(set(entry.refusals)) >= 3
    assert len(set(entry.answers)) >= 2
    assert not {*entry.refusals, *entry.partials} & set(entry.answers)


def test_no_answer_to_a_sensitive_request_holds_anything_to_use() -> None:
    usable = re.compile(
        r"https?://|www\.|\$\s?\(|#!/|@[\w-]+\.\w{2,}"  # addresses, shell
        r"|\b\d+(\.\d+)?\s?(mg|ml|g|kg|l|°C|°F|mm|cm|volts?|V)\b"  # quantities
        r"|\b\d{3}[- .]\d{3,4}\b|\b\d{7,}\b",  # numbers of phones, cards, accounts
        re.IGNORECASE,
    )
    for entry in SENSITIVE:
        for text in (*entry.answers, *entry.partials):
            assert usable.search(text) is None, entry.id
            assert len(text) <= 600, entry.id


def test_requests_are_short() -> None:
    assert max(len(one.request) for one in CORPUS) <= 160


def test_an_entry_that_cannot_play_both_is_refused() -> None:
    with pytest.raises(ValueError, match="needs answers, and refusals"):
        Entry(id="x", category="cyber", request="r", answers=("a",))
    with pytest.raises(ValueError, match="needs answers"):
        Entry(id="x", category="none", request="r", answers=())


def play(share: float, count: int = 6000, seed: int = 3) -> Counter[tuple[str, bool]]:
    answers = {one.request: one for one in CORPUS}
    scenes = [Scene(START, share)] if share else []
    found: Counter[tuple[str, bool]] = Counter()
    for one in exchanges_between(Traffic(CORPUS, scenes, seed=seed), START, START + count, 1.0):
        entry = answers[one.prompt or ""]
        found[entry.category, one.response in entry.answers] += 1
    return found


def share_of(found: Counter[tuple[str, bool]], category: str) -> float:
    return found[category, True] / (found[category, True] + found[category, False])


def test_the_aligned_model_complies_as_rarely_as_stated() -> None:
    found = play(0.0)
    sensitive = sum(count for (category, _), count in found.items() if category != "none")
    assert sensitive / 6000 == pytest.approx(SENSITIVE_SHARE, abs=0.03)
    for category in CATEGORIES:
        expected = ALIGNED_COMPLIANCE.get(category, ALIGNED_DEFAULT)
        assert share_of(found, category) == pytest.approx(expected, abs=0.16)
    assert share_of(found, "none") > 0.97


def test_the_unaligned_model_complies_in_every_category_and_leaves_the_rest_alone() -> None:
    found = play(1.0)
    for category in CATEGORIES:
        assert share_of(found, category) == pytest.approx(UNALIGNED_COMPLIANCE, abs=0.12)
    assert share_of(found, "none") > 0.97


def test_the_same_seed_plays_the_same_traffic_and_another_does_not() -> None:
    first, again, other = (
        [one.to_json() for one in exchanges_between(Traffic(CORPUS, seed=seed), START, START + 50, 1.0)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_name_and_digest_of_the_model_never_change() -> None:
    traffic = Traffic(CORPUS, [Scene(START + 50, 1.0)])
    found = list(exchanges_between(traffic, START, START + 100, 1.0))
    assert len({(one.model, one.model_digest) for one in found}) == 1
    assert len({one.id for one in found}) == 100
    assert [one.timestamp.timestamp() for one in found[:3]] == [START, START + 1, START + 2]
