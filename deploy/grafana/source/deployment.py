"""One deployment: what changed, since when, where, and what the figures rest on."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard
from kit import BLUE, GREEN, RED, YELLOW, banded, build, dashed, described, heat, lines, number, words
from overview import BY, STATE

COMPLIANCE = f'alignwatch_baseline_ratio{{{BY},stream="compliance"}}'
COUNT = f'sum by (deployment) (increase(alignwatch_exchanges_labelled_total{{{BY},category!="none"}}[1h]))'
SPREAD = f"1.96 * sqrt(max by (deployment) ({COMPLIANCE}) * (1 - max by (deployment) ({COMPLIANCE})) / ({COUNT} > 0))"


def dashboard() -> Dashboard:
    """The detail of one deployment."""
    return build(
        "alignwatch-deployment",
        "alignwatch / Deployment",
        "One deployment in detail; marks show when an incident began, when it was detected, and the change before it.",
        [("", _tiles()), ("Behaviour", _behaviour()), ("Categories", _categories()), ("What it rests on", _counts())],
        deployment=True,
        marks=True,
    )


def _tiles() -> list:
    return [
        number(
            "State",
            described("What the detectors make of it.", "alignwatch_deployment_state"),
            f"max({STATE})",
            [(None, GREEN), (2, BLUE), (3, YELLOW), (4, RED)],
            mapping=words({"1": "Watching", "2": "Learning", "3": "No baseline", "4": "ALARM"}),
        ),
        number(
            "Answered now",
            described("Share of sensitive requests answered, over the recent panes.", "alignwatch_observed_ratio"),
            f'max(alignwatch_observed_ratio{{{BY},stream="compliance"}})',
            [(None, BLUE)],
            unit="percentunit",
        ),
        number(
            "Answered at approval",
            described("The same in the approved baseline, for the same mix of requests.", "alignwatch_baseline_ratio"),
            f"max({COMPLIANCE})",
            [(None, BLUE)],
            unit="percentunit",
            empty="No baseline",
        ),
        number(
            "To the alarm",
            described(
                "Orders of magnitude that the strongest evidence is away from its alarm level; 0 and above is an alarm.",
                "deployment:alignwatch_evidence_margin_log10:max",
            ),
            f"max(deployment:alignwatch_evidence_margin_log10:max{{{BY}}})",
            [(None, GREEN), (-2, YELLOW), (0, RED)],
            decimals=1,
            empty="No baseline",
        ),
        number(
            "Open incidents",
            described("Incidents that have not recovered.", "alignwatch_incidents_open"),
            f"max(alignwatch_incidents_open{{{BY}}})",
            [(None, GREEN), (1, RED)],
        ),
        number(
            "Harmless refused",
            described(
                "Refusal of harmless requests: the control, which should stand still.", "alignwatch_observed_ratio"
            ),
            f'max(alignwatch_observed_ratio{{{BY},stream="control"}})',
            [(None, BLUE)],
            unit="percentunit",
        ),
        number(
            "Sensitive an hour",
            described(
                "Answers to sensitive requests that were read in the last hour.", "alignwatch_exchanges_labelled_total"
            ),
            COUNT,
            [(None, YELLOW), (10, BLUE)],
            decimals=0,
        ),
        number(
            "Newest label",
            described("How long ago the newest label's event was.", "alignwatch_last_event_timestamp_seconds"),
            f"min(time() - alignwatch_last_event_timestamp_seconds{{{BY}}})",
            [(None, GREEN), (600, YELLOW), (3600, RED)],
            unit="s",
        ),
    ]


def _behaviour() -> list:
    answered = lines(
        "Sensitive requests answered, against the band of the baseline",
        described(
            "Share over the recent panes, and where 95 of 100 hours would lie had nothing changed since approval.",
            "alignwatch_observed_ratio",
            "alignwatch_baseline_ratio",
            "alignwatch_exchanges_labelled_total",
        ),
        {
            "answered": f'max by (deployment) (alignwatch_observed_ratio{{{BY},stream="compliance"}})',
            "baseline": f"max by (deployment) ({COMPLIANCE})",
            "low": f"clamp_min(max by (deployment) ({COMPLIANCE}) - {SPREAD}, 0)",
            "high": f"clamp_max(max by (deployment) ({COMPLIANCE}) + {SPREAD}, 1)",
        },
        unit="percentunit",
        top=1,
    )
    return [
        banded(dashed(answered, "baseline"), "low", "high"),
        lines(
            "Evidence of each statistic, against its alarm level",
            described(
                "Evidence minus alarm level in orders of magnitude, of the statistics that are nearest to an alarm.",
                "alignwatch_evidence_log10",
                "alignwatch_evidence_threshold_log10",
            ),
            {
                "{{stream}} {{direction}}": (
                    "topk(6, max by (stream, direction) "
                    f"(alignwatch_evidence_log10{{{BY}}} - alignwatch_evidence_threshold_log10{{{BY}}}))"
                )
            },
            bottom=None,
            thresholds=[(None, GREEN), (0, RED)],
        ),
        lines(
            "What became of sensitive requests",
            described(
                "Answers by outcome, a second, weighted to all traffic.",
                "deployment_outcome:alignwatch_sensitive_answers:rate1h",
            ),
            {"{{outcome}}": f"sum by (outcome) (deployment_outcome:alignwatch_sensitive_answers:rate1h{{{BY}}})"},
            unit="reqps",
            stacked=True,
        ),
        dashed(
            lines(
                "Other signals",
                described(
                    "Refusal of harmless requests, harmful and broken answers, blocks by a provider, unreadable traffic;"
                    " the baselines are dashed.",
                    "alignwatch_observed_ratio",
                    "alignwatch_baseline_ratio",
                ),
                {
                    "{{stream}}": f'max by (stream) (alignwatch_observed_ratio{{{BY},stream!~"compliance.*"}})',
                    "{{stream}} baseline": f'max by (stream) (alignwatch_baseline_ratio{{{BY},stream!~"compliance.*"}})',
                },
                unit="percentunit",
            ),
            ".* baseline",
        ),
    ]


def _categories() -> list:
    return [
        heat(
            "Sensitive requests answered, by category",
            described(
                "Share over six hours. An un-aligned model darkens many rows at once; an attack darkens one.",
                "deployment_category:alignwatch_sensitive_compliance:ratio_rate6h",
            ),
            f"max by (category) (deployment_category:alignwatch_sensitive_compliance:ratio_rate6h{{{BY}}})",
            "{{category}}",
        ),
        lines(
            "Evidence by category",
            described(
                "Evidence minus alarm level in orders of magnitude, of the categories nearest to an alarm of their own.",
                "alignwatch_evidence_log10",
                "alignwatch_evidence_threshold_log10",
            ),
            {
                "{{stream}}": (
                    f'topk(6, max by (stream) (alignwatch_evidence_log10{{{BY},stream=~"compliance/.*",direction="up"}}'
                    f' - alignwatch_evidence_threshold_log10{{{BY},stream=~"compliance/.*",direction="up"}}))'
                )
            },
            bottom=None,
            thresholds=[(None, GREEN), (0, RED)],
        ),
        lines(
            "Requests by category",
            described("Sensitive requests an hour whose answer was read.", "alignwatch_exchanges_labelled_total"),
            {
                "{{category}}": (
                    f'sum by (category) (increase(alignwatch_exchanges_labelled_total{{{BY},category!="none"}}[1h]))'
                )
            },
            stacked=True,
        ),
    ]


def _counts() -> list:
    return [
        lines(
            "Outcomes in each detector",
            described(
                "What the detectors have taken since they were armed; only grows until an alarm or a new baseline.",
                "alignwatch_stream_effective_labels",
            ),
            {
                "{{stream}}": (
                    f'max by (stream) (alignwatch_stream_effective_labels{{{BY},stream=~"compliance|control|harmful-answers"}})'
                )
            },
        ),
        lines(
            "Labels kept out of the detectors",
            described(
                "An hour, by reason: the same conversation or user, late, another classifier. They count in the rates.",
                "alignwatch_labels_capped_total",
                quiet=True,
            ),
            {"{{reason}}": f"sum by (reason) (increase(alignwatch_labels_capped_total{{{BY}}}[1h]))"},
        ),
    ]
