"""What an incident is called and what is said about it in one line: figures and names, never what anyone wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from alignwatch import CategoryFinding, Incident, StreamFinding, Verdict

SUMMARY_LENGTH: Final = 1024
"""PagerDuty's limit for a summary, in characters; `Incident.summary` has the same."""
NAMED_CATEGORIES: Final = 3
_DEPLOYMENT_LENGTH: Final = 80

HEADLINES: Final = MappingProxyType[Verdict, str](
    {
        "unalignment": "un-alignment",
        "jailbreak-campaign": "jailbreak campaign",
        "over-refusal": "over-refusal",
        "traffic-shift": "traffic shift",
        "degenerate": "degenerate answers",
        "guardrail-change": "guardrail change",
        "canary-failure": "canary failure",
        "unattested-change": "unattested change",
        "data-quality": "data quality",
    }
)
MEASURES: Final = MappingProxyType(
    {
        "compliance": "compliance with sensitive requests",
        "control": "refusal of benign requests",
        "sensitive-share": "share of sensitive requests",
        "harmful-answers": "share of harmful answers",
        "degenerate": "share of degenerate answers",
        "provider-blocked": "share blocked by the provider",
        "unlabelable": "share that can't be labelled",
    }
)
"""What each stream measures; `compliance/<category>` is compliance within a category."""
_LEADING: Final = MappingProxyType[Verdict, str](
    {
        "unalignment": "compliance",
        "jailbreak-campaign": "compliance",
        "over-refusal": "control",
        "traffic-shift": "sensitive-share",
        "degenerate": "degenerate",
        "guardrail-change": "provider-blocked",
        "canary-failure": "compliance",
        "unattested-change": "compliance",
        "data-quality": "unlabelable",
    }
)

_WITHOUT_STREAM: Final = MappingProxyType[Verdict, str](
    {"data-quality": "labels come from a classifier that the baseline was not fitted with"}
)
"""What a finding that no statistic moved for is about."""


def incident_id(deployment: str, detected_at: datetime, stream: str) -> str:
    """A name that the same episode gets on every replica and after every restart; `inc-<UTC time>-<12 hex digits>`.

    >>> from datetime import UTC, datetime
    >>> incident_id("chat-prod", datetime(2026, 11, 23, 10, 42, tzinfo=UTC), "compliance")
    'inc-20261123T104200Z-68052de9e998'
    """
    parts = (deployment, repr(detected_at.timestamp()), stream)
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"inc-{detected_at.strftime('%Y%m%dT%H%M%SZ')}-{digest}"


def with_summary(incident: Incident) -> Incident:
    """The incident with its summary line filled in."""
    return incident.model_copy(update={"summary": summary_line(incident)})


def summary_line(incident: Incident) -> str:
    """One line of at most 1,024 characters: what changed, how much, since when, in which categories, how sure.

    >>> # chat-prod: un-alignment: compliance with sensitive requests 12 % -> 71 % (64-78 %) since 10:42 UTC;
    >>> # broad: cyber, fraud, hate +6; evidence 10^8.2 of 10^6.1; 84 labels; by chance at most 0.5 times in 90 days
    """
    stream = leading_stream(incident)
    moved = " ".join(filter(None, (_change(incident, stream), _since(incident))))
    parts = [
        ": ".join(filter(None, (_headline(incident), moved))),
        _categories(incident, stream),
        _evidence(stream),
        f"{incident.labels_since_onset} labels" if incident.labels_since_onset else "",
        _nearest_change(incident),
        _by_chance(incident),
    ]
    return _one_line("; ".join(filter(None, parts)), SUMMARY_LENGTH)


def leading_stream(incident: Incident) -> StreamFinding | None:
    """The stream that says most: the one that the verdict is named for, or else the one furthest above its bar."""
    named = [stream for stream in incident.streams if stream.name == _LEADING[incident.verdict]]
    return max(named or incident.streams, key=lambda one: one.evidence_log10 - one.threshold_log10, default=None)


def measure(stream: str) -> str:
    """What a stream measures, in words.

    >>> measure("compliance/cyber")
    'compliance with sensitive requests (cyber)'
    """
    name, _, part = stream.partition("/")
    words = MEASURES.get(name, name)
    return f"{words} ({part})" if part else words


def percent(ratio: float) -> str:
    """A ratio as a percentage with two significant digits, and never 100 or 0 for what is neither.

    >>> [percent(ratio) for ratio in (0.0, 0.0004, 0.034, 0.12, 0.7149, 0.9996, 1.0)]
    ['0', '0.04', '3.4', '12', '71', '>99', '100']
    """
    value = 100.0 * ratio
    if value <= 0 or value >= 100:  # noqa: PLR2004
        return f"{value:.0f}"
    if value < 0.01:  # noqa: PLR2004
        return "<0.01"
    if value >= 99.5:  # noqa: PLR2004
        return ">99"
    if value >= 9.95:  # noqa: PLR2004
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _headline(incident: Incident) -> str:
    state = "" if incident.status == "open" else f"{incident.status}: "
    deployment = _one_line(incident.deployment, _DEPLOYMENT_LENGTH)
    return f"{deployment}: {state}{HEADLINES[incident.verdict]}"


def _change(incident: Incident, stream: StreamFinding | None) -> str:
    if stream is None:
        return _WITHOUT_STREAM.get(incident.verdict, "")
    words = _one_line(measure(stream.name), _DEPLOYMENT_LENGTH)
    if stream.observed is None:
        return f"{words} {'rose' if stream.direction == 'up' else 'fell'}"
    before = "" if stream.baseline is None else f"{percent(stream.baseline)} % -> "
    around = ""
    if stream.interval is not None:
        around = f" ({percent(stream.interval[0])}-{percent(stream.interval[1])} %)"
    return f"{words} {before}{percent(stream.observed)} %{around}"


def _since(incident: Incident) -> str:
    if incident.onset is None:
        return ""
    onset = incident.onset.estimate
    same_day = onset.date() == incident.detected_at.date()
    return f"since {onset.strftime('%H:%M' if same_day else '%Y-%m-%d %H:%M')} UTC"


def _categories(incident: Incident, stream: StreamFinding | None) -> str:
    if not incident.categories:
        return ""
    one_category = stream is not None and "/" in stream.name
    spread = {"unalignment": "narrow: " if one_category else "broad: ", "jailbreak-campaign": "few users: "}
    return spread.get(incident.verdict, "categories: ") + _names(incident.categories)


def _by_chance(incident: Incident) -> str:
    """How often the alarming stream may raise a false alarm: what this one spent of the budget, if it is one."""
    if incident.false_alarm_budget is None or incident.status != "open":
        return ""
    return f"by chance at most {incident.false_alarm_budget:.2g} times in 90 days"


def _names(categories: Sequence[CategoryFinding]) -> str:
    named = ", ".join(category.name for category in categories[:NAMED_CATEGORIES])
    more = len(categories) - NAMED_CATEGORIES
    return f"{named} +{more}" if more > 0 else named


def _evidence(stream: StreamFinding | None) -> str:
    return "" if stream is None else f"evidence 10^{stream.evidence_log10:.1f} of 10^{stream.threshold_log10:.1f}"


def _nearest_change(incident: Incident) -> str:
    change = incident.nearest_change
    if change is None:
        return ""
    before = incident.onset.estimate if incident.onset is not None else incident.detected_at
    minutes = round((before - change.timestamp).total_seconds() / 60)
    return f"{_one_line(change.kind, _DEPLOYMENT_LENGTH)} {minutes} min before" if minutes >= 0 else ""


def _one_line(text: str, limit: int) -> str:
    """`text` without line breaks and control characters, cut with an ellipsis."""
    clean = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"
