"""Bounded memory: panes that do not mind the order of labels, and a ring that forgets detail but no label."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import Behaviour
from monitor.panes import Ring, Seen, TimePanes, history_of

times = st.lists(st.floats(0, 20_000), max_size=60)
HEDGES = Behaviour(refusal=0.2, partial=0.3, compliance=0.4, degenerate=0.1)


def seen(second: float, stratum: int = 0, x: float = 0.0, **fields: object) -> Seen:
    return Seen(second, stratum, x, f"r{second}", 0, **fields)  # type: ignore[arg-type]


@given(times)
def test_panes_do_not_mind_the_order_of_labels(stamps: list[float]) -> None:
    one, other = TimePanes(300.0), TimePanes(300.0)
    shuffled = random.Random(1).sample(stamps, len(stamps))
    for panes, order in ((one, stamps), (other, shuffled)):
        for stamp in order:
            panes.at(stamp).labelled += 1
            panes.at(stamp).add(HEDGES, 0.5, 2.0)
    assert one.points() == other.points()
    assert sum(point.labelled for point in one.points()) == len(stamps)
    assert [point.start.timestamp() % 300 for point in one.points()] == [0.0] * len(one.points())


def test_a_pane_gives_weighted_means_and_no_rate_without_answers() -> None:
    panes = TimePanes(60.0)
    panes.at(61.0).add(HEDGES, None, 1.0)
    panes.at(62.0).add(Behaviour(refusal=1.0, partial=0.0, compliance=0.0), 1.0, 3.0)
    panes.at(0.0)
    empty, point = panes.points()
    assert (empty.compliance, empty.refusal, empty.evidence_log10) == (None, None, None)
    assert point.refusal == pytest.approx((0.2 + 3) / 4)
    assert point.compliance == pytest.approx(0.1)
    assert point.degenerate == pytest.approx(0.025)
    assert point.harmful_answers == pytest.approx(0.75)


@given(times, st.integers(1, 10))
def test_only_the_latest_panes_are_kept_and_saved_ones_go_on(stamps: list[float], maximum: int) -> None:
    panes = TimePanes(100.0, maximum)
    for stamp in stamps:
        panes.at(stamp).labelled += 1
    assert len(panes.points()) <= maximum
    again = TimePanes(100.0, maximum)
    again.load(panes.dump())
    assert again.points() == panes.points()
    for one in (panes, again):
        one.at(7_000.0).labelled += 1
    assert again.points() == panes.points()


@given(st.integers(0, 3_000), st.integers(0, 3))
def test_the_ring_is_bounded_and_loses_no_label(n: int, stratum: int) -> None:
    ring = Ring(64, 16)
    rng = random.Random(n)
    outcomes = [seen(float(i), rng.randrange(4), rng.random(), complied=rng.random() < 0.5) for i in range(n)]
    for one in outcomes:
        ring.add(one)
    assert len(ring.fine) <= 64
    assert len(ring.coarse) <= 16
    history = ring.history()
    assert history.labels.sum() == n
    assert history.sums.sum() == pytest.approx(sum(one.x for one in outcomes))
    assert (history.pane[1:] >= history.pane[:-1]).all()
    assert (history.first[1:] >= history.first[:-1]).all()
    mine = [one for one in outcomes if one.stratum == stratum]
    assert ring.history(stratum).labels.sum() == len(mine)
    assert ring.history(stratum).sums.sum() == pytest.approx(sum(one.x for one in mine))
    decided = ring.decided(stratum, float("-inf"))
    assert decided == (pytest.approx(sum(one.complied for one in mine) / len(mine)) if mine else None)


def test_detail_is_kept_where_it_is_recent() -> None:
    ring = Ring(64, 16)
    for second in range(5_000):
        ring.add(seen(float(second)))
    sizes = [int(ring.history().labels[i]) for i in range(len(ring.history().labels))]
    assert sizes[-32:] == [1] * 32
    assert sizes[: len(ring.coarse)] == sorted(sizes[: len(ring.coarse)], reverse=True)
    since = ring.history(since=4_990.0)
    assert since.first.tolist() == [float(second) for second in range(4_990, 5_000)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1), st.sampled_from(["a", "b", None])), max_size=300), st.data()
)
def test_a_saved_ring_goes_on_as_if_never_saved(made: list[tuple], data: st.DataObject) -> None:
    outcomes = [seen(float(i), k, x, complied=x > 0.5, digest=digest) for i, (k, x, digest) in enumerate(made)]
    cut = data.draw(st.integers(0, len(outcomes)))
    whole, first, second = Ring(40, 8), Ring(40, 8), Ring(40, 8)
    for one in outcomes:
        whole.add(one)
    for one in outcomes[:cut]:
        first.add(one)
    second.load(first.dump())
    for one in outcomes[cut:]:
        second.add(one)
    assert second.dump() == whole.dump()
    assert second.fine == whole.fine
    assert second.coarse == whole.coarse


def test_single_outcomes_are_laid_out_in_their_order() -> None:
    history = history_of([seen(5.0, 2, 0.5), seen(3.0, 1, 1.0)])
    assert history.first.tolist() == [5.0, 3.0]
    assert history.stratum.tolist() == [2, 1]
    assert history.sums.tolist() == [0.5, 1.0]
    assert history.pane.tolist() == [0, 1]
    assert history_of([]).labels.size == 0
