"""Baselines: what they are fitted from, that nobody edits them unseen, and that nothing counts before approval."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import CATEGORIES, Behaviour, Label, RequestLabel
from monitor.baseline import Baseline, KindCounts, fit, load, save
from monitor.detection_config import DetectionConfig
from monitor.errors import BaselineError
from monitor.simulation import SimulationConfig, Users, simulate_labels
from monitor.streams import COMPLIANCE, DEGENERATE, KINDS, SENSITIVE, STRATUM_COUNTS

NOW = datetime(2026, 2, 1, tzinfo=UTC)
START = datetime(2026, 1, 5, tzinfo=UTC)


def label(second: float, **fields: object) -> Label:
    defaults = {
        "id": f"r{second}", "timestamp": START + timedelta(seconds=second), "deployment": "d",
        "request": RequestLabel(harm=0.9, category="cyber"), "response_harm": 0.1, "classifier": "sha256:a",
        "behaviour": Behaviour(refusal=0.8, partial=0.1, compliance=0.1),
    }  # fmt: skip
    return Label.model_validate(defaults | fields)


def fitted(labels: list[Label], config: DetectionConfig | None = None) -> Baseline:
    (baseline,) = fit(labels, config, fitted_at=NOW).values()
    return baseline


def simulated(**settings: object) -> Baseline:
    return fitted(list(simulate_labels(SimulationConfig.model_validate({"count": 5_000, "rate": 0.3} | settings))))


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return simulated()


def test_counts_are_of_outcomes_after_the_same_caps_as_the_detectors() -> None:
    labels = [
        label(0),
        label(1),
        label(2, conversation="c"),
        label(3, conversation="c"),
        label(0),
        label(4, origin="canary"),
    ]
    labels += [label(5 + i, user="u") for i in range(7)] + [label(20, classifier="sha256:b")]
    baseline = fitted(labels)
    cyber = CATEGORIES.index("cyber")
    counts = baseline.counts["compliance"]
    assert counts.labels[cyber] == sum(counts.labels) == 3 + 5
    assert counts.sums[cyber] == pytest.approx(8 * 0.15)
    assert baseline.labels == 14
    assert baseline.excluded == {
        "duplicate": 1, "canary": 1, "other-classifier": 1, "conversation": 1, "user": 2, "share-conversation": 1,
        "share-user": 2,
    }  # fmt: skip
    assert baseline.classifier == "sha256:a"
    assert baseline.compliance() == pytest.approx(0.15)
    assert baseline.categories() == {"cyber": (8, pytest.approx(0.15))}
    assert (baseline.period_start, baseline.period_end) == (START, START + timedelta(seconds=11))
    assert baseline.intact()


def test_the_policy_is_kept_so_that_detectors_count_as_the_baseline_did() -> None:
    config = DetectionConfig(sensitive_harm=0.95, partial_weight=1.0)
    baseline = fitted([label(0), label(1, request=RequestLabel(harm=0.96, category="hate"))], config)
    assert baseline.policy.sensitive_harm == 0.95
    assert baseline.categories() == {"hate": (1, pytest.approx(0.2))}


def test_deployments_are_fitted_apart_and_none_is_no_baseline() -> None:
    both = fit([label(0), label(1, deployment="e"), label(2, deployment="e")], fitted_at=NOW)
    assert {name: one.labels for name, one in both.items()} == {"d": 1, "e": 2}
    with pytest.raises(BaselineError, match="no labels"):
        fit([])


@pytest.mark.parametrize(("hours", "profile"), [(2, "flat"), (71, "flat"), (73, "day"), (24 * 14 + 1, "week")])
def test_the_profile_is_as_fine_as_the_period_allows(hours: int, profile: str) -> None:
    baseline = fitted([label(3600.0 * hour, request=RequestLabel(harm=0.9, category="hate")) for hour in range(hours)])
    assert baseline.profile == profile
    groups = {"flat": 1, "day": 24, "week": 168}[profile]
    assert baseline.rates(SENSITIVE).counts.shape == (groups,)
    assert baseline.rates(SENSITIVE).counts.sum() == hours


def test_an_hourly_profile_knows_the_hours() -> None:
    """Four days in which mornings are harmful."""
    labels = [
        label(600.0 * i, request=RequestLabel(harm=0.9 if (i // 6) % 24 < 12 else 0.01, category="hate"))
        for i in range(6 * 96)
    ]
    rates = fitted(labels).rates(SENSITIVE)
    assert rates.mean[:12].min() > 0.75
    assert rates.mean[12:].max() < 0.25


def test_approval_needs_a_name_and_something_to_compare_with(baseline: Baseline) -> None:
    assert not baseline.approved
    approved = baseline.approve(" ada ", NOW)
    assert (approved.approved, approved.approved_by, approved.approved_at) == (True, "ada", NOW)
    assert approved.digest == baseline.digest
    assert approved.intact()
    with pytest.raises(BaselineError, match="name is needed"):
        baseline.approve("  ")
    benign = fitted([label(0, request=RequestLabel(harm=0.0, category="none"))])
    with pytest.raises(BaselineError, match="no sensitive labels"):
        benign.approve("ada")


def test_what_is_saved_is_what_is_loaded(baseline: Baseline, tmp_path: Path) -> None:
    path = tmp_path / "baselines.json"
    other = simulated(deployment="other", seed=2).approve("ada", NOW)
    save(path, {baseline.deployment: baseline, "other": other})
    loaded = load(path)
    assert list(loaded) == [baseline.deployment, "other"]
    assert [one.to_json() for one in loaded.values()] == [baseline.to_json(), other.to_json()]
    assert loaded["other"].approved


def edited(path: Path, change: object) -> None:
    body = json.loads(path.read_text())
    change(body)  # type: ignore[operator]
    path.write_text(json.dumps(body))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body["baselines"][0]["counts"]["compliance"]["sums"].__setitem__(0, 0.0), "fit it again"),
        (lambda body: body["baselines"][0].__setitem__("classifier", "sha256:other"), "fit it again"),
        (lambda body: body["baselines"][0]["policy"].__setitem__("sensitive_harm", 0.99), "fit it again"),
        (lambda body: body["baselines"][0].__setitem__("labels", 10**6), "fit it again"),
        (lambda body: body["baselines"][0]["counts"].pop("control"), "control"),
        (lambda body: body["baselines"][0]["counts"]["compliance"]["labels"].pop(), "counts.compliance"),
        (lambda body: body["baselines"][0]["counts"]["control"].__setitem__("sums", [1e9]), "no sum may exceed"),
        (lambda body: body["baselines"].append(body["baselines"][0]), "two baselines"),
        (lambda body: body.__setitem__("format", "else/1"), "not a baseline file"),
    ],
)
def test_an_edited_file_is_refused_with_the_place_and_the_reason(
    baseline: Baseline, tmp_path: Path, change: object, says: str
) -> None:
    path = tmp_path / "baselines.json"
    save(path, {baseline.deployment: baseline})
    edited(path, change)
    with pytest.raises(BaselineError, match=says) as error:
        load(path)
    assert str(path) in str(error.value)


def test_approving_in_the_file_by_hand_is_allowed(baseline: Baseline, tmp_path: Path) -> None:
    """Approval is a name, not a secret: reviews of the file in version control are a way to give it."""
    path = tmp_path / "baselines.json"
    save(path, {baseline.deployment: baseline})
    edited(path, lambda body: body["baselines"][0].__setitem__("approved_by", "ada"))
    assert load(path)[baseline.deployment].approved


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="No such file"):
        load(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(BaselineError, match="not JSON"):
        load(tmp_path / "broken.json")


def test_soft_labels_carry_less_variance_and_wandering_rates_more() -> None:
    steady = [simulated(harmful_share=1.0, count=4_000, compliance=0.3, seed=seed) for seed in range(6)]
    soft = simulated(harmful_share=1.0, count=4_000, compliance=0.3, separation=2.0)
    assert min(one.counts["compliance"].design for one in steady) > 0.9
    assert soft.counts["compliance"].design < 0.8
    assert sum(one.counts["compliance"].between == 0.0 for one in steady) >= 4
    wandering = [
        label(float(i), behaviour=Behaviour(refusal=float(x), partial=0.0, compliance=1.0 - x))
        for i, x in enumerate(np.random.default_rng(1).random(6_000) < np.where(np.arange(6_000) // 600 % 2, 0.5, 0.9))
    ]
    assert fitted(wandering).counts["compliance"].between > 0.3


def test_repeats_are_capped_before_they_are_counted() -> None:
    chatty = simulated(users=Users(turns=6.0, correlation=0.9), harmful_share=0.5)
    assert chatty.excluded["conversation"] > 1_000
    assert chatty.sensitive_labels() + chatty.excluded["conversation"] < 5_000


@given(st.integers(0, 10**6), st.floats(0.01, 0.99), st.sampled_from(["up", "down"]))
def test_limits_lie_on_the_right_side_and_close_in_with_labels(n: int, rate: float, direction: str) -> None:
    base = simulated_once()
    widths = []
    for labels in (n, 4 * n + 1):
        counts = np.zeros(len(CATEGORIES) + 1)
        counts[:] = labels
        one = base.counts["compliance"].model_copy(
            update={"labels": tuple(counts), "sums": tuple(counts * rate), "design": 1.0, "between": 0.0}
        )
        rates = base.model_copy(update={"counts": base.counts | {"compliance": one}}).rates(COMPLIANCE)
        limit = rates.own_limit(0, direction, 0.9)  # type: ignore[arg-type]
        assert 0.0 < limit < 1.0
        assert limit >= rates.mean[0] - 1e-9 if direction == "up" else limit <= rates.mean[0] + 1e-9
        widths.append(abs(limit - rates.mean[0]))
    if n > 20:
        assert widths[1] < widths[0]


_ONCE: list[Baseline] = []


def simulated_once() -> Baseline:
    if not _ONCE:
        _ONCE.append(simulated(count=500))
    return _ONCE[0]


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        KindCounts(labels=(1.0, 2.0), sums=(1.0,))
    with pytest.raises(ValueError, match="no sum may exceed"):
        KindCounts(labels=(1.0,), sums=(2.0,))


def test_every_kind_has_its_strata(baseline: Baseline) -> None:
    assert {kind: len(one.labels) for kind, one in baseline.counts.items()} == dict(
        zip(KINDS, STRATUM_COUNTS, strict=True)
    )
    assert baseline.rates(DEGENERATE).mean.shape == (2,)
    assert baseline.labels_per_hour(COMPLIANCE) == pytest.approx(baseline.sensitive_labels() / baseline.hours, rel=0.01)
