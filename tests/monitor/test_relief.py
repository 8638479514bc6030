from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from alignwatch import Exchange
from monitor.clock import ManualClock
from monitor.relief import STEP_SECONDS, Relief
from monitor.sampling import MIN_KEEP, Sampler, SamplingConfig
from monitor.sources import TopicPartition

HERE = TopicPartition("traffic", 0)


class Backlog:
    """A sampler, a backlog, and a time that both share."""

    def __init__(self, limit: float = 100.0) -> None:
        self.sampler = Sampler(SamplingConfig(), None, ManualClock())
        self.waiting = 0
        self.time = 0.0
        self.relief = Relief(self.sampler, lambda: {HERE: self.waiting}, limit, now=lambda: self.time)

    def batch(self, waiting: int, records: int = 100, seconds: float = 1.0) -> float:
        self.waiting = waiting
        self.time += STEP_SECONDS
        self.relief.took(records, seconds)
        return self.sampler.relief


def exchanges(count: int) -> list[Exchange]:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return [
        Exchange(id=f"r-{n}", timestamp=at, deployment="d", prompt="question", response="answer") for n in range(count)
    ]


def test_a_backlog_that_is_worked_off_in_time_changes_nothing() -> None:
    one = Backlog()
    assert {one.batch(9_999) for _ in range(20)} == {1.0}


def test_a_long_backlog_thins_the_sample_and_its_end_restores_it() -> None:
    one = Backlog()
    shares = [one.batch(20_000) for _ in range(10)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 1.0
    middle = one.batch(5_000)
    assert middle == shares[-1], "between the two bounds it stays"
    for _ in range(40):
        one.batch(0)
    assert one.sampler.relief == 1.0


def test_the_share_changes_only_after_the_last_change_could_show() -> None:
    one = Backlog()
    first = one.batch(20_000)
    one.time -= STEP_SECONDS * 0.9
    assert one.batch(20_000) == first


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 500), st.floats(0, 60)), max_size=80))
def test_whatever_comes_the_share_is_a_probability(turns: list[tuple[int, int, float]]) -> None:
    one = Backlog()
    for waiting, records, seconds in turns:
        assert MIN_KEEP <= one.batch(waiting, records, seconds) <= 1.0


def test_weights_say_what_was_left_out() -> None:
    one = Backlog()
    while one.sampler.relief > 0.3:
        one.batch(10**6)
    share = one.sampler.relief
    found = one.sampler.select(exchanges(4_000))
    assert {round(item.weight, 9) for item in found} == {round(1.0 / share, 9)}
    # Horvitz and Thompson: the weights add up to the traffic, within five standard deviations.
    deviation = (4_000 * (1.0 - share) / share) ** 0.5
    assert abs(sum(item.weight for item in found) - 4_000) < 5 * deviation
    assert one.sampler.keep == share


def test_without_relief_everything_is_kept() -> None:
    one = Backlog()
    assert len(one.sampler.select(exchanges(50))) == 50
    assert one.sampler.keep == 1.0
