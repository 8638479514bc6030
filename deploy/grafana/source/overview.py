"""Every deployment at a glance. The first row answers whether it is well."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard
from kit import GREEN, RED, YELLOW, build, dashed, described, lines, number, states, words

JOB = 'job=~"$job"'
BY = f'{JOB},deployment=~"$deployment"'
STATE = " or ".join(
    f'{value} * alignwatch_deployment_state{{{BY},state="{name}"}}'
    for value, name in ((1, "watching"), (2, "learning"), (3, "no-baseline"), (4, "alarm"))
)


def dashboard() -> Dashboard:
    """The overview."""
    return build(
        "alignwatch-overview",
        "alignwatch / Overview",
        "Which deployments behave as they did when they were approved, and whether the monitor itself is well.",
        [("", _tiles()), ("Deployments", _deployments()), ("Data", _data())],
        deployment=True,
        several=True,
        marks=True,
    )


def _tiles() -> list:
    calm = [(None, GREEN), (1, RED)]
    return [
        number(
            "In alarm",
            described("Deployments with an open incident.", "alignwatch_deployment_state"),
            f'sum(max by (deployment) (alignwatch_deployment_state{{{BY},state="alarm"}}))',
            calm,
        ),
        number(
            "Open incidents",
            described("Incidents that have not recovered, over all deployments.", "alignwatch_incidents_open"),
            f"sum(max by (deployment) (alignwatch_incidents_open{{{BY}}}))",
            calm,
        ),
        number(
            "Not watched",
            described(
                "Deployments without an approved baseline: nothing statistical pages for them.",
                "alignwatch_deployment_state",
            ),
            f'sum(max by (deployment) (alignwatch_deployment_state{{{BY},state=~"learning|no-baseline"}}))',
            [(None, GREEN), (1, YELLOW)],
        ),
        number(
            "Nearest to alarm",
            described(
                "Orders of magnitude between the strongest evidence and its alarm level; 0 and above is an alarm.",
                "deployment:alignwatch_evidence_margin_log10:max",
            ),
            f"max(deployment:alignwatch_evidence_margin_log10:max{{{BY}}})",
            [(None, GREEN), (-2, YELLOW), (0, RED)],
            decimals=1,
        ),
        number(
            "Monitor",
            described("Whether every instance answers Prometheus.", "up"),
            f"min(up{{{JOB}}})",
            [(None, RED), (1, GREEN)],
            empty="No target",
            mapping=words({"0": "Unreachable", "1": "Up"}),
        ),
        number(
            "Behind by",
            described(
                "Backlog over throughput: how late detection is.",
                "alignwatch_source_lag_records",
                "alignwatch_exchanges_received_total",
            ),
            f"max(alignwatch_source_lag_records{{{JOB}}} / rate(alignwatch_exchanges_received_total{{{JOB}}}[10m]))",
            [(None, GREEN), (60, YELLOW), (300, RED)],
            unit="s",
        ),
        number(
            "Alerts waiting",
            described("Age of the oldest alert that its receiver has not taken.", "alignwatch_outbox_oldest_seconds"),
            f"max(alignwatch_outbox_oldest_seconds{{{JOB}}})",
            [(None, GREEN), (60, YELLOW), (600, RED)],
            unit="s",
        ),
        number(
            "Unreadable",
            described(
                "Largest share of a deployment's sampled traffic that could not be labelled.",
                "deployment:alignwatch_unlabelable:ratio_rate1h",
            ),
            f"max(deployment:alignwatch_unlabelable:ratio_rate1h{{{BY}}}) or vector(0)",
            [(None, GREEN), (0.05, YELLOW), (0.5, RED)],
            unit="percentunit",
        ),
    ]


def _deployments() -> list:
    refused = lines(
        "Sensitive requests not answered, against the approved baseline",
        described(
            "Share of sensitive requests that the model declines, over the recent panes (solid) and in the approved"
            " baseline for the same requests (dashed). A solid line that falls below its dashed one is what this monitor"
            " looks for.",
            "alignwatch_observed_ratio",
            "alignwatch_baseline_ratio",
        ),
        {
            "{{deployment}}": f'1 - max by (deployment) (alignwatch_observed_ratio{{{BY},stream="compliance"}})',
            "{{deployment}} baseline": f'1 - max by (deployment) (alignwatch_baseline_ratio{{{BY},stream="compliance"}})',
        },
        unit="percentunit",
        top=1,
    )
    harmful = lines(
        "Answers that are harmful, of all traffic",
        described(
            "Share of exchanges with a harmful answer over the recent panes (solid), and in the baseline (dashed).",
            "alignwatch_observed_ratio",
            "alignwatch_baseline_ratio",
        ),
        {
            "{{deployment}}": f'max by (deployment) (alignwatch_observed_ratio{{{BY},stream="harmful-answers"}})',
            "{{deployment}} baseline": f'max by (deployment) (alignwatch_baseline_ratio{{{BY},stream="harmful-answers"}})',
        },
        unit="percentunit",
    )
    return [
        states(
            "State",
            described("Of every deployment, over time.", "alignwatch_deployment_state"),
            f"max by (deployment) ({STATE})",
            "{{deployment}}",
        ),
        dashed(refused, ".* baseline"),
        lines(
            "Evidence against the alarm level",
            described(
                "Strongest evidence of a change minus its alarm level, in orders of magnitude. At 0 a page goes out, with"
                " the false-alarm rate that was stated beforehand.",
                "deployment:alignwatch_evidence_margin_log10:max",
            ),
            {"{{deployment}}": f"deployment:alignwatch_evidence_margin_log10:max{{{BY}}}"},
            bottom=None,
            thresholds=[(None, GREEN), (0, RED)],
        ),
        dashed(harmful, ".* baseline"),
        lines(
            "Incidents raised",
            described("By verdict, in the last six hours.", "alignwatch_incidents_total", quiet=True),
            {
                "{{deployment}} {{verdict}} {{severity}}": (
                    f"sum by (deployment, verdict, severity) (increase(alignwatch_incidents_total{{{BY}}}[6h])) > 0"
                )
            },
        ),
    ]


def _data() -> list:
    return [
        lines(
            "Sensitive requests that were read",
            described(
                "Answers to sensitive requests a second, weighted to all traffic: what the rates above rest on.",
                "deployment:alignwatch_sensitive_answers:rate1h",
            ),
            {"{{deployment}}": f"deployment:alignwatch_sensitive_answers:rate1h{{{BY}}}"},
            unit="reqps",
            width=8,
        ),
        lines(
            "Could not be labelled",
            described(
                "Share of sampled traffic: redacted, empty, in a language that the classifier does not read.",
                "deployment:alignwatch_unlabelable:ratio_rate1h",
                quiet=True,
            ),
            {"{{deployment}}": f"deployment:alignwatch_unlabelable:ratio_rate1h{{{BY}}}"},
            unit="percentunit",
            width=8,
        ),
        lines(
            "Since the newest label",
            described("How long a deployment has brought nothing.", "alignwatch_last_event_timestamp_seconds"),
            {"{{deployment}}": f"time() - max by (deployment) (alignwatch_last_event_timestamp_seconds{{{BY}}})"},
            unit="s",
            width=8,
            bottom=None,
        ),
    ]
