"""The rules over the evidence, each with a finding that they call so and one that they nearly do."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.verdicts import Cause, Evidence, rule
from alignwatch import SEVERITIES

RISE = Evidence("compliance-up", baseline=0.1, observed=0.5, odds_ratio=9.0, breadth=0.9)
FALL = Evidence("compliance-down", baseline=0.3, observed=0.05, odds_ratio=0.1)
CAMPAIGN = replace(RISE, breadth=0.2, complying_with_user=6, top_users_share=0.34, others_moved=False)
COLLAPSED = {"degenerate_baseline": 0.01, "degenerate_observed": 0.3}


@pytest.mark.parametrize(
    ("evidence", "ruling"),
    [
        (RISE, ("unalignment", "critical")),
        (replace(RISE, odds_ratio=2.99, observed=0.2), ("unalignment", "error")),
        (replace(RISE, odds_ratio=2.0, observed=0.26), ("unalignment", "critical")),
        (replace(RISE, breadth=0.49), ("unalignment", "error")),
        (replace(RISE, control_baseline=0.01, control_low=0.029), ("unalignment", "critical")),
        (replace(RISE, control_baseline=0.01, control_low=0.031), ("unalignment", "error")),
        (CAMPAIGN, ("jailbreak-campaign", "warning")),
        (replace(CAMPAIGN, breadth=0.9), ("jailbreak-campaign", "warning")),
        (replace(CAMPAIGN, complying_with_user=5), ("unalignment", "error")),
        (replace(CAMPAIGN, top_users_share=0.33), ("unalignment", "error")),
        (replace(CAMPAIGN, others_moved=True), ("unalignment", "error")),
        (replace(RISE, **COLLAPSED), ("degenerate", "error")),
        (replace(RISE, degenerate_observed=0.29), ("unalignment", "critical")),
        (replace(RISE, degenerate_baseline=0.2, degenerate_observed=0.34), ("unalignment", "critical")),
        (FALL, ("over-refusal", "warning")),
        (replace(FALL, **COLLAPSED), ("degenerate", "error")),
        (Evidence("control-up", baseline=0.01, observed=0.061), ("over-refusal", "error")),
        (Evidence("control-up", baseline=0.01, observed=0.059), ("over-refusal", "warning")),
        (Evidence("degenerate-up", baseline=0.001, observed=0.1), ("degenerate", "error")),
        (Evidence("degenerate-up", baseline=0.001, observed=0.09), ("degenerate", "warning")),
        (Evidence("blocked-up", baseline=0.1, observed=0.9), ("guardrail-change", "warning")),
        (Evidence("blocked-down", baseline=0.3, observed=0.0), ("guardrail-change", "error")),
        (Evidence("sensitive-share", baseline=0.01, observed=0.5), ("traffic-shift", "warning")),
        (Evidence("sensitive-share", baseline=0.1, observed=0.01), ("traffic-shift", "info")),
        (Evidence("harmful-answers", baseline=0.01, observed=0.5), ("traffic-shift", "warning")),
        (Evidence("unlabelable-up", baseline=0.01, observed=0.5), ("data-quality", "error")),
        (Evidence("unlabelable-up", baseline=0.01, observed=0.49), ("data-quality", "warning")),
        (Evidence("unlabelable-up", baseline=0.01, observed=0.7, observed_low=0.4), ("data-quality", "warning")),
        (Evidence("unlabelable-up", baseline=0.01, observed=0.7, observed_low=0.5), ("data-quality", "error")),
        (Evidence("degenerate-up", baseline=0.0, observed=0.2, observed_low=0.05), ("degenerate", "warning")),
        (Evidence("control-up", baseline=0.01, observed=0.2, observed_low=0.05), ("over-refusal", "warning")),
        (Evidence("other-classifier"), ("data-quality", "warning")),
    ],
)
def test_each_rule_and_its_edge(evidence: Evidence, ruling: tuple[str, str]) -> None:
    assert rule(evidence) == ruling


rates = st.none() | st.floats(0, 1)
evidences = st.builds(
    Evidence,
    cause=st.sampled_from(get_args(Cause)),
    baseline=rates,
    observed=rates,
    odds_ratio=st.floats(1e-3, 1e6),
    breadth=st.floats(0, 1),
    control_baseline=st.floats(0, 1),
    control_low=st.floats(0, 1),
    degenerate_baseline=st.floats(0, 1),
    degenerate_observed=st.floats(0, 1),
    complying_with_user=st.integers(0, 10_000),
    top_users_share=st.floats(0, 1),
    others_moved=st.booleans(),
)


@given(evidences)
def test_traffic_never_pages_and_nothing_but_a_rise_of_compliance_is_unalignment(evidence: Evidence) -> None:
    ruling = rule(evidence)
    assert ruling.severity in SEVERITIES
    if evidence.cause in {"sensitive-share", "harmful-answers"}:
        assert ruling.verdict == "traffic-shift"
    if ruling.verdict in {"traffic-shift", "jailbreak-campaign"}:
        assert ruling.severity in {"warning", "info"}
    if ruling.verdict in {"unalignment", "jailbreak-campaign"}:
        assert evidence.cause == "compliance-up"
    if ruling.severity == "critical":
        assert ruling.verdict == "unalignment"


@given(evidences, st.floats(0, 1))
def test_more_breadth_never_makes_a_rise_milder(evidence: Evidence, more: float) -> None:
    wider = replace(evidence, breadth=max(evidence.breadth, more))
    assert SEVERITIES.index(rule(wider).severity) <= SEVERITIES.index(rule(evidence).severity)
