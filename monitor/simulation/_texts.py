"""Pools of texts for simulated exchanges, read from a file of labelled pairs."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import zstandard

from monitor.errors import ConfigError, SourceError
from monitor.simulation.config import PairFilter, PairTexts

Pair = tuple[str, str]
"""Prompt and response."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pools:
    """Pairs to draw from, for each kind of request on either side of the onset; none is empty."""

    harmful_before: Sequence[Pair]
    harmful_after: Sequence[Pair]
    benign_before: Sequence[Pair]
    benign_after: Sequence[Pair]

    def pair(self, choice: float, *, harmful: bool, changed: bool) -> Pair:
        """A pair by a number in [0, 1)."""
        if harmful:
            pool = self.harmful_after if changed else self.harmful_before
        else:
            pool = self.benign_after if changed else self.benign_before
        return pool[int(choice * len(pool))]


def read_pools(texts: PairTexts) -> Pools:
    """Read the file once and fill the pools.

    Raises:
        SourceError: the file can't be read, or a line is not a JSON object.
        ConfigError: a filter matches no row that has both prompt and response, or no prompt is in both states.
    """
    benign_after = texts.benign_after or texts.benign
    filters = (texts.harmful_before, texts.harmful_after, texts.benign, benign_after)
    pools: tuple[list[Pair], ...] = ([], [], [], [])
    for row in _rows(texts.path):
        for pool, wanted in zip(pools, filters, strict=True):
            if _matches(row, wanted):
                pool.append((row["prompt"], row["response"]))
    faults = [
        f"texts: no row of {texts.path} has {wanted.describe()} with a prompt and a response"
        for pool, wanted in zip(pools, filters, strict=True)
        if not pool
    ]
    if faults:
        raise ConfigError(faults)
    before, after, benign, benign_changed = pools
    if texts.matched_prompts:
        before, after = _matched(before, after)
    return Pools(before, after, benign, benign_changed)


def _matched(before: list[Pair], after: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    common = {prompt for prompt, _ in before} & {prompt for prompt, _ in after}
    if not common:
        raise ConfigError(["texts: no harmful prompt is answered both before and after; set matched_prompts to false"])
    return [pair for pair in before if pair[0] in common], [pair for pair in after if pair[0] in common]


def _matches(row: Row, wanted: PairFilter) -> bool:
    if not isinstance(row.get("prompt"), str) or not isinstance(row.get("response"), str):
        return False
    return all(value is None or row.get(name) == value for name, value in wanted)


def _rows(path: Path) -> Iterator[Row]:
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise SourceError(f"{path}: line {number} is not a JSON object")
                yield row
    except (OSError, EOFError, UnicodeDecodeError, zstandard.ZstdError) as error:
        raise SourceError(f"{path}: can't be read: {error}") from error
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}: a line is not JSON (column {error.colno})") from error


def _open(path: Path) -> TextIO:
    openers: dict[str, Callable[[Path], TextIO]] = {".gz": _open_gzip, ".zst": _open_zstd}
    return openers.get(path.suffix, _open_plain)(path)


def _open_plain(path: Path) -> TextIO:
    return path.open(encoding="utf-8")


def _open_gzip(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8")


def _open_zstd(path: Path) -> TextIO:
    stream = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True)
    return io.TextIOWrapper(stream, encoding="utf-8")
