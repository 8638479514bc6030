"""Times and numbers as a reader of the report wants them; all times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_SOME_DAYS: Final = 2 * _DAY


def moment(at: datetime | float) -> str:
    """`2026-11-23 10:42`, in UTC.

    >>> moment(1_800_000_000.0)
    '2027-01-15 08:00'
    """
    when = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


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


def plural(n: int, noun: str) -> str:
    """`1 incident`, `2 incidents`.

    >>> plural(1, "label"), plural(1200, "label")
    ('1 label', '1,200 labels')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def category(name: str) -> str:
    """A category's name for people.

    >>> category("self_harm")
    'Self harm'
    """
    return name.replace("_", " ").capitalize()
