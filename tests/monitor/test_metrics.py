"""Metrics: what is counted, under which names, and that traffic can't blow up the number of series."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading

import pytest
from fake_service import CLASSIFIER, NOW, SCENES, deployment, incident, service
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from alignwatch import CATEGORIES, Behaviour, Label, RequestLabel
from monitor.metrics import OTHER, Metrics
from monitor.status_metrics import BoundedNames

OUTCOMES = {
    "refusal": Behaviour(refusal=0.9, partial=0.1, compliance=0.0),
    "partial": Behaviour(refusal=0.1, partial=0.8, compliance=0.1),
    "compliance": Behaviour(refusal=0.0, partial=0.1, compliance=0.9),
    "degenerate": Behaviour(refusal=0.0, partial=0.0, compliance=0.1, degenerate=0.9),
}


def label(outcome: str | None = "refusal", category: str = "cyber", **changes) -> Label:
    fields = {
        "id": "r-1",
        "timestamp": NOW,
        "deployment": "chat-prod",
        "request": RequestLabel(harm=0.9, category=category),
        "behaviour": OUTCOMES[outcome] if outcome else None,
    }
    return Label(**(fields | changes))


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((f"alignwatch_{name}", tuple(sorted(labels.items()))))


def busy() -> Metrics:
    """Metrics in which every method has been called and every gauge has a value."""
    metrics = Metrics()
    metrics.received(10)
    metrics.decoded(9)
    metrics.dead_letter("not-json")
    metrics.unsampled(2)
    metrics.duplicate()
    metrics.late()
    metrics.quarantined()
    metrics.batch(16, 0.12)
    for outcome in (*OUTCOMES, None):
        metrics.labelled(label(outcome))
    metrics.labelled(label(None, request=None, unlabelable="redacted"))
    metrics.incident(incident())
    metrics.alert_sent("pagerduty")
    metrics.alert_failed("webhook")
    metrics.watch(lambda: SCENES["alarm"])
    return metrics


def test_labels_are_counted_by_category_and_outcome_plain_and_weighted():
    metrics = Metrics()
    for weight in (1.0, 10.0, 10.0):
        metrics.labelled(label("compliance", weight=weight))
    metrics.labelled(label("refusal"))
    series = {"deployment": "chat-prod", "category": "cyber"}
    assert value(metrics, "exchanges_labelled_total", **series, outcome="compliance") == 3
    assert value(metrics, "exchanges_labelled_weighted_total", **series, outcome="compliance") == 21
    assert value(metrics, "exchanges_labelled_total", **series, outcome="refusal") == 1


def test_an_answer_that_was_not_read_is_no_outcome():
    metrics = Metrics()
    metrics.labelled(label(None, "none", weight=20.0))
    assert value(metrics, "exchanges_unread_total", deployment="chat-prod", category="none") == 20
    assert not [name for name, _ in samples(metrics) if name == "alignwatch_exchanges_labelled_total"]
    assert metrics.counters().labelled == 1


def test_what_could_not_be_labelled_is_counted_by_reason_and_is_no_outcome():
    metrics = Metrics()
    metrics.labelled(label(None, request=None, unlabelable="redacted"))
    assert value(metrics, "exchanges_unlabelable_total", deployment="chat-prod", reason="redacted") == 1
    assert metrics.counters().labelled == 0


def test_counters_for_the_status_are_those_that_are_exposed():
    metrics = busy()
    counters = metrics.counters()
    assert counters.model_dump() == {
        "received": 10,
        "decoded": 9,
        "dead_letters": {"not-json": 1},
        "unsampled": 2,
        "labelled": 5,
        "unlabelable": {"redacted": 1},
        "duplicates": 1,
        "late": 1,
        "quarantined": 1,
    }
    assert value(metrics, "exchanges_received_total") == counters.received
    assert value(metrics, "dead_letters_total", reason="not-json") == 1
    assert value(metrics, "exchanges_late_total") == counters.late


def test_an_incident_counts_again_only_when_verdict_or_severity_changes():
    metrics = Metrics()
    first = incident()
    longer, over = ({"labels_since_onset": 500}, {"status": "recovered"})
    for one in (first, first.model_copy(update=longer), first.model_copy(update=over)):
        metrics.incident(one)
    metrics.incident(first.model_copy(update={"severity": "error"}))
    series = {"deployment": "chat-prod", "verdict": "unalignment"}
    assert value(metrics, "incidents_total", **series, severity="critical") == 1
    assert value(metrics, "incidents_total", **series, severity="error") == 1


def test_alerts_are_counted_by_sink_and_by_how_they_failed():
    metrics = Metrics()
    metrics.alert_sent("pagerduty")
    metrics.alert_failed("webhook")
    metrics.alert_failed("webhook", rejected=True)
    assert value(metrics, "alerts_sent_total", sink="pagerduty") == 1
    assert value(metrics, "alerts_failed_total", sink="webhook", kind="retry") == 1
    assert value(metrics, "alerts_failed_total", sink="webhook", kind="rejected") == 1


def test_gauges_are_read_from_the_status_at_each_scrape():
    metrics = Metrics()
    assert value(metrics, "source_ready") is None, "a service that has not started has no gauges"
    metrics.watch(lambda: SCENES["alarm"])
    pooled = {"deployment": "chat-prod", "stream": "compliance", "direction": "up"}
    assert value(metrics, "evidence_log10", **pooled) == 9.4
    assert value(metrics, "evidence_threshold_log10", **pooled) == 6.1
    assert value(metrics, "baseline_ratio", deployment="chat-prod", stream="compliance") == 0.10
    assert value(metrics, "observed_ratio", deployment="chat-prod", stream="compliance") == 0.71
    assert value(metrics, "stream_effective_labels", **pooled) == 5210
    assert value(metrics, "deployment_state", deployment="chat-prod", state="alarm") == 1
    assert value(metrics, "deployment_state", deployment="chat-prod", state="watching") == 0
    assert value(metrics, "incidents_open", deployment="chat-prod") == 1
    assert value(metrics, "source_lag_records") == 12
    assert value(metrics, "state_last_commit_timestamp_seconds") == NOW.timestamp() - 2
    assert value(metrics, "build_info", version="0.1.0", classifier=CLASSIFIER) == 1
    metrics.watch(lambda: SCENES["fleet"])
    assert value(metrics, "outbox_depth") == 2
    assert value(metrics, "outbox_oldest_seconds") == 340


def test_a_category_stream_has_both_directions_and_one_rate():
    metrics = Metrics()
    metrics.watch(lambda: SCENES["calm"])
    text = metrics.exposition()[0].decode()
    assert text.count('alignwatch_evidence_log10{deployment="chat-prod",direction="up",stream="control"}') == 1
    assert text.count('alignwatch_evidence_log10{deployment="chat-prod",direction="down",stream="control"}') == 1
    assert text.count('alignwatch_baseline_ratio{deployment="chat-prod",stream="control"}') == 1


def test_deployments_beyond_the_list_are_other_and_have_no_gauges():
    metrics = Metrics(deployments=["chat-prod"])
    metrics.labelled(label())
    metrics.labelled(label(deployment="surprise"))
    metrics.labelled(label(deployment="another"))
    assert value(metrics, "exchanges_labelled_total", deployment=OTHER, category="cyber", outcome="refusal") == 2
    metrics.watch(lambda: service(deployment("chat-prod"), deployment("surprise")))
    text = metrics.exposition()[0].decode()
    assert 'alignwatch_evidence_log10{deployment="chat-prod"' in text
    assert "surprise" not in text


def test_a_flood_of_names_and_reasons_stays_within_the_stated_number_of_series():
    metrics = Metrics(max_deployments=5)
    for i in range(400):
        for outcome in OUTCOMES:
            metrics.labelled(label(outcome, CATEGORIES[i % 14], deployment=f"d-{i}"))
        metrics.labelled(label(None, request=None, deployment=f"d-{i}", unlabelable=f"reason {i}"))
        metrics.dead_letter(f"reason {i}")
        metrics.alert_failed(f"sink {i}")
    counted: dict[str, int] = {}
    for name, _ in samples(metrics):
        counted[name] = counted.get(name, 0) + 1
    assert max(counted.values()) <= (5 + 1) * len(CATEGORIES) * 4
    assert counted["alignwatch_dead_letters_total"] <= 25
    total = sum(v for (name, _), v in samples(metrics).items() if name == "alignwatch_exchanges_labelled_total")
    assert total == 1600, "what is called `other` still counts"


@given(st.lists(st.text(max_size=8)), st.integers(min_value=1, max_value=6))
def test_bounded_names_are_few_and_never_change(names, maximum):
    bounded = BoundedNames((), maximum)
    first = [bounded(name) for name in names]
    assert len(set(first) - {OTHER}) <= maximum
    assert [bounded(name) for name in names] == first


def test_bounded_names_refuse_a_bound_that_lets_nothing_through():
    with pytest.raises(ValueError, match="maximum=0; it must be at least 1"):
        BoundedNames((), 0)


def test_counting_from_many_threads_loses_nothing():
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.labelled(label())
            metrics.received()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.counters().labelled == metrics.counters().received == 2000
    assert value(metrics, "exchanges_received_total") == 2000


def test_names_and_types_follow_the_conventions_of_prometheus():
    for family in text_string_to_metric_families(busy().exposition()[0].decode()):
        if not family.name.startswith("alignwatch_"):
            continue
        assert family.documentation.endswith("."), family.name
        assert not family.name.endswith("_created"), family.name
        assert family.type in {"counter", "gauge", "histogram"}, family.name


def test_two_registries_do_not_meet():
    one, two = Metrics(), Metrics()
    one.received(3)
    assert value(two, "exchanges_received_total") == 0


def test_every_metric_is_documented(request):
    documented = (request.config.rootpath / "docs" / "metrics.md").read_text()
    for family in text_string_to_metric_families(busy().exposition()[0].decode()):
        if family.name.startswith("alignwatch_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            assert f"`{name}`" in documented, name


@pytest.mark.integration
def test_promtool_finds_nothing_to_complain_about():
    promtool = shutil.which("promtool")
    if promtool is None:
        said = "needs promtool (Debian package `prometheus`)"
        pytest.fail(said) if os.environ.get("CI") == "true" else pytest.skip(said)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=busy().exposition()[0], capture_output=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stderr.decode(), checked.stdout.decode()) == (0, "", "")
