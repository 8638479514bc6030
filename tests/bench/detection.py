"""What the detectors are worth: delays, run lengths, quiet runs, the paper's table, fleets, speed. Seeded; prints Markdown.

python tests/bench/detection.py                                  # everything, about ten minutes on two idle cores
python tests/bench/detection.py --section delay --section fleet
python tests/bench/detection.py --quick                          # a smoke test: the same tables from far too few runs
python tests/bench/detection.py --write docs/benchmarks-detection.md
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import _baselines
import _broad
import _delays
import _fleet
import _pace
import _scenarios
import numpy as np
from _tables import Table

Rng = np.random.Generator


@dataclass(frozen=True)
class Effort:
    """How much to simulate."""

    quick: bool
    jobs: int
    seed: int


@dataclass(frozen=True)
class Section:
    """Tables that belong together; each can be run alone and gives the same numbers then."""

    title: str
    tables: tuple[Callable[[Effort, Rng], Iterator[Table]], ...]

    def run(self, effort: Effort, index: int) -> Iterator[Table]:
        for number, make in enumerate(self.tables):
            yield from make(effort, np.random.default_rng((effort.seed, index, number)))


SECTIONS: dict[str, Section] = {
    "delay": Section(
        "Delay at equal run length",
        (
            lambda effort, rng: _delays.equal_run_length(quick=effort.quick, rng=rng),
            lambda effort, rng: _delays.peers_at_defaults(quick=effort.quick, rng=rng),
        ),
    ),
    "baseline": Section(
        "What a baseline's uncertainty costs",
        (
            lambda effort, rng: _baselines.realised(quick=effort.quick, rng=rng),
            lambda effort, rng: _baselines.moved_mix(quick=effort.quick, rng=rng),
        ),
    ),
    "quiet": Section("What must not page", (lambda effort, _: _scenarios.quiet(quick=effort.quick, jobs=effort.jobs),)),
    "backtest": Section(
        "Every attack of the paper's table",
        (lambda effort, _: _scenarios.backtest(quick=effort.quick, jobs=effort.jobs),),
    ),
    "broad": Section(
        "Broad and narrow changes, partial roll-outs, slow ramps",
        (
            lambda effort, rng: _broad.pooled_against_single(quick=effort.quick, rng=rng),
            lambda effort, _: _broad.canaries(quick=effort.quick, jobs=effort.jobs),
            lambda effort, rng: _broad.ramps(quick=effort.quick, rng=rng),
        ),
    ),
    "fleet": Section(
        "A fleet's budget", (lambda effort, rng: _fleet.fleet(quick=effort.quick, jobs=effort.jobs, rng=rng),)
    ),
    "speed": Section("Speed and memory", (lambda effort, rng: _pace.pace(quick=effort.quick, rng=rng),)),
}
DEFAULT_SEED = 20260205
_MARK = "<!-- section: {} -->"


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    effort = Effort(options.quick, options.jobs, options.seed)
    for index, (name, section) in enumerate(SECTIONS.items()):
        if options.section and name not in options.section:
            continue
        started, parts = time.monotonic(), [f"## {section.title}\n"]
        for table in section.run(effort, index):
            parts.append(table.markdown())
            print(parts[-1], flush=True)
        parts.append(_made_by(name, effort, time.monotonic() - started))
        print(parts[-1], flush=True)
        if options.write is not None:
            _store(options.write, name, "\n".join(parts))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", action="append", choices=SECTIONS, help="Only this one; may be repeated.")
    parser.add_argument("--quick", action="store_true", help="Far too few runs to mean anything: shows that it works.")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="Processes.")
    parser.add_argument("--write", type=Path, help="Keep each section's tables in this file, replacing older ones.")
    return parser.parse_args(arguments)


def _made_by(name: str, effort: Effort, seconds: float) -> str:
    command = (
        f"python tests/bench/detection.py --section {name} --seed {effort.seed}{' --quick' if effort.quick else ''}"
    )
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}"
    )
    return f"*`{command}`, {datetime.now(UTC):%Y-%m-%d}; {seconds / 60:.1f} minutes on {machine}.*\n"


def _store(path: Path, name: str, text: str) -> None:
    """Put a section into the file: in place of the one of that name, or in the order of `SECTIONS`."""
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    head, *rest = re.split(r"(?m)^<!-- section: (\w+) -->\n", known)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    sections[name] = text + "\n"
    body = "".join(_MARK.format(key) + "\n" + sections[key] for key in SECTIONS if key in sections)
    path.write_text(head + body.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
