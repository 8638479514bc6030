"""What a second label worker brings: exchanges a second from traffic to labels in transactions, with one and with two.

    python tests/bench/roles.py --exchanges 30000 --rounds 3

Verdicts come attached, so it is decoding, sampling, labels and transactions that are measured, not a classifier. Every
round runs one worker and two workers on the same traffic, in turn; the rate is taken from the moment when all of them
share the partitions. Broker and workers share the machine's cores: where it has few, the ratio says more about them
than about the workers. Processor time a worker needs for a thousand exchanges is what holds on other machines too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "faults")]

from _tables import Table  # noqa: E402 - the paths come first
from fault_traffic import traffic  # noqa: E402
from kafka.admin import KafkaAdminClient  # noqa: E402
from kafka.errors import KafkaError  # noqa: E402
from kafka_broker import BrokerUnavailableError, KafkaBroker  # noqa: E402
from workers import Process, config_text  # noqa: E402

from monitor.sources import KafkaConfig, KafkaProducerSink  # noqa: E402

PARTITIONS = 6
TRAFFIC = "bench"


def produce(broker: KafkaBroker, count: int) -> int:
    """Fill the traffic topic; how many exchanges it holds."""
    sink = KafkaProducerSink(KafkaConfig(bootstrap_servers=(broker.bootstrap,)))
    sent = 0
    for one in traffic(count, time.time() - 86_400):
        sink.send(TRAFFIC, one.deployment.encode(), one.value)
        sent += 1
    sink.flush()
    sink.close()
    return sent


class Group:
    """What the broker knows of a group, asked through one connection: a new one each time would cost a core."""

    def __init__(self, broker: KafkaBroker, name: str) -> None:
        self._admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        self._name = name

    def done(self) -> int:
        """Sum of the group's next offsets."""
        try:
            found = self._admin.list_group_offsets({self._name: None})[self._name]
        except KafkaError:
            return 0  # no coordinator yet
        return sum(place.offset for place in found.values() if place.offset >= 0)

    def sharing(self) -> int:
        """Members that have partitions."""
        members = self._admin.describe_groups([self._name])[self._name]["members"]
        # In the middle of a rebalance a member has an empty text instead of an assignment.
        found = [one["member_assignment"] for one in members]
        return sum(bool(one["assigned_partitions"]) for one in found if isinstance(one, dict))

    def close(self) -> None:
        self._admin.close()


def cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(broker: KafkaBroker, folder: Path, name: str, workers: int, total: int) -> tuple[float, float]:
    """Exchanges a second that `workers` label workers manage together, and processor seconds for a thousand."""
    broker.create_topic(f"{name}.labels", PARTITIONS)
    broker.create_topic(f"{name}.dead-letters", 1)
    config = folder / f"{name}.toml"
    text = config_text(broker.bootstrap, name, folder).replace(f'topics = ["{name}"]', f'topics = ["{TRAFFIC}"]')
    config.write_text(text)
    processes = [Process("label", config, folder, f"{name}-{number}") for number in range(workers)]
    for one in processes:
        one.start()
    group = Group(broker, name)
    began: tuple[float, int, float] | None = None
    try:
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            done, now, cpu = group.done(), time.monotonic(), sum(map(cpu_seconds, processes))
            if began is None and done > 0 and group.sharing() == workers:
                began = (now, done, cpu)
            if done >= total:
                assert began is not None, "all was done before all workers had a share: more exchanges are needed"
                count = total - began[1]
                return count / (now - began[0]), 1000 * (cpu - began[2]) / count
            time.sleep(0.1)
        raise AssertionError(f"{done} of {total} within 400 s")
    finally:
        group.close()
        for one in processes:
            one.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alignwatch-bench-") as name:
        folder = Path(name)
        broker = KafkaBroker(folder / "kafka")
        try:
            broker.start()
        except BrokerUnavailableError as error:
            sys.exit(f"Kafka can't be started here: {error}")
        try:
            broker.create_topic(TRAFFIC, PARTITIONS)
            total = produce(broker, options.exchanges)
            headers = ["round", "one worker, exchanges/s", "two workers, exchanges/s", "ratio", "CPU s a thousand"]
            table = Table("Label workers", headers)
            for number in range(options.rounds):
                one, two = (run(broker, folder, f"bench-{number}-{count}", count, total) for count in (1, 2))
                row = (f"{number + 1}", f"{one[0]:.0f}", f"{two[0]:.0f}", f"{two[0] / one[0]:.2f}")
                table.rows.append((*row, f"{one[1]:.3f} and {two[1]:.3f}"))
        finally:
            broker.stop()
    print(f"{total} exchanges, {PARTITIONS} partitions, {os.cpu_count()} cores shared with the broker\n")
    print(table.markdown())


if __name__ == "__main__":
    main()
