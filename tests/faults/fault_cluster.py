"""A broker behind a proxy that can be cut, topics, and the workers of a fault run as processes."""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / part) for part in ("integration", "support"))]

from fault_proxy import CutProxy  # noqa: E402 - after the path
from fault_traffic import DEPLOYMENTS, Outcome, fit_baselines  # noqa: E402
from free_ports import free_ports  # noqa: E402
from kafka_broker import KafkaBroker  # noqa: E402
from workers import Process, committed_records, config_text, group_positions, wait_until  # noqa: E402

from monitor.config import Settings, load  # noqa: E402
from monitor.detection.codec import unpack  # noqa: E402
from monitor.outlets import SNAPSHOT  # noqa: E402
from monitor.partition_state import ENGINE, INCIDENT, Entries, decompressed  # noqa: E402
from monitor.state import State  # noqa: E402

PARTITIONS = 6
NAME = "traffic"
PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:%(inner)d,CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:%(outer)d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
# A transaction that a killed process left open holds up readers until the broker has noticed.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""


class FaultCluster:
    """Everything that a fault run is done to."""

    def __init__(self, folder: Path, labels: int, detectors: int, start: float) -> None:
        self.folder = folder
        inner, outer = free_ports(2)
        self.broker = KafkaBroker(folder / "kafka", PROPERTIES % {"inner": inner, "outer": outer})
        self.broker.start()
        self.proxy = CutProxy(outer, inner)
        for topic, partitions in ((NAME, PARTITIONS), (f"{NAME}.labels", PARTITIONS), (f"{NAME}.dead-letters", 1)):
            self.broker.create_topic(topic, partitions)
        baselines = folder / "baseline.json"
        fit_baselines(baselines, start)
        self.config = folder / "alignwatch.toml"
        extra = f'[baseline]\npath = "{baselines}"\n[[alerts.sinks]]\nkind = "log"\n'
        text = config_text(f"127.0.0.1:{outer}", NAME, folder, extra)
        self.config.write_text(text.replace("dedup_window_seconds = 864000", "dedup_window_seconds = 86400"))
        self.workers = [self._worker("label", number) for number in range(labels)]
        self.workers += [self._worker("detect", number) for number in range(detectors)]
        self.sidecar = Process("all", self.config, folder, "all-0")
        self.workers.append(self.sidecar)
        self.revived = 0
        """Times that a worker had to be started again: it refuses to start where its state can't be opened."""

    def _worker(self, role: str, number: int) -> Process:
        return Process(role, self.config, self.folder, f"{role}-{number}")

    @property
    def settings(self) -> Settings:
        return load(self.config, {}).settings

    def start(self, worker: Process) -> None:
        """The sidecar reads the traffic by itself; label workers share it, and detectors share the labels."""
        extra = {"ALIGNWATCH__SOURCE__KAFKA__GROUP_ID": f"{NAME}-sidecar"} if worker is self.sidecar else {}
        worker.start(extra)

    def fill_disk(self, worker: Process, *, full: bool) -> None:
        """No file of the process may grow any more, as on a full disk; or may again."""
        limit = 1024 if full else resource.RLIM_INFINITY
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def settle(self, traffic_end: dict[int, int], seconds: float) -> None:
        """Wait until everything that was sent has been labelled and counted."""
        wanted = sum(traffic_end.values())
        wait_until(lambda: self.revive() and self._read(NAME) >= wanted, seconds, "all traffic labelled", 1.0)
        last: dict[int, int] = {}
        for one in committed_records(self.broker.bootstrap, f"{NAME}.labels", 120):
            last[one.partition] = one.offset + 1
        wait_until(
            lambda: self.revive() and self._detected(last),
            seconds,
            "all labels counted",
            1.0,
        )
        wait_until(
            lambda: self.revive() and sum(self._sidecar_positions().values()) >= wanted,
            seconds,
            "the sidecar's end",
            1.0,
        )

    def _detected(self, ends: dict[int, int]) -> bool:
        places = self._places(f"{NAME}-detect")
        return all(places.get(part, 0) >= end for part, end in ends.items())

    def wait_for_all(self, seconds: float) -> None:
        """Wait until every role has counted something: faults are for what runs."""
        groups = (NAME, f"{NAME}-detect")
        wait_until(lambda: all(self._read(group) > 0 for group in groups), seconds, "labels and detection", 1.0)
        wait_until(lambda: bool(self._sidecar_positions()), seconds, "the sidecar", 1.0)

    def revive(self) -> bool:
        """Do what a supervisor does; always True."""
        for worker in self.workers:
            if not worker.running:
                self.revived += 1
                self.start(worker)
        return True

    def _places(self, group: str) -> dict[int, int]:
        return {part: offset for (_, part), offset in group_positions(self.broker, group).items()}

    def _read(self, group: str) -> int:
        return sum(self._places(group).values())

    def _sidecar_positions(self) -> dict[int, int]:
        try:
            connection = sqlite3.connect(f"file:{self.folder}/state.sqlite3?mode=ro", uri=True)
        except sqlite3.Error:
            return {}  # not made yet
        try:
            return dict(connection.execute("SELECT number, next_offset FROM positions").fetchall())
        except sqlite3.Error:
            return {}
        finally:
            connection.close()

    def label_ids(self) -> list[str]:
        """Ids on the labels topic, as a reader of committed records sees them."""
        records = committed_records(self.broker.bootstrap, f"{NAME}.labels", 120)
        return [json.loads(one.value)["id"] for one in records]

    def detected(self) -> Outcome:
        """What the detectors have on the state topic."""
        latest: Entries = {}
        for one in committed_records(self.broker.bootstrap, f"{NAME}.state", 120):
            latest[one.key] = one.value
        bodies = {key: json.loads(decompressed(value)) for key, value in latest.items() if value and b"/" in key
                  and key.startswith((ENGINE, INCIDENT))}  # fmt: skip
        detectors = {key.removeprefix(ENGINE).decode(): one for key, one in bodies.items() if key.startswith(ENGINE)}
        incidents = {one["incident"]["id"]: one["incident"] for key, one in bodies.items() if key.startswith(INCIDENT)}
        return Outcome(detectors, incidents)

    def sidecar_outcome(self) -> Outcome:
        """What the sidecar has in its file; after it has ended."""
        with State(self.folder / "state.sqlite3") as state:
            body = state.snapshot(SNAPSHOT)
            assert body is not None
            detectors = {one["name"]: one for one in unpack(body) if "name" in one}
            return Outcome(detectors, {one.id: one.model_dump(mode="json") for one in state.incidents(10_000)})

    def close(self) -> None:
        """End everything that was started here."""
        for worker in self.workers:
            if worker.process is not None and worker.running:
                worker.process.kill()
                worker.process.wait()
        self.proxy.close()
        self.broker.stop()


def counts(outcome: Outcome) -> dict[str, Any]:
    """Labels counted, by deployment."""
    return {name: outcome.detectors.get(name, {}).get("labels", 0) for name in DEPLOYMENTS}
