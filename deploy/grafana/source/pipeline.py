"""The pipeline: from the source to the receivers of alerts, and where records get lost."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard
from kit import GREEN, RED, YELLOW, build, described, lines, number, words
from overview import JOB


def dashboard() -> Dashboard:
    """The pipeline's dashboard."""
    return build(
        "alignwatch-pipeline",
        "alignwatch / Pipeline",
        "Records in, labels out, state committed, alerts delivered; and everything that was lost on the way, by reason.",
        [("", _tiles()), ("Records", _records()), ("State and alerts", _delivery())],
    )


def _tiles() -> list:
    return [
        number(
            "Source",
            described("Whether every instance can poll its source.", "alignwatch_source_ready"),
            f"min(alignwatch_source_ready{{{JOB}}})",
            [(None, RED), (1, GREEN)],
            empty="No target",
            mapping=words({"0": "Not ready", "1": "Ready"}),
            width=4,
        ),
        number(
            "Held back",
            described("Instances that take nothing in because they cannot commit.", "alignwatch_source_paused"),
            f"sum(alignwatch_source_paused{{{JOB}}})",
            [(None, GREEN), (1, RED)],
            empty="No target",
            width=4,
        ),
        number(
            "Last commit",
            described(
                "Longest time since a commit, over all instances.", "alignwatch_state_last_commit_timestamp_seconds"
            ),
            f"max(time() - alignwatch_state_last_commit_timestamp_seconds{{{JOB}}})",
            [(None, GREEN), (60, YELLOW), (300, RED)],
            unit="s",
            empty="None yet",
            width=4,
        ),
        number(
            "Dead letters",
            described(
                "Share of records that could not be decoded, in 15 minutes.",
                "job:alignwatch_dead_letters:ratio_rate15m",
            ),
            f"max(job:alignwatch_dead_letters:ratio_rate15m{{{JOB}}}) or vector(0)",
            [(None, GREEN), (0.001, YELLOW), (0.01, RED)],
            unit="percentunit",
            width=4,
        ),
        number(
            "Alerts to deliver",
            described("Events in the outbox.", "alignwatch_outbox_depth"),
            f"sum(alignwatch_outbox_depth{{{JOB}}})",
            [(None, GREEN), (1, YELLOW), (20, RED)],
            width=4,
        ),
        number(
            "Health alerts",
            described("Alerts about the monitor itself that are firing now.", "ALERTS"),
            'count(ALERTS{alertname=~"Alignwatch.*",alertstate="firing"}) or vector(0)',
            [(None, GREEN), (1, RED)],
            width=4,
        ),
    ]


def _records() -> list:
    return [
        lines(
            "From record to label",
            described(
                "A second: records read, exchanges found in them, not sampled, duplicates.",
                "alignwatch_exchanges_received_total",
                "alignwatch_exchanges_decoded_total",
                "alignwatch_exchanges_unsampled_total",
                "alignwatch_exchanges_duplicate_total",
            ),
            {
                name: f"sum(rate(alignwatch_exchanges_{name}_total{{{JOB}}}[5m]))"
                for name in ("received", "decoded", "unsampled", "duplicate")
            },
            unit="reqps",
        ),
        lines(
            "Waiting to be read",
            described(
                "Records of all partitions, by instance; sources that cannot tell show none.",
                "alignwatch_source_lag_records",
            ),
            {"{{instance}}": f"alignwatch_source_lag_records{{{JOB}}}"},
        ),
        lines(
            "Dead letters, by reason",
            described("A minute.", "alignwatch_dead_letters_total", quiet=True),
            {"{{reason}}": f"60 * sum by (reason) (rate(alignwatch_dead_letters_total{{{JOB}}}[15m]))"},
        ),
        lines(
            "Out of time",
            described(
                "Exchanges a minute that came after the watermark, or with a time too far off.",
                "alignwatch_exchanges_late_total",
                "alignwatch_exchanges_quarantined_total",
            ),
            {
                name: f"60 * sum(rate(alignwatch_exchanges_{name}_total{{{JOB}}}[15m]))"
                for name in ("late", "quarantined")
            },
        ),
    ]


def _delivery() -> list:
    return [
        lines(
            "Since the last commit",
            described("Time since each instance last committed.", "alignwatch_state_last_commit_timestamp_seconds"),
            {"{{instance}}": f"time() - alignwatch_state_last_commit_timestamp_seconds{{{JOB}}}"},
            unit="s",
            bottom=None,
        ),
        lines(
            "Alerts waiting",
            described("Age of the oldest undelivered event, by instance.", "alignwatch_outbox_oldest_seconds"),
            {"{{instance}}": f"alignwatch_outbox_oldest_seconds{{{JOB}}}"},
            unit="s",
        ),
        lines(
            "Alerts delivered and refused",
            described(
                "In an hour, by sink: taken, tried again, refused for good.",
                "alignwatch_alerts_sent_total",
                "alignwatch_alerts_failed_total",
                quiet=True,
            ),
            {
                "{{sink}} sent": f"sum by (sink) (increase(alignwatch_alerts_sent_total{{{JOB}}}[1h]))",
                "{{sink}} {{kind}}": f"sum by (sink, kind) (increase(alignwatch_alerts_failed_total{{{JOB}}}[1h]))",
            },
        ),
        lines(
            "CPU",
            described("Cores that each instance uses.", "process_cpu_seconds_total"),
            {"{{instance}}": f"rate(process_cpu_seconds_total{{{JOB}}}[5m])"},
        ),
    ]
