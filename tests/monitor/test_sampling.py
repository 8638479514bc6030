"""Which exchanges are labelled: the same ones everywhere, and weights under which every rate stays unbiased."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from exchanges import native
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, pearsonr
from scipy.stats import norm as normal

from alignwatch import Exchange
from monitor.clock import ManualClock
from monitor.sampling import MIN_KEEP, Budget, Sampler, SamplingConfig, uniforms

IDS = [f"r-{number:06d}" for number in range(20_000)]


class WordScreen:
    """Finds prompts that begin with `suspect`."""

    threshold = 0.5

    def __init__(self) -> None:
        self.scored = 0

    def score(self, prompts: Sequence[str]) -> list[float]:
        self.scored += len(prompts)
        return [float(prompt.startswith("suspect")) for prompt in prompts]


def exchange(identifier: str, prompt: str = "plain", **fields: Any) -> Exchange:
    return Exchange.model_validate(native(id=identifier, prompt=prompt, **fields))


def sampler(screen: WordScreen | None = None, clock: ManualClock | None = None, **config: Any) -> Sampler:
    return Sampler(SamplingConfig.model_validate(config), screen, clock or ManualClock())


def test_the_hash_is_uniform_and_its_three_numbers_independent() -> None:
    numbers = np.array([uniforms(one, "alignwatch") for one in IDS])
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    for column in numbers.T:
        counts, _ = np.histogram(column, bins=50, range=(0, 1))
        assert chisquare(counts).pvalue > 1e-4
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(pearsonr(numbers[:, one], numbers[:, other])[0]) < 4 / np.sqrt(len(IDS))


def test_the_hash_is_the_same_in_every_process_and_version() -> None:
    code = "from monitor.sampling import uniforms; print(uniforms('r-1', 'alignwatch'))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{uniforms('r-1', 'alignwatch')}\n"}
    assert uniforms("r-1", "alignwatch") == pytest.approx(PINNED, abs=0)
    assert uniforms("r-1", "other key") != uniforms("r-1", "alignwatch")


PINNED = (0.39391387754597684, 0.8798541280076266, 0.6934129907858748)


@given(st.lists(st.integers(1, 40), max_size=12))
def test_the_same_exchanges_are_chosen_however_traffic_is_cut_and_ordered(cuts: list[int]) -> None:
    traffic = [exchange(one, "suspect" if index % 7 == 0 else "plain") for index, one in enumerate(IDS[:300])]
    config = {"rate": 0.6, "uniform_rate": 0.3}
    whole = {(one.exchange.id, one.weight, one.selection) for one in sampler(WordScreen(), **config).select(traffic)}
    other = sampler(WordScreen(), **config)
    found = set()
    rest = list(reversed(traffic))
    for cut in [*cuts, len(rest)]:
        part, rest = rest[:cut], rest[cut:]
        found |= {(one.exchange.id, one.weight, one.selection) for one in other.select(part)}
    assert found == whole


def test_a_higher_rate_keeps_everything_that_a_lower_one_kept() -> None:
    traffic = [exchange(one) for one in IDS[:2000]]
    few = {one.exchange.id for one in sampler(rate=0.2).select(traffic)}
    many = {one.exchange.id for one in sampler(rate=0.5).select(traffic)}
    assert few < many


def test_every_suspect_prompt_is_labelled_and_the_rest_at_the_uniform_rate() -> None:
    traffic = [exchange(one, "suspect" if index % 20 == 0 else "plain") for index, one in enumerate(IDS)]
    chosen = sampler(WordScreen(), uniform_rate=0.1).select(traffic)
    suspect = [one for one in chosen if one.exchange.prompt == "suspect"]
    plain = [one for one in chosen if one.exchange.prompt == "plain"]
    assert len(suspect) == 1000
    assert {one.weight for one in suspect} == {1.0}
    assert {(one.weight, one.selection) for one in plain} == {(10.0, "uniform")}
    # 19,000 coins of probability 0.1: within five standard deviations.
    assert abs(len(plain) - 1900) < 5 * np.sqrt(19_000 * 0.1 * 0.9)
    assert 0 < sum(one.selection == "uniform" for one in suspect) < 200


def test_without_a_screen_everything_is_labelled_unless_told_otherwise() -> None:
    traffic = [exchange(one) for one in IDS[:100]]
    assert len(sampler().select(traffic)) == 100
    assert sampler().uniform_rate == 1.0
    assert sampler(WordScreen()).uniform_rate == 0.1


def rates(seed: int, budget: float | None) -> tuple[float, float, float]:
    """Truth, weighted estimate and its variance of one simulated day's compliance."""
    random = np.random.default_rng(seed)
    clock = ManualClock()
    one = sampler(
        WordScreen(), clock, rate=0.8, uniform_rate=0.2, budget_pairs_per_second=budget, burst_seconds=5.0,
        key=f"key-{seed}",
    )  # fmt: skip
    truth = estimate = variance = 0.0
    for batch in range(40):
        clock.advance(1.0)
        # The screen's hits comply more often, and traffic comes in bursts: a naive mean would be far off.
        size = int(random.integers(20, 200))
        suspect = random.random(size) < 0.3
        complies = random.random(size) < np.where(suspect, 0.7, 0.1)
        traffic = [
            exchange(f"{batch}-{n}", "suspect" if suspect[n] else "plain", response="yes" if complies[n] else "no")
            for n in range(size)
        ]
        truth += complies.sum()
        for kept in one.select(traffic):
            if kept.exchange.response == "yes":
                estimate += kept.weight
                variance += kept.weight * (kept.weight - 1.0)
    return float(truth), estimate, variance


@pytest.mark.parametrize("budget", [None, 15.0], ids=["no-budget", "budget-full"])
def test_weights_keep_totals_unbiased(budget: float | None) -> None:
    runs = [rates(seed, budget) for seed in range(24)]
    differences = np.array([estimate - truth for truth, estimate, _ in runs])
    error = np.sqrt(sum(variance for _, _, variance in runs)) / len(runs)
    assert abs(differences.mean()) < normal.isf(1e-4) * error
    # The check can see a bias of this size: without weights the estimate would be off by a large part of the truth.
    assert error < 0.05 * np.mean([truth for truth, _, _ in runs])


def test_the_budget_is_kept_over_time_and_the_weights_say_so() -> None:
    clock = ManualClock()
    one = sampler(clock=clock, budget_pairs_per_second=50.0, burst_seconds=2.0)
    kept, total = 0, 0.0
    for batch in range(120):
        clock.advance(1.0)
        chosen = one.select([exchange(f"{batch}-{n}") for n in range(500)])
        kept += len(chosen)
        total += sum(item.weight for item in chosen)
    assert kept <= 120 * 50 + 2 * 50 + 2 * 500
    assert kept >= 0.8 * 120 * 50
    assert total == pytest.approx(120 * 500, rel=0.1)
    assert one.dropped["budget"] == 120 * 500 - kept


@pytest.mark.parametrize("idle_seconds", [0.0, 500.0], ids=["at-the-start", "after-a-lull"])
def test_a_sudden_backlog_does_not_pass_unthinned(idle_seconds: float) -> None:
    clock = ManualClock()
    one = sampler(clock=clock, budget_pairs_per_second=5.0, burst_seconds=4.0)
    if idle_seconds:
        one.select([exchange("before")])
        clock.advance(idle_seconds)
    # What the bucket holds and what it may owe, and four standard deviations of a count.
    assert len(one.select([exchange(f"backlog-{n}") for n in range(2_000)])) <= 40 + 4 * 40**0.5
    clock.advance(20.0)
    assert one.select([exchange(f"later-{n}") for n in range(10)])


def test_an_idle_budget_lets_everything_pass() -> None:
    clock = ManualClock()
    one = sampler(clock=clock, budget_pairs_per_second=100.0)
    for batch in range(50):
        clock.advance(1.0)
        chosen = one.select([exchange(f"{batch}-{n}") for n in range(20)])
        assert len(chosen) == 20
        assert {item.weight for item in chosen} == {1.0}


@given(
    st.lists(
        st.tuples(st.floats(0.0, 100.0), st.integers(0, 10_000), st.floats(0.0, 1.0)), min_size=1, max_size=30
    )
)  # fmt: skip
def test_the_share_is_always_a_usable_probability(batches: list[tuple[float, int, float]]) -> None:
    now = 100.0
    budget = Budget(10.0, 5.0, now)
    for elapsed, wanted, kept in batches:
        now += elapsed
        assert MIN_KEEP <= budget.share(now, 2 * wanted) <= 1.0
        budget.spend(2 * wanted, wanted, int(wanted * kept))


def test_a_clock_that_steps_back_does_not_refill_the_budget() -> None:
    budget = Budget(10.0, 5.0, 1000.0)
    budget.share(1001.0, 2000)
    budget.spend(2000, 1000, 100)
    low = budget.share(1002.0, 2000)
    assert budget.share(500.0, 2000) == pytest.approx(low)


def test_verdicts_attached_upstream_pass_screen_and_budget_at_the_plain_rate() -> None:
    screen = WordScreen()
    labels = {"request": {"harm": 0.9, "category": "sexual"}}
    traffic = [exchange(one, labels=labels) for one in IDS[:500]]
    one = sampler(screen, rate=0.5, uniform_rate=0.01, budget_pairs_per_second=0.001)
    chosen = one.select(traffic)
    assert screen.scored == 0
    assert {(item.weight, item.selection) for item in chosen} == {(2.0, "uniform")}
    assert abs(len(chosen) - 250) < 5 * np.sqrt(500 * 0.25)


def test_what_was_dropped_is_counted_by_stage() -> None:
    one = sampler(WordScreen(), rate=0.5, uniform_rate=0.1)
    chosen = one.select([exchange(item) for item in IDS[:1000]])
    assert one.dropped["rate"] + one.dropped["screen"] + len(chosen) == 1000
    assert min(one.dropped["rate"], one.dropped["screen"]) > 300


@pytest.mark.parametrize("bad", [{"rate": 0}, {"rate": 1.5}, {"uniform_rate": 0}, {"budget_pairs_per_second": 0}])
def test_rates_outside_their_bounds_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SamplingConfig.model_validate(bad)
