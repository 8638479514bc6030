"""Short ways to decode in tests."""

from __future__ import annotations

from typing import Any

import pytest
from exchanges import record

from alignwatch import Exchange
from monitor.envelopes import DecodeLimits, Half, Skipped, decode_record
from monitor.errors import DecodeError


def found(value: Any, *, default: str | None = None, limits: DecodeLimits | None = None, **fields: Any) -> list[Any]:
    """Everything in one record."""
    return list(decode_record(record(value, **fields), limits=limits or DecodeLimits(), default_deployment=default))


def exchanges(value: Any, **fields: Any) -> list[Exchange]:
    """The exchanges in one record that holds nothing else."""
    items = found(value, **fields)
    assert all(isinstance(one, Exchange) for one in items), items
    return items


def only(value: Any, **fields: Any) -> Exchange:
    """The one exchange in a record."""
    (one,) = exchanges(value, **fields)
    return one


def skipped(items: list[Any]) -> dict[str, int]:
    """What was skipped, by reason."""
    return {one.reason: one.count for one in items if isinstance(one, Skipped)}


def half(value: Any, **fields: Any) -> Half:
    """The one half in a record."""
    (one,) = found(value, **fields)
    assert isinstance(one, Half)
    return one


def fault(value: Any, **fields: Any) -> DecodeError:
    """Why a record can't be read."""
    with pytest.raises(DecodeError) as caught:
        found(value, **fields)
    return caught.value


def turns(one: Exchange) -> list[tuple[str, str]]:
    """Role and text of each turn."""
    return [(turn.role, turn.content) for turn in one.messages or ()]
