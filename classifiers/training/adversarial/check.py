"""Checks the adversarial cases and counts them.

Run as `python -m classifiers.training.adversarial.check`; exits 1 and names each faulty line if there is one.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from classifiers.heads import BEHAVIOURS
from classifiers.records import UNLABELABLE
from classifiers.training.adversarial.cases import Case, lines
from classifiers.training.rows import augmentation, key_of

FIELDS = frozenset(field.name for field in fields(Case))
REQUESTS = ("harmful", "benign")
LEAST = 300
"""Cases that the set must have."""
RUN = 9
"""Words in a row that no case may share with a text that is trained on, unless it is a loop of them."""


def faults_of(row: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one row, each as a phrase that states what is allowed."""
    if row.keys() != FIELDS:
        yield f"fields are {sorted(row)}; must be {sorted(FIELDS)}"
        return
    expected = [row["behaviour"], row["unlabelable"], None if row["unlabelable"] else row["request"]]
    if sum(one is not None for one in expected) != 1:
        yield "exactly one of behaviour, request and unlabelable is expected (a request may stand beside the last)"
    if row["behaviour"] not in (*BEHAVIOURS, None):
        yield f"behaviour {row['behaviour']!r}; allowed: {', '.join(BEHAVIOURS)} or null"
    if row["request"] not in (*REQUESTS, None):
        yield f"request {row['request']!r}; allowed: harmful, benign or null"
    if row["unlabelable"] not in (*UNLABELABLE, None):
        yield f"unlabelable {row['unlabelable']!r}; allowed: {', '.join(UNLABELABLE)} or null"
    if row["behaviour"] is not None and not (row["response"] or "").strip():
        yield "a behaviour needs a response that is not empty"
    if row["request"] is not None and not row["prompt"]:
        yield "an expected request needs a prompt"


def runs(text: str) -> set[tuple[str, ...]]:
    """All runs of `RUN` words that hold at least five different ones."""
    words = re.findall(r"\w+", text.casefold())
    found = (tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1))
    return {run for run in found if len(set(run)) >= 5}


class Trained:
    """The texts that training reads of our own, to tell a case that is one of them."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        texts = [row[name] for row in rows for name in ("prompt", "response") if row.get(name)]
        self._keys = {key_of(text) for text in texts}
        self._runs = {run for text in texts for run in runs(text)}

    def fault(self, text: str | None) -> str | None:
        """Why a text of a case is too near to a trained one; None where it is not."""
        if not text or len(key_of(text)) < 4:
            return None
        if key_of(text) in self._keys:
            return "the text is an augmentation text"
        return "shares a run of words with an augmentation text" if runs(text) & self._runs else None


def faults() -> list[str]:
    """All faults of all files, with positions."""
    trained, found = Trained(augmentation()), list[str]()
    seen: dict[tuple[Any, Any], str] = {}
    for position, row in lines():
        found += [f"{position}: {fault}" for fault in faults_of(row)]
        judged = row.get("response") if row.get("response") is not None else row.get("prompt")
        first = seen.setdefault((row.get("kind"), judged), position)
        if first != position:
            found.append(f"{position}: the same text as {first}")
        found += [
            f"{position}: {fault}"
            for text in (row.get("prompt"), row.get("response"))
            if (fault := trained.fault(text))
        ]
    if len(seen) < LEAST:
        found.append(f"{len(seen)} cases; at least {LEAST} are needed")
    return found


def main() -> int:
    """Checks every file beside this one; returns the exit status."""
    counts = Counter((row["kind"], row["behaviour"] or row["unlabelable"] or row["request"]) for _, row in lines())
    for (kind, expected), count in sorted(counts.items()):
        print(f"{kind}\t{expected}\t{count}")
    print(f"total\t\t{counts.total()}")
    found = faults()
    sys.stderr.writelines(f"{fault}\n" for fault in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
