"""Resident memory of all three roles over a soak: real processes on a real broker, mixed traffic, days in half an hour.

    python tests/bench/soak.py --minutes 30

A sidecar, a label worker and a detector run with the shipped classifier and default settings (but for the number of
deployments). Event time passes two minutes a second, so that windows of an hour, and the panes of a day, fill and are
forgotten several times over; with few deployments their rings of outcomes fill too. The traffic holds plain exchanges, exchanges with verdicts, records sent
again (fresh and long gone), garbage, wrong clocks, answers of 100 KB, ever new users, conversations and deployments, and
deployments whose behaviour changes and changes back, so that incidents open and close. Metrics and status are scraped
as Prometheus and a page would.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("integration", "faults", "support")]

import httpx  # noqa: E402 - the paths come first
from _tables import Table  # noqa: E402
from fault_traffic import DEPLOYMENTS, SECONDS_APART, exchange, fit_baselines, garbage  # noqa: E402
from free_ports import free_ports  # noqa: E402
from kafka import KafkaProducer  # noqa: E402
from kafka_broker import BrokerUnavailableError, KafkaBroker  # noqa: E402
from workers import Process, group_positions  # noqa: E402

from monitor.demo import Traffic, load_corpus  # noqa: E402

SPEED = 120.0
WATCHED = DEPLOYMENTS[:3]
CHANGE_SECONDS = 180.0
"""Real seconds between two changes of behaviour."""
SCRAPE_SECONDS = 5.0
LIMITS = {"retention_bytes": str(64 << 20), "segment_bytes": str(16 << 20)}
ROLES = ("all", "label", "detect")
DAY = 86_400.0


class Mix:
    """What is sent."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._plain = Traffic(load_corpus(), seed=seed)
        self._recent: deque[tuple[str, bytes]] = deque(maxlen=2_000)
        self._old: list[tuple[str, bytes]] = []
        self._number = 0

    def next(self, at: float, *, changed: bool) -> tuple[str, bytes]:
        """Key and value of the next record, at an event time."""
        self._number += 1
        pick = self._rng.random()
        if pick < 0.03 and self._recent:
            return self._rng.choice(self._recent)
        if pick < 0.04 and self._old:
            return self._rng.choice(self._old)
        if pick < 0.07:
            return self._rng.choice(WATCHED), garbage(self._number, self._rng)
        if pick < 0.08:
            name = self._rng.choice(WATCHED)
            return name, _at(name, self._number, at + self._rng.choice([-400, 400]) * DAY)
        sent = self._text(at) if pick < 0.6 else self._with_verdicts(at, changed)
        self._recent.append(sent)
        if self._number < 5_000:
            self._old.append(sent)
        return sent

    def _text(self, at: float) -> tuple[str, bytes]:
        name = f"text-{self._rng.randrange(2)}"
        plain = self._plain.exchange(at)
        more = {"deployment": name, "user": f"u{self._number}", "conversation": f"c{self._number // 3}"}
        if self._rng.random() < 0.002:
            more["response"] = plain.response * (100_000 // max(len(plain.response), 1))
        return name, plain.model_copy(update=more).to_json().encode()

    def _with_verdicts(self, at: float, changed: bool) -> tuple[str, bytes]:
        index = self._rng.randrange(len(WATCHED))
        # A gateway that names a new deployment for every release, and never stops.
        name = WATCHED[index] if self._rng.random() < 0.98 else f"release-{self._number // 200}"
        return name, _at(name, self._number, at, changed=changed and index == 0)


def _at(name: str, number: int, at: float, *, changed: bool = False) -> bytes:
    """An exchange with verdicts at this event time."""
    return exchange(name, number, at - number * SECONDS_APART, changed=changed)


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def config_of(folder: Path, bootstrap: str, port: int) -> str:
    return f"""
[source]
kind = "kafka"
[source.kafka]
bootstrap_servers = ["{bootstrap}"]
topics = ["soak"]
group_id = "soak"
[sampling]
budget_pairs_per_second = 2
[labels]
topic = "soak.labels"
[state]
path = "{folder}/state.sqlite3"
topic = "soak.state"
[dead_letters]
kind = "kafka"
topic = "soak.dead-letters"
[baseline]
path = "{folder}/baseline.json"
[detection]
max_deployments = 20
[[alerts.sinks]]
kind = "log"
[http]
port = {port}
"""


class Soak:
    """Three processes, a broker, a sender."""

    def __init__(self, folder: Path, broker: KafkaBroker, rate: float, minutes: float) -> None:
        self._broker, self._rate, self._seconds = broker, rate, minutes * 60
        self._folder = folder
        for topic in ("soak", "soak.labels", "soak.dead-letters"):
            broker.create_topic(topic, 1 if topic.endswith("letters") else 2, **LIMITS)
        self._start = time.time() - self._seconds * SPEED
        fit_baselines(folder / "baseline.json", self._start)
        self._ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
        self._workers = {role: self._worker(role) for role in ROLES}
        self.sent = 0

    def _worker(self, role: str) -> Process:
        config = self._folder / f"{role}.toml"
        config.write_text(config_of(self._folder, self._broker.bootstrap, self._ports[role]))
        one = Process(role, config, self._folder, role)
        one.start({"ALIGNWATCH__SOURCE__KAFKA__GROUP_ID": "soak-sidecar"} if role == "all" else {})
        return one

    def run(self) -> Table:
        headers = ["minutes", "sent", "sidecar counted", *(f"{role}, MB" for role in ROLES)]
        table = Table("Soak of all roles", headers)
        samples: dict[str, list[tuple[float, float]]] = {role: [] for role in ROLES}
        mark = 0
        for passed in self._turns():
            for role, worker in self._workers.items():
                assert worker.running, f"{role} has ended; see its log:\n{worker.log.read_text()[-2000:]}"
                samples[role].append((passed, resident_mb(worker.pid)))
                self._scrape(role)
            if passed >= mark * self._seconds / 10:
                table.rows.append(self._row(passed))
                mark += 1
        table.rows.append(self._row(self._seconds))
        table.notes += [self._drift(role, samples[role]) for role in ROLES]
        counters = httpx.get(f"http://127.0.0.1:{self._ports['all']}/status", timeout=30).json()["pipeline"]
        table.notes.append(f"The sidecar's counters: {counters}.")
        for role, worker in self._workers.items():
            code = worker.end()
            table.notes.append(f"{role} ended with {code}.")
        return table

    def close(self) -> None:
        """End what is left."""
        for worker in self._workers.values():
            if worker.running:
                worker.end(signal.SIGKILL)

    def _turns(self) -> Iterator[float]:
        """Sends at the rate; yields the seconds passed, every few seconds."""
        producer = KafkaProducer(bootstrap_servers=self._broker.bootstrap, linger_ms=50, compression_type="lz4")
        mix, began, scraped = Mix(1), time.monotonic(), 0.0
        while (passed := time.monotonic() - began) < self._seconds:
            changed = int(passed / CHANGE_SECONDS) % 2 == 1
            for _ in range(int(passed * self._rate) - self.sent):
                key, value = mix.next(self._start + passed * SPEED, changed=changed)
                producer.send("soak", key=key.encode(), value=value)
                self.sent += 1
            if passed - scraped >= SCRAPE_SECONDS:
                scraped = passed
                yield passed
            time.sleep(0.05)
        producer.flush(timeout=60)
        producer.close(timeout=10)

    def _scrape(self, role: str) -> None:
        for path in ("metrics", "status"):
            try:
                httpx.get(f"http://127.0.0.1:{self._ports[role]}/{path}", timeout=10)
            except httpx.HTTPError:
                continue  # still starting

    def _row(self, passed: float) -> list[str]:
        counted = sum(group_positions(self._broker, "soak-sidecar").values())
        memory = [f"{resident_mb(self._workers[role].pid):.0f}" for role in ROLES]
        return [f"{passed / 60:.1f}", f"{self.sent:,}", f"{counted:,}", *memory]

    def _drift(self, role: str, samples: list[tuple[float, float]]) -> str:
        parts = [[mb for at, mb in samples if part <= 3 * at / self._seconds < part + 1] for part in range(3)]
        thirds = ", ".join(f"{mean(part):.1f}" for part in parts if part)
        return f"{role}: mean MB of the three thirds {thirds}; highest {max(mb for _, mb in samples):.1f}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=100.0, help="records a second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alignwatch-soak-") as name:
        broker = KafkaBroker(Path(name) / "kafka")
        try:
            broker.start()
        except BrokerUnavailableError as error:
            sys.exit(f"Kafka can't be started here: {error}")
        soak = Soak(Path(name), broker, options.rate, options.minutes)
        try:
            table = soak.run()
        finally:
            soak.close()
            broker.stop()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {options.rate:g} records a second\n")
    print(table.markdown())


if __name__ == "__main__":
    main()
