"""Whether measured figures are the card's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SHARE = 0.005
"""Tolerated difference of a share or F1: another CPU rounds some logits differently."""
COUNT = 0.01
"""Tolerated relative difference of a count, beside an absolute one of three."""
PER_BIN = frozenset({"bins", "beaten_by"})
"""Keys whose values hang on single answers; the sums that they belong to are compared."""
FEW = 50
"""Groups of fewer rows than this may differ by two rows."""


def differences(stated: Any, measured: Any, path: str = "", rows: int | None = None) -> Iterator[str]:
    """Every figure of `stated` that is not `measured` within the tolerances, with its place.

    Args:
        stated: what the card says; keys that were not measured are not compared.
        measured: what was found now.
        path: place so far.
        rows: how many rows the group at hand has, if it says.
    """
    if isinstance(stated, dict) and isinstance(measured, dict):
        size = _size(stated)
        for key in stated:
            if key in PER_BIN:
                continue
            where = f"{path}.{key}" if path else str(key)
            if key in measured:
                yield from differences(stated[key], measured[key], where, size if size is not None else rows)
            elif path:
                yield f"{where}: not measured"
    elif isinstance(stated, list) and isinstance(measured, list) and len(stated) == len(measured):
        for index, (one, other) in enumerate(zip(stated, measured, strict=True)):
            yield from differences(one, other, f"{path}[{index}]", rows)
    elif not _alike(stated, measured, rows):
        yield f"{path}: the card says {stated!r}, measured {measured!r}"


def _size(group: dict[str, Any]) -> int | None:
    sizes = [group[key] for key in ("refused", "complied", "n") if isinstance(group.get(key), int)]
    return min((size for size in sizes if size), default=None) if sizes else None


def _alike(stated: Any, measured: Any, rows: int | None) -> bool:
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not isinstance(measured, int | float):
        return bool(stated == measured)
    if isinstance(stated, int) and isinstance(measured, int):
        return abs(stated - measured) <= max(3.0, COUNT * abs(stated))
    tolerance = SHARE if rows is None or rows >= FEW * 8 else max(SHARE, 2.0 / rows)
    return abs(stated - measured) <= tolerance
