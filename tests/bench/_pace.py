"""Section `speed`: label updates a second, bytes of state a stream, ten thousand streams on one core; all as ratios."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from _rigs import DETECTION, baseline_of, live
from _tables import Table, number
from river import drift

from alignwatch import Label
from monitor.baseline import Baseline
from monitor.config import Settings
from monitor.detectors import MixtureShiryaevRoberts, StreamShiryaevRoberts, odds_ratio_grid
from monitor.engine import Engine
from monitor.recorded import Recorded, detect
from monitor.simulation import simulate_labels
from monitor.streams import STREAMS

BATCH = 500
FLEET_STREAMS = 10_000


def pace(*, quick: bool, rng: np.random.Generator) -> Iterator[Table]:
    """Everything in one run on one core, so that the ratios hold on another machine."""
    count, repeats = (4_000, 1) if quick else (20_000, 3)
    labels, baselines = _deployments(1, count)
    with TemporaryDirectory() as folder:
        yield _labels(Path(folder), labels, baselines, repeats)
    yield _detectors(rng, count, repeats)
    yield _state(count, repeats)


def _rate(work: Callable[[], int], repeats: int) -> float:
    """Median of items a CPU second: CPU time, so that neighbours on the machine count less."""
    rates = []
    for _ in range(repeats):
        started = time.process_time()
        items = work()
        rates.append(items / (time.process_time() - started))
    return median(rates)


def _labels(folder: Path, labels: list[Label], baselines: dict[str, Baseline], repeats: int) -> Table:
    path = folder / "labels.jsonl"
    lines = [label.to_json() for label in labels]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def parse() -> int:
        for line in lines:
            json.loads(line)
        return len(lines)

    def memory() -> int:
        engine = Engine(DETECTION, baselines)
        for first in range(0, len(labels), BATCH):
            engine.process(labels[first : first + BATCH])
        return len(labels)

    def file() -> int:
        detect(Engine(DETECTION, baselines), Recorded(Settings(), labels=True).batches([str(path)]), None)
        return len(labels)

    def learners() -> int:
        # What river users would run for one deployment: the streams that a label feeds here, each with an ADWIN.
        detectors = [drift.ADWIN() for _ in range(UPDATES)]
        for label in labels:
            x = label.behaviour.compliance if label.behaviour else 0.0
            for detector in detectors:
                detector.update(x)
        return len(labels)

    yardstick = _rate(parse, repeats)
    table = Table(
        "Labels a second through detection (one core)",
        ("what", "labels/s", "against json.loads of the same lines"),
        [
            f"{len(labels):,} labels of one deployment with all its {len(STREAMS)} streams; a label feeds about {UPDATES} of them. Median "
            f"of {repeats}; a line has {sum(map(len, lines)) / len(lines):.0f} bytes.",
        ],
    )
    for name, work in (
        ("in memory (`Engine.process`)", memory),
        ("`alignwatch detect FILE`: read, validate, drop duplicates, detect", file),
        (f"river: {UPDATES} ADWINs fed the same label, nothing else", learners),
    ):
        rate = _rate(work, repeats)
        table.rows.append([name, number(rate), f"{rate / yardstick:.3f}"])
    table.rows.append(["json.loads", number(yardstick), "1"])
    return table


UPDATES = 7
"""Detectors that a label feeds, about: pooled and category both ways for a sensitive one, shares, degenerate, control."""


def _detectors(rng: np.random.Generator, count: int, repeats: int) -> Table:
    x = (rng.random(count) < 0.1).astype(float).tolist()
    steps = max(count // 1_000, 5)
    outcomes = (rng.random((steps, FLEET_STREAMS)) < 0.1).astype(float)

    def one() -> int:
        detector = StreamShiryaevRoberts(1e12, odds_ratio_grid("up"))
        table = detector.odds_table(0.1)
        for value in x:
            detector.update(value, table)
        return count

    def many() -> int:
        detector = MixtureShiryaevRoberts(1e12, streams=FLEET_STREAMS)
        for row in outcomes:
            detector.update(row, 0.1)
        return steps * FLEET_STREAMS

    def river(make: type[drift.ADWIN | drift.PageHinkley]) -> Callable[[], int]:
        def work() -> int:
            detector = make()
            for value in x:
                detector.update(value)
            return count

        return work

    yardstick = _rate(river(drift.ADWIN), repeats)
    table = Table(
        "Detector updates a second (one core)",
        ("detector", "updates/s", "against river's ADWIN"),
        [f"Sixteen odds ratios an update. Median of {repeats}."],
    )
    for name, work in (
        ("one stream, label by label (`StreamShiryaevRoberts`)", one),
        (f"{FLEET_STREAMS:,} streams in step (`MixtureShiryaevRoberts`)", many),
        ("river PageHinkley", river(drift.PageHinkley)),
    ):
        rate = _rate(work, repeats)
        table.rows.append([name, number(rate), f"{rate / yardstick:.2f}"])
    table.rows.append(["river ADWIN", number(yardstick), "1"])
    return table


def _deployments(size: int, count: int) -> tuple[list[Label], dict[str, Baseline]]:
    """Labels of that many deployments, taking turns."""
    config = live(count=max(count // size, 1), seed=21)
    baseline = baseline_of(config, DETECTION)[config.deployment]
    baselines = {
        name: baseline.model_copy(update={"deployment": name}) for name in (f"chat-{index}" for index in range(size))
    }
    labels = [
        label.model_copy(update={"deployment": name, "id": f"{label.id}-{name}"})
        for label in simulate_labels(config)
        for name in baselines
    ]
    return labels, baselines


def _state(count: int, repeats: int) -> Table:
    """Memory of a fleet whose streams number about ten thousand."""
    size = max(round(FLEET_STREAMS / len(STREAMS) * (1 if repeats > 1 else 0.05)), 1)
    labels, baselines = _deployments(size, 80 * size if repeats == 1 else 4 * count)
    tracemalloc.start()
    engine = Engine(DETECTION, baselines)
    empty = tracemalloc.get_traced_memory()[0]
    for first in range(0, len(labels), BATCH):
        engine.process(labels[first : first + BATCH])
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    snapshot, streams = len(engine.snapshot()), size * len(STREAMS)
    engine = Engine(DETECTION, baselines)
    rate = _rate(lambda: sum(len(engine.process([label])) * 0 + 1 for label in labels), 1)
    table = Table(
        f"{size} deployments, {streams:,} streams, in one process on one core",
        ("what", "value"),
        [f"After {len(labels) // size:,} labels of each deployment, which take turns, so that no cache stays warm."],
    )
    table.rows += [
        ["labels/s", number(rate)],
        ["… that is, for each deployment, an hour", number(rate / size * 3600)],
        ["memory of a stream, before any label", f"{empty / streams:,.0f} bytes"],
        ["memory of a stream, with rings, panes and caps", f"{used / streams:,.0f} bytes"],
        ["snapshot of a stream, the same included", f"{snapshot / streams:,.0f} bytes"],
        ["evidence of a stream (sixteen floats)", f"{8 * odds_ratio_grid('up').size} bytes"],
    ]
    return table
