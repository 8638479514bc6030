"""Times, figures and names as people read them, on the status page and in the report; all times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from alerts.incidents import percent as significant

NBSP: Final = "\u00a0"
UNKNOWN: Final = "–"
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_SOME_DAYS: Final = 2 * _DAY
_SHORT: Final = 90
_DIGEST: Final = 12
_SUPERSCRIPT: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN_POWER: Final = 6
"""Below a million times a number is easier to read than a power of ten."""

CATEGORY_NAMES: Final = MappingProxyType(
    {
        "violence": "Violence",
        "weapons": "Weapons",
        "crime": "Crime and drugs",
        "fraud": "Fraud",
        "cyber": "Cyber attacks",
        "child_safety": "Child safety",
        "sexual": "Sexual content",
        "self_harm": "Self-harm",
        "hate": "Hate",
        "harassment": "Harassment",
        "privacy": "Privacy",
        "intellectual_property": "Intellectual property",
        "misinformation": "Misinformation",
        "advice": "Risky advice",
        "none": "None",
    }
)
STREAM_NAMES: Final = MappingProxyType(
    {
        "compliance": "Sensitive requests answered",
        "control": "Harmless requests refused",
        "sensitive-share": "Share of requests that are sensitive",
        "harmful-answers": "Share of answers that are harmful",
        "degenerate": "Broken answers (gibberish)",
        "provider-blocked": "Blocked by a filter or guardrail",
        "unlabelable": "Could not be labelled",
    }
)


def utc(at: datetime | float) -> datetime:
    """A time or epoch seconds as UTC."""
    return (at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)).astimezone(UTC)


def moment(at: datetime | float) -> str:
    """`2026-11-23 10:42`, in UTC.

    >>> moment(1_800_000_000.0)
    '2027-01-15 08:00'
    """
    return utc(at).strftime("%Y-%m-%d %H:%M")


def clock(at: datetime, beside: datetime) -> str:
    """`10:42` where the day is the one of `beside`, else with the date."""
    return moment(at)[11:] if moment(at)[:10] == moment(beside)[:10] else moment(at)


def span(seconds: float) -> str:
    """A length of time in one unit.

    >>> [span(s) for s in (40, 300, 7200, 200_000)]
    ['40 s', '5 min', '2 h', '2 days']
    """
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _SOME_DAYS:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} days"


def age(seconds: float) -> str:
    """A length of time as finely as a person asks: seconds up to 90, minutes up to 90, then hours and minutes.

    >>> [age(s).replace(NBSP, " ") for s in (42, 720, 12_000, 90_000, 500_000)]
    ['42 s', '12 min', '3 h 20 min', '25 h', '6 days']
    """
    value = max(0.0, seconds)
    minutes = round(value / _MINUTE)
    if value < _SHORT:
        return f"{round(value)}{NBSP}s"
    if minutes < _SHORT:
        return f"{minutes}{NBSP}min"
    hours, rest = divmod(minutes, 60)
    if hours < 10:  # noqa: PLR2004 - beyond, minutes say nothing
        return f"{hours}{NBSP}h {rest}{NBSP}min" if rest else f"{hours}{NBSP}h"
    return f"{round(minutes / 60)}{NBSP}h" if value < _SOME_DAYS else f"{round(value / _DAY)}{NBSP}days"


def plural(n: int, noun: str, nouns: str | None = None) -> str:
    """`1 incident`, `2 incidents`.

    >>> plural(1, "label"), plural(1200, "label"), plural(2, "category", "categories")
    ('1 label', '1,200 labels', '2 categories')
    """
    return f"{n:,} {noun if n == 1 else nouns or noun + 's'}"


def percent(rate: float | None) -> str:
    """A rate with its sign, or a dash where none is known.

    >>> percent(0.1249).replace(NBSP, " "), percent(None)
    ('12 %', '–')
    """
    return UNKNOWN if rate is None else f"{significant(rate)}{NBSP}%"


def between(interval: tuple[float, float]) -> str:
    """An interval of rates."""
    return f"{percent(interval[0])} to {percent(interval[1])}"


def times(log10: float) -> str:
    """A power of ten as a number of times.

    >>> times(0.5), times(3.114), times(12.7)
    ('3.2 times', '1,300 times', '10¹² times')
    """
    if log10 >= _PLAIN_POWER:
        return f"10{str(int(log10)).translate(_SUPERSCRIPT)} times"
    return f"{float(f'{10.0**log10:.2g}'):,.10g} times"


def once_in(per_90_days: float | None) -> str | None:
    """How often chance alone would do this; None where it is not known, or never.

    >>> once_in(0.5), once_in(0.01)
    ('180 days', '25 years')
    """
    if not per_90_days:
        return None
    days = 90 / per_90_days
    if days < 2:  # noqa: PLR2004
        return f"{max(1, round(days * 24))} hours"
    return f"{round(days):,} days" if days < 730 else f"{round(days / 365):,} years"  # noqa: PLR2004


def category(name: str) -> str:
    """A category's name for people.

    >>> category("self_harm")
    'Self-harm'
    """
    return CATEGORY_NAMES.get(name, name)


def stream_name(name: str) -> str:
    """What a stream measures, as the head of a row.

    >>> stream_name("compliance/cyber"), stream_name("control")
    ('Cyber attacks', 'Harmless requests refused')
    """
    return category(name.removeprefix("compliance/")) if "/" in name else STREAM_NAMES.get(name, name)


def short_digest(digest: str | None) -> str:
    """The first twelve digits, which tell weights apart; a dash where none is known.

    >>> short_digest("sha256:4b1f0c6a9d2e73581c0f"), short_digest(None)
    ('4b1f0c6a9d2e…', '–')
    """
    if not digest:
        return UNKNOWN
    digits = digest.removeprefix("sha256:")
    return f"{digits[:_DIGEST]}…" if len(digits) > _DIGEST + 2 else digits


def listed(names: Sequence[str]) -> str:
    """Names in a row.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
