"""Does everything to a running cluster that may happen to it, and compares what is left with an undisturbed run.

    python tests/faults/fault_run.py --exchanges 200000 --faults 50 --seed 1

Three label workers, two detectors and a sidecar, each a process, read one stream of exchanges with known verdicts.
At random moments one fault of `FAULTS` happens. In the end every deployment's detectors must be in exactly the state
that they are in without any fault, with the same incidents; labels must be on their topic once.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fault_cluster import NAME, FaultCluster, counts
from fault_traffic import DEPLOYMENTS, Outcome, Sent, exchange, garbage, traffic, undisturbed
from kafka import KafkaProducer
from workers import Process

DAY: Final = 86_400.0
SKEWED: Final = 15
GARBAGE: Final = 15
RESENT: Final = 25
SETTLE_SECONDS: Final = 240.0


class Report(NamedTuple):
    """How a run ended."""

    exchanges: int
    faults: dict[str, int]
    lost: int
    """Exchanges without a label, and exchanges that a detector did not count."""
    doubled: int
    """Exchanges with two labels, and exchanges that a detector counted twice."""
    states_equal: bool
    """Whether every number of every detector is that of the undisturbed run."""
    incidents: int
    incidents_equal: bool
    seconds: float

    @property
    def passed(self) -> bool:
        """Nothing lost, nothing doubled, the same conclusions."""
        return self.lost == 0 and self.doubled == 0 and self.states_equal and self.incidents_equal

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"faults survived   {sum(self.faults.values())} ({kinds})\n"
            f"exchanges         {self.exchanges}\n"
            f"records lost      {self.lost}\n"
            f"records doubled   {self.doubled}\n"
            f"detectors equal   {self.states_equal}\n"
            f"incidents equal   {self.incidents_equal} ({self.incidents})\n"
            f"seconds           {self.seconds:.0f}"
        )


class FaultRun:
    """One run: sends, disturbs, compares."""

    def __init__(self, folder: Path, exchanges: int, faults: int, seed: int, say: Callable[[str], None]) -> None:
        self.exchanges = exchanges // len(DEPLOYMENTS) * len(DEPLOYMENTS)
        self._faults = faults
        self._rng = random.Random(seed)
        self._say = say
        self._start = time.time() - 8 * 3600.0
        self._cluster = FaultCluster(folder, labels=3, detectors=2, start=self._start)
        self._sent: list[Sent] = []
        self._times: Counter[str] = Counter()
        self._end: dict[int, int] = {}
        self._extra = 0
        self._done: Counter[str] = Counter()
        self.kinds: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "term": self._term,
            "restart-broker": self._restart_broker,
            "cut": self._cut,
            "freeze": self._freeze,
            "disk-full": self._disk_full,
            "skew": self._skew,
            "garbage": self._garbage,
            "resend": self._resend,
        }

    def run(self) -> Report:
        """Everything, in order."""
        began = time.monotonic()
        cluster = self._cluster
        try:
            for worker in cluster.workers:
                cluster.start(worker)
            stream = traffic(self.exchanges, self._start)
            share = self.exchanges // (self._faults + 1)
            if self._faults:
                self._send(islice(stream, share))
                cluster.wait_for_all(SETTLE_SECONDS)
            for fault in self._plan():
                cluster.revive()
                self._send(islice(stream, share if self._done else share // 2))
                time.sleep(self._rng.uniform(0.2, 1.5))
                self._say(f"{time.monotonic() - began:6.1f} s  {len(self._sent):>7} sent  {fault}")
                self.kinds[fault]()
                self._done[fault] += 1
            self._send(stream)
            self._say(f"{time.monotonic() - began:6.1f} s  {len(self._sent):>7} sent  waiting for the end")
            cluster.settle(self._end, SETTLE_SECONDS)
            self._say(f"workers started again after they had ended by themselves: {cluster.revived}")
            for worker in cluster.workers:
                code = worker.end()
                assert code == 0, f"{worker.name} ended with {code}; see {worker.log}"
            return self._compare(time.monotonic() - began)
        finally:
            cluster.close()

    def _plan(self) -> list[str]:
        """Every kind in turn before any comes again, in random order."""
        plan: list[str] = []
        while len(plan) < self._faults:
            plan += self._rng.sample(sorted(self.kinds), len(self.kinds))
        return plan[: self._faults]

    def _send(self, stream: Iterator[Sent]) -> None:
        """Deliver in order; flushed before the next fault, so that the sender's own retries are not what is tested."""
        producer = KafkaProducer(
            bootstrap_servers=self._cluster.broker.bootstrap, acks="all", enable_idempotence=True, linger_ms=20,
            compression_type="lz4",
        )  # fmt: skip
        futures = []
        for sent in stream:
            futures.append(producer.send(NAME, key=sent.deployment.encode(), value=sent.value))
            if sent.number >= 0:
                self._sent.append(sent)
        producer.flush()
        for future in futures:
            place = future.get(timeout=30)
            self._end[place.partition] = max(self._end.get(place.partition, 0), place.offset + 1)
        producer.close()

    def _some(self, *roles: str) -> Process:
        return self._rng.choice([one for one in self._cluster.workers if not roles or one.role in roles])

    def _kill(self) -> None:
        worker = self._some()
        worker.end(signal.SIGKILL)
        self._cluster.start(worker)

    def _term(self) -> None:
        worker = self._some()
        code = worker.end(signal.SIGTERM)
        # In the middle of an outage the last commit may be impossible, which it must say.
        said = "stopped without a last commit" in worker.log.read_text()[-2000:]
        # Before it listens to signals, a process that is still starting simply ends.
        starting = code == -signal.SIGTERM
        assert code == 0 or said or starting, f"{worker.name} ended with {code} on SIGTERM; see {worker.log}"
        self._cluster.start(worker)

    def _restart_broker(self) -> None:
        self._cluster.broker.kill()
        self._cluster.broker.restart()

    def _cut(self) -> None:
        self._cluster.proxy.cut(self._rng.uniform(0.5, 5.0))

    def _freeze(self) -> None:
        """Longer than the session time-out: the group goes on without it, and it wakes up believing to be a member."""
        worker = self._some()
        assert worker.process is not None
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(8.0)
        worker.process.send_signal(signal.SIGCONT)

    def _disk_full(self) -> None:
        worker = self._some("all", "detect")
        self._cluster.fill_disk(worker, full=True)
        time.sleep(self._rng.uniform(1.0, 3.0))
        self._cluster.fill_disk(worker, full=False)

    def _skew(self) -> None:
        """A sender whose clock is far off."""
        ahead = self._rng.choice([-400 * DAY, 2 * DAY])
        self._send_extra(
            exchange(name, self._extra + number, time.time() + ahead, changed=True, kind="skewed")
            for number, name in enumerate(self._rng.choices(DEPLOYMENTS, k=SKEWED))
        )

    def _garbage(self) -> None:
        self._send_extra(garbage(self._extra + number, self._rng) for number in range(GARBAGE))

    def _resend(self) -> None:
        """A gateway that was not sure whether its exchanges had arrived."""
        again = self._rng.sample(self._sent, min(RESENT, len(self._sent)))
        self._times.update(_id(one) for one in again)
        self._send(iter([one._replace(number=-1) for one in again]))

    def _send_extra(self, values: Iterator[bytes]) -> None:
        sent = [Sent(self._rng.choice(DEPLOYMENTS), -1, value) for value in values]
        self._extra += len(sent)
        self._send(iter(sent))

    def _compare(self, seconds: float) -> Report:
        direct, topic = undisturbed(self._cluster.settings, self.exchanges, self._start)
        detected, sidecar = self._cluster.detected(), self._cluster.sidecar_outcome()
        ids = Counter(self._cluster.label_ids())
        # What a gateway has sent twice may be labelled twice, by workers without a memory; detectors count it once.
        wanted = Counter(_id(one) for one in self._sent)
        lost = len(wanted.keys() - ids.keys())
        doubled = sum(max(0, count - wanted[one] - self._times[one]) for one, count in ids.items())
        for found, reference in ((detected, topic), (sidecar, direct)):
            for name, expected in counts(reference).items():
                difference = counts(found)[name] - expected
                lost, doubled = lost + max(0, -difference), doubled + max(0, difference)
        self._explain("detectors", detected, topic)
        self._explain("sidecar", sidecar, direct)
        return Report(
            exchanges=len(self._sent),
            faults=dict(self._done),
            lost=lost,
            doubled=doubled,
            states_equal=detected.detectors == topic.detectors and sidecar.detectors == direct.detectors,
            incidents=len(topic.incidents),
            incidents_equal=detected.incidents == topic.incidents and sidecar.incidents == direct.incidents,
            seconds=seconds,
        )

    def _explain(self, who: str, found: Outcome, expected: Outcome) -> None:
        for path in islice(_differences(found._asdict(), expected._asdict(), who), 10):
            self._say(path)


def _id(sent: Sent) -> str:
    return f"x-{sent.deployment}-{sent.number}"


def _differences(found: Any, expected: Any, where: str) -> Iterator[str]:
    """Where two JSON values differ, for whoever has to find out why."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted({*found, *expected}, key=str):
            yield from _differences(found.get(key), expected.get(key), f"{where}.{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for index, pair in enumerate(zip(found, expected, strict=True)):
            yield from _differences(*pair, f"{where}[{index}]")
    elif found != expected:
        yield f"{where}: {str(found)[:120]} instead of {str(expected)[:120]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--exchanges", type=int, default=200_000)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="Keep logs and data here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alignwatch-faults-") as folder:
        run = FaultRun(options.folder or Path(folder), options.exchanges, options.faults, options.seed, print)
        report = run.run()
    print(report)
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
