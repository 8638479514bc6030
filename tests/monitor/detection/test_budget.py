"""The false-alarm budget: half to the pooled stream, never more than was granted, and what a trickle or flood does."""

from __future__ import annotations

import pytest
from detection_scenes import baseline_of, live
from hypothesis import given
from hypothesis import strategies as st

from monitor.baseline import Baseline
from monitor.detection.budget import LONGEST_ARL, PERIOD_HOURS, SHORTEST_ARL, allowances, label_rate
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.streams import STREAMS

BASELINE = baseline_of(live())


def scaled(factor: float) -> Baseline:
    counts = {
        kind: one.model_copy(
            update={"labels": tuple(n * factor for n in one.labels), "sums": tuple(s * factor for s in one.sums)}
        )
        for kind, one in BASELINE.counts.items()
    }
    return BASELINE.model_copy(update={"counts": counts})


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(1, 500), st.floats(0.1, 100))
def test_streams_together_spend_no_more_than_the_deployments_part(
    pages: float, warnings: float, deployments: int, factor: float
) -> None:
    config = DetectionConfig(false_pages_per_90_days=pages, false_warnings_per_90_days=warnings)
    granted = allowances(scaled(factor), config, deployments)
    for paging, budget in ((True, pages), (False, warnings)):
        spent = sum(one.per_90_days for spec, one in zip(STREAMS, granted, strict=True) if spec.pages is paging)
        unclipped = all(one.arl < LONGEST_ARL for one in granted)
        assert spent <= budget / deployments * (1 + 1e-9) or not unclipped
    for spec, one in zip(STREAMS, granted, strict=True):
        assert SHORTEST_ARL <= one.arl <= LONGEST_ARL
        assert one.per_90_days * one.arl == pytest.approx(label_rate(spec, scaled(factor)) * PERIOD_HOURS)


def test_half_of_the_pages_go_to_the_pooled_stream() -> None:
    granted = allowances(BASELINE, DetectionConfig(), 1)
    paging = [one.per_90_days for spec, one in zip(STREAMS, granted, strict=True) if spec.pages]
    assert STREAMS[0].name == "compliance"
    assert STREAMS[0].direction == "up"
    assert paging[0] == pytest.approx(0.5)
    assert sum(paging) == pytest.approx(1.0)
    assert {STREAMS.index(spec) for spec in STREAMS if spec.name == "sensitive-share" and spec.pages} == set()


def test_a_fleet_shares_one_budget() -> None:
    names = [f"chat-{number}" for number in range(4)]
    fleet = {name: BASELINE.model_copy(update={"deployment": name}) for name in names}
    engine = Engine(DetectionConfig(), fleet)
    assert sum(one.false_pages_per_90_days for one in engine.status()) == pytest.approx(1.0)
    alone = Engine(DetectionConfig(), {names[0]: fleet[names[0]]}).status()[0]
    assert engine.status()[0].streams[0].threshold_log10 > alone.streams[0].threshold_log10
    stated = Engine(DetectionConfig(fleet_deployments=50), {names[0]: fleet[names[0]]}).status()[0]
    assert stated.false_pages_per_90_days == pytest.approx(1 / 50)


def test_unapproved_baselines_take_no_part() -> None:
    other = BASELINE.model_copy(update={"deployment": "other", "approved_by": None, "approved_at": None})
    engine = Engine(DetectionConfig(), {BASELINE.deployment: BASELINE, "other": other})
    assert [one.false_pages_per_90_days for one in engine.status()] == pytest.approx([1.0, 0.0])


def test_a_flood_says_that_it_costs_more_than_its_part() -> None:
    flood = scaled(1e9)
    (pooled, *_) = allowances(flood, DetectionConfig(), 1)
    assert pooled.arl == LONGEST_ARL
    assert pooled.per_90_days > 0.5


def test_a_trickle_never_gets_jumpy() -> None:
    granted = allowances(scaled(1e-4), DetectionConfig(false_pages_per_90_days=1e6), 1)
    assert {one.arl for one in granted[:1]} == {SHORTEST_ARL}
    assert granted[0].per_90_days < 0.5e6


def test_a_rare_category_is_given_for_a_common_one() -> None:
    """Its run length in labels must hold when the traffic turns to it."""
    rare = next(i for i, spec in enumerate(STREAMS) if spec.stratum is not None)
    labels = list(BASELINE.counts["compliance"].labels)
    labels[STREAMS[rare].stratum or 0] = 0.0
    sums = [min(s, n) for s, n in zip(BASELINE.counts["compliance"].sums, labels, strict=True)]
    thin = BASELINE.counts["compliance"].model_copy(update={"labels": tuple(labels), "sums": tuple(sums)})
    baseline = BASELINE.model_copy(update={"counts": BASELINE.counts | {"compliance": thin}})
    assert label_rate(STREAMS[rare], baseline) == pytest.approx(0.02 * baseline.labels_per_hour(0))
