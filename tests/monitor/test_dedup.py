from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.dedup import SeenIds, id_hash


def test_an_id_counts_once_within_the_window() -> None:
    seen = SeenIds(window=10.0)
    assert seen.add(1, 0.0)
    assert not seen.add(1, 9.0)
    assert seen.add(2, 20.0)
    assert seen.add(1, 21.0)


def test_the_same_id_in_two_deployments_is_two() -> None:
    assert id_hash("a", "x") != id_hash("b", "x")
    assert id_hash("a", "x") == id_hash("a", "x")


def test_capacity_forgets_the_oldest_first() -> None:
    seen = SeenIds(window=1e9, capacity=2)
    for key in (1, 2, 3):
        seen.add(key, float(key))
    assert len(seen) == 2
    assert seen.add(1, 4.0)
    assert not seen.add(3, 4.0)


def test_restored_ids_are_known_and_not_new() -> None:
    seen = SeenIds(window=10.0)
    seen.restore([(5, 1.0)])
    assert not seen.add(5, 2.0)
    assert seen.fresh() == []
    seen.add(6, 2.0)
    assert seen.fresh() == [(6, 2.0)]
    seen.committed()
    assert seen.fresh() == []


def test_a_batch_that_is_given_up_is_new_when_it_comes_again() -> None:
    seen = SeenIds(window=100.0)
    assert seen.add(1, 1.0)
    seen.committed()
    assert seen.add(2, 2.0)
    assert seen.add(3, 3.0)
    seen.rollback()
    assert len(seen) == 1
    assert seen.fresh() == []
    assert [seen.add(key, 4.0) for key in (1, 2, 3)] == [False, True, True]


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=6)), max_size=12))
def test_giving_up_batches_leaves_what_was_committed(batches: list[tuple[bool, list[int]]]) -> None:
    seen, known = SeenIds(window=1e6), set[int]()
    for kept, keys in batches:
        assert [seen.add(key, 1.0) for key in dict.fromkeys(keys)] == [key not in known for key in dict.fromkeys(keys)]
        if kept:
            known |= set(keys)
            seen.committed()
        else:
            seen.rollback()
        assert len(seen) == len(known)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100)), max_size=60))
def test_nothing_passes_twice_while_the_window_holds_all(events: list[tuple[int, float]]) -> None:
    seen = SeenIds(window=1000.0)
    passed = [key for key, at in events if seen.add(key, at)]
    assert sorted(passed) == sorted(set(passed))
    assert set(passed) == {key for key, _ in events}
