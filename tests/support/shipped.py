"""The shipped classifier for tests that label the same texts many times, and small traffic of our own for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from exchanges import write

from alignwatch import Exchange
from classifiers import Pair, PairLabels, load_classifier
from monitor.demo import Entry, Scene, Traffic, exchanges_between, load_corpus

START = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
PER_SECOND = 0.1


class Remembering:
    """The real classifier; each different pair is read once in a test run. A label depends on nothing but its pair."""

    def __init__(self) -> None:
        self._real = load_classifier(threads=2)
        self._known: dict[Pair, PairLabels] = {}
        self.digest = self._real.digest

    def label(self, pairs: Sequence[Pair]) -> list[PairLabels]:
        missing = list(dict.fromkeys(pair for pair in pairs if pair not in self._known))
        self._known |= dict(zip(missing, self._real.label(missing), strict=True))
        return [self._known[pair] for pair in pairs]


@cache
def remembering() -> Remembering:
    """One for the whole run."""
    return Remembering()


def few_entries() -> list[Entry]:
    """Three requests of each category and some ordinary ones: fewer texts to read, the same classifier."""
    counts: dict[str, int] = {}
    found = []
    for entry in load_corpus():
        counts[entry.category] = counts.get(entry.category, 0) + 1
        if counts[entry.category] <= (20 if entry.category == "none" else 3):
            found.append(entry)
    return found


def traffic(
    count: int, *, onset: int | None = None, seed: int = 1, deployment: str = "chat-demo", start: float = START
) -> Iterator[Exchange]:
    """`count` exchanges from `start` on; from the `onset`-th on, an un-aligned model answers."""
    scenes = [] if onset is None else [Scene(start + onset / PER_SECOND, 1.0)]
    played = Traffic(few_entries(), scenes, seed=seed)
    for one in exchanges_between(played, start, start + count / PER_SECOND, PER_SECOND):
        yield one.model_copy(update={"deployment": deployment})


def write_traffic(path: Path, exchanges: Iterator[Exchange] | Sequence[Exchange]) -> Path:
    """JSON lines, compressed as the name says."""
    return write(path, (one.to_json() for one in exchanges))
