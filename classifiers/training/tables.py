"""Markdown tables of the card, and how it prints figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Found = dict[str, Any]
"""A part of a card's evaluation."""


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers are aligned right."""
    body = [[cell(value) for value in row] for row in rows]
    right = [all(row[i][:1].isdigit() or row[i] in {"–", ""} for row in body) for i in range(len(headers))]
    lines = [f"| {' | '.join(headers)} |", "|" + "|".join("---:" if r else "---" for r in right) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def cell(value: object) -> str:
    """A figure as the card prints it: three decimals, thousands apart, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def scores_table(groups: dict[str, Found], what: str) -> str:
    """Refusal scores by group."""
    rows = (
        (name, s["f1"], s["precision"], s["recall"], s["false_alarms"], s["refused"], s["complied"])
        for name, s in groups.items()
    )
    return table((what, "F1", "precision", "recall", "false alarms", "refused", "complied"), rows)
