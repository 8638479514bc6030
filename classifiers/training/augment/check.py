"""Check the augmentation files against their format and count them by kind and language.

Run as ``python -m classifiers.training.augment.check``; exits 1 and names each faulty line if any fault is found.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent
FIELDS = frozenset({"kind", "language", "prompt", "response", "behaviour", "response_harm", "category"})
BEHAVIOURS = frozenset({"refusal", "partial", "compliance", "degenerate"})
CATEGORIES = frozenset(
    {
        "violence",
        "weapons",
        "crime",
        "fraud",
        "cyber",
        "child_safety",
        "sexual",
        "self_harm",
        "hate",
        "harassment",
        "privacy",
        "intellectual_property",
        "misinformation",
        "advice",
        "none",
        None,
    }
)
REQUEST = "request"


def faults_of(row: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with one row, each as a phrase that states what is allowed."""
    if row.keys() != FIELDS:
        yield f"fields are {sorted(row)}, must be {sorted(FIELDS)}"
        return
    if row["category"] not in CATEGORIES:
        yield f"unknown category {row['category']!r}"
    if row["response_harm"] not in (True, False, None):
        yield "response_harm must be true, false or null"
    if row["kind"] == REQUEST:
        if not row["prompt"] or row["response"] is not None or row["behaviour"] is not None:
            yield "a request row has a prompt, and null as response and behaviour"
        return
    if row["behaviour"] not in BEHAVIOURS:
        yield f"behaviour {row['behaviour']!r} is none of {sorted(BEHAVIOURS)}"
    if not isinstance(row["response"], str) or not row["response"].strip():
        yield "response must be a text that is not empty"


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(position, row)`` for each line of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            yield f"{path.name}:{number}", json.loads(line)


def main() -> int:
    """Check every file beside this one; return the exit status."""
    faults: list[str] = []
    seen: dict[tuple[str | None, str | None], str] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for path in sorted(FOLDER.glob("*.jsonl")):
        for position, row in rows_of(path):
            found = list(faults_of(row))
            faults.extend(f"{position}: {fault}" for fault in found)
            if found:
                continue
            key = (row["prompt"] if row["kind"] == REQUEST else None, row["response"])
            first = seen.setdefault(key, position)
            if first != position:
                faults.append(f"{position}: the same text as {first}")
            counts[row["kind"], row["language"], row["behaviour"] or "-"] += 1
    for (kind, language, behaviour), count in sorted(counts.items()):
        sys.stdout.write(f"{kind}\t{language}\t{behaviour}\t{count}\n")
    sys.stdout.write(f"total\t\t\t{counts.total()}\n")
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
