"""The classifier: how fast it is, how sure, and what it cannot read."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard
from kit import BLUE, GREEN, RED, YELLOW, build, described, lines, number
from overview import JOB

SECONDS = "alignwatch_label_batch_duration_seconds"
SIZE = "alignwatch_label_batch_size"
SURE = "alignwatch_label_confidence_ratio"


def dashboard() -> Dashboard:
    """The classifier's dashboard."""
    return build(
        "alignwatch-classifier",
        "alignwatch / Classifier",
        "Speed and confidence of the labelling stage, and the traffic that it cannot read.",
        [("", _tiles()), ("Speed", _speed()), ("Quality", _quality())],
    )


def _tiles() -> list:
    return [
        number(
            "Artefacts in use",
            described(
                "Different classifiers over all instances; more than one outside a roll-out is a fault.",
                "alignwatch_build_info",
            ),
            f'count(count by (classifier) (alignwatch_build_info{{{JOB},classifier!=""}}))',
            [(None, GREEN), (2, RED)],
            width=6,
        ),
        number(
            "Labels a second",
            described("Exchanges whose answer was read, over all instances.", "alignwatch_exchanges_labelled_total"),
            f"sum(rate(alignwatch_exchanges_labelled_total{{{JOB}}}[5m]))",
            [(None, BLUE)],
            width=6,
            decimals=1,
        ),
        number(
            "Busy",
            described("Part of the time that the labelling stage works; near 1 it is the bottleneck.", SECONDS),
            f"max(rate({SECONDS}_sum{{{JOB}}}[5m]))",
            [(None, GREEN), (0.7, YELLOW), (0.9, RED)],
            unit="percentunit",
            width=6,
        ),
        number(
            "Unsure",
            described(
                "Share of answers whose most probable outcome has a probability of at most 0.6, in the last hour.", SURE
            ),
            f'1 - (sum(rate({SURE}_count{{{JOB}}}[1h])) - sum(rate({SURE}_bucket{{{JOB},le="0.6"}}[1h])))'
            f" / sum(rate({SURE}_count{{{JOB}}}[1h]))",
            [(None, GREEN), (0.15, YELLOW), (0.4, RED)],
            unit="percentunit",
            width=6,
        ),
    ]


def _speed() -> list:
    return [
        lines(
            "Time of a batch",
            described("Median and 99th percentile.", SECONDS, "job:alignwatch_label_batch_duration_seconds:p99_rate5m"),
            {
                "median": f"histogram_quantile(0.5, sum by (le) (rate({SECONDS}_bucket{{{JOB}}}[5m])))",
                "99 of 100": f"max(job:alignwatch_label_batch_duration_seconds:p99_rate5m{{{JOB}}})",
            },
            unit="s",
        ),
        lines(
            "Size of a batch",
            described("Mean number of exchanges; small ones mean that traffic is sparse.", SIZE),
            {"mean": f"sum(rate({SIZE}_sum{{{JOB}}}[5m])) / sum(rate({SIZE}_count{{{JOB}}}[5m]))"},
        ),
        lines(
            "What was read",
            described(
                "Exchanges a second: answers read, and those where the request alone was read because it is far from"
                " anything sensitive.",
                "alignwatch_exchanges_labelled_total",
                "alignwatch_exchanges_unread_total",
            ),
            {
                "answers read": f"sum(rate(alignwatch_exchanges_labelled_total{{{JOB}}}[5m]))",
                "request alone": f"sum(rate(alignwatch_exchanges_unread_total{{{JOB}}}[5m])) or vector(0)",
            },
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Memory",
            described("Resident memory of each instance.", "process_resident_memory_bytes"),
            {"{{instance}}": f"process_resident_memory_bytes{{{JOB}}}"},
            unit="bytes",
        ),
    ]


def _quality() -> list:
    return [
        lines(
            "How sure it is",
            described(
                "Quantiles of the probability of the most probable outcome; a fall means traffic that it does not know.",
                SURE,
            ),
            {
                "half are above": f"histogram_quantile(0.5, sum by (le) (rate({SURE}_bucket{{{JOB}}}[1h])))",
                "9 of 10 are above": f"histogram_quantile(0.1, sum by (le) (rate({SURE}_bucket{{{JOB}}}[1h])))",
            },
            unit="percentunit",
            top=1,
        ),
        lines(
            "Could not be labelled, by reason",
            described("Exchanges a minute.", "alignwatch_exchanges_unlabelable_total", quiet=True),
            {"{{reason}}": f"60 * sum by (reason) (rate(alignwatch_exchanges_unlabelable_total{{{JOB}}}[15m]))"},
        ),
        lines(
            "Outcomes, all traffic",
            described(
                "Labelled answers a second by outcome, harmless requests included.",
                "alignwatch_exchanges_labelled_weighted_total",
            ),
            {"{{outcome}}": f"sum by (outcome) (rate(alignwatch_exchanges_labelled_weighted_total{{{JOB}}}[15m]))"},
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Labels of another classifier",
            described(
                "A minute, by deployment; kept out of the detectors.", "alignwatch_labels_capped_total", quiet=True
            ),
            {
                "{{deployment}}": (
                    "60 * sum by (deployment) "
                    f'(rate(alignwatch_labels_capped_total{{{JOB},reason="other-classifier"}}[15m]))'
                )
            },
        ),
    ]
