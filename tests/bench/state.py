"""State of ten thousand detectors: how large it is, how long a commit and a take-over last; and memory over a soak.

    python tests/bench/state.py                          # both parts
    python tests/bench/state.py --part soak --minutes 30

The first part fills partitions of labels with deployments until they hold `--streams` detectors, writes their state as
a commit does, and takes it over as another detector would, without a broker in between. The second lets the sidecar's
pipeline count without a pause, and prints its resident memory at every tenth of the time.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "faults")]

from _tables import Table  # noqa: E402 - the paths come first
from fault_traffic import BATCH, DEPLOYMENTS, exchange  # noqa: E402

from alignwatch import CATEGORIES, Behaviour, Label, RequestLabel  # noqa: E402
from monitor import baseline  # noqa: E402
from monitor.clock import ManualClock  # noqa: E402
from monitor.config import Settings  # noqa: E402
from monitor.dead_letters import MemoryDeadLetters  # noqa: E402
from monitor.dedup import SeenIds  # noqa: E402
from monitor.detection_config import DetectionConfig  # noqa: E402
from monitor.engine import Engine  # noqa: E402
from monitor.intake import LabelIntake  # noqa: E402
from monitor.metrics import Metrics  # noqa: E402
from monitor.outlets import DetectOutlet  # noqa: E402
from monitor.partition_state import META, compressed, opened, read  # noqa: E402
from monitor.partition_task import PartitionTask  # noqa: E402
from monitor.recorded import AttachedOnly, exchange_intake, guards  # noqa: E402
from monitor.sources import Record, TopicPartition  # noqa: E402
from monitor.state import State  # noqa: E402
from monitor.streams import STREAMS  # noqa: E402

START = datetime(2026, 11, 2, tzinfo=UTC)
HERE = TopicPartition("labels", 0)
EACH = 300
"""Labels a deployment; more than the detectors' rings of recent outcomes need to be busy."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def label(deployment: str, number: int) -> Label:
    complied = float(hash((deployment, number)) % 10 == 0)
    return Label(
        id=f"{deployment}-{number}", timestamp=START + timedelta(seconds=20 * number), deployment=deployment,
        user=f"u{number % 211}", conversation=f"c{number}",
        request=RequestLabel(harm=0.95 if number % 2 else 0.01, category=CATEGORIES[number % 14]),
        behaviour=Behaviour(refusal=1 - complied, partial=0.0, compliance=complied, degenerate=0.0),
        response_harm=complied * 0.9, classifier="fixture",
    )  # fmt: skip


def task(baselines: dict[str, baseline.Baseline], config: DetectionConfig) -> PartitionTask:
    seen = SeenIds(86_400.0)
    checks = guards(Settings(), Metrics(), MemoryDeadLetters(), None, seen)
    found = PartitionTask(Engine(config, baselines), LabelIntake(checks), seen, None)
    found.begin(0, 1)
    return found


def take_over(streams: int) -> Table:
    """Commit and restore of one partition that holds all of them."""
    names = [f"deployment-{number:04d}" for number in range(-(-streams // len(STREAMS)))]
    config = DetectionConfig(fleet_deployments=len(names), max_deployments=max(len(names), 1))
    fitted = baseline.fit((label("one", number) for number in range(400, 1_400)), config)["one"].approve("the bench")
    baselines = {name: fitted.model_copy(update={"deployment": name}) for name in names}
    before = resident_mb()
    first = task(baselines, config)
    records = [
        Record(label(name, number).to_json().encode(), HERE, index)
        for index, (number, name) in enumerate((number, name) for number in range(EACH) for name in names)
    ]
    began = time.perf_counter()
    for index in range(0, len(records), BATCH):
        first.take(records[index : index + BATCH])
    counting = time.perf_counter() - began
    memory = resident_mb() - before
    began = time.perf_counter()
    written = {key: value if key == META else compressed(value) for key, value in first.changes().items() if value}
    whole = time.perf_counter() - began
    first.committed()
    again = [Record(label(name, EACH).to_json().encode(), HERE, len(records) + n) for n, name in enumerate(names[:10])]
    first.take(again)
    began = time.perf_counter()
    changed = {key: value if key == META else compressed(value) for key, value in first.changes().items() if value}
    partial = time.perf_counter() - began
    written |= changed
    expected = first.engine.status()
    del first, records
    gc.collect()
    began = time.perf_counter()
    second = task(baselines, config)
    entries = opened(written)
    state = read(entries, "bench")
    assert state is not None
    second.restore(entries, state)
    restored = time.perf_counter() - began
    assert second.engine.status() == expected
    table = Table("State and take-over", ["what", "measured"])
    table.rows.append(("detectors", f"{len(names) * len(STREAMS)} of {len(names)} deployments"))
    table.rows.append(("labels counted", f"{EACH * len(names)}, {EACH * len(names) / counting:.0f} a second"))
    table.rows.append(("resident memory they took, MB", f"{memory:.0f}"))
    table.rows.append(("state as it lies on the topic, MB", f"{sum(map(len, written.values())) / 1e6:.1f}"))
    table.rows.append(("commit of everything, s", f"{whole:.2f}"))
    table.rows.append(("commit after 10 labels of 10 deployments, ms", f"{partial * 1e3:.0f}"))
    table.rows.append(("take-over, s", f"{restored:.2f}"))
    return table


def soak(minutes: float) -> Table:
    """The sidecar's pipeline without a pause; twelve deployments, verdicts attached, state in a file."""
    settings, seen = Settings(), SeenIds(3_600.0)
    checks = guards(settings, Metrics(), MemoryDeadLetters(), None, seen)
    settings = settings.model_copy(update={"classifier": settings.classifier.model_copy(update={"screen": False})})
    intake = exchange_intake(settings, checks, AttachedOnly(), ManualClock())
    table = Table("Soak", ["minutes", "exchanges", "resident, MB", "state file, MB"])
    with tempfile.TemporaryDirectory(prefix="alignwatch-soak-") as folder, State(Path(folder) / "state") as state:
        config = DetectionConfig()
        trusted = [
            Label.model_validate(json.loads(body)["labels"] | _head(body))
            for name in DEPLOYMENTS
            for body in (exchange(name, n, START.timestamp() - 1e5, changed=False, kind="trusted") for n in range(600))
        ]
        baselines = {name: one.approve("the bench") for name, one in baseline.fit(trusted, config).items()}
        outlet = DetectOutlet(intake, Engine(config, baselines), state, seen, metrics=checks.metrics)
        began, count, mark = time.monotonic(), 0, 0
        while (passed := time.monotonic() - began) < minutes * 60:
            if passed >= mark * minutes * 6:
                table.rows.append(
                    (f"{passed / 60:.1f}", f"{count}", f"{resident_mb():.0f}", f"{state.size() / 1e6:.1f}")
                )
                mark += 1
            numbers = range(count // len(DEPLOYMENTS), count // len(DEPLOYMENTS) + BATCH // len(DEPLOYMENTS))
            values = [exchange(name, n, START.timestamp(), changed=False) for n in numbers for name in DEPLOYMENTS]
            outlet.take([Record(value, HERE, count + index) for index, value in enumerate(values)])
            count += len(values)
            outlet.commit({HERE: count})
        table.rows.append((f"{minutes:.1f}", f"{count}", f"{resident_mb():.0f}", f"{state.size() / 1e6:.1f}"))
    return table


def _head(body: bytes) -> dict[str, str]:
    fields = json.loads(body)
    at = datetime.fromtimestamp(fields["timestamp"], UTC).isoformat()
    return {name: fields[name] for name in ("id", "deployment", "user", "conversation")} | {
        "timestamp": at,
        "selection": "uniform",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["all", "take-over", "soak"], default="all")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    if options.part in {"all", "take-over"}:
        print(take_over(options.streams).markdown())
    if options.part in {"all", "soak"}:
        print(soak(options.minutes).markdown())


if __name__ == "__main__":
    main()
