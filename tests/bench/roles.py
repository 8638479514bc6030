"""What a second label worker brings: exchanges a second from traffic to labels in transactions, with one and with two.

    python tests/bench/roles.py --exchanges 30000 --rounds 3

Verdicts come attached, so it is decoding, sampling, labels and transactions that are measured, not a classifier. Every
round runs one worker and two workers on the same traffic, in turn; the rate is taken from the first transaction on.
Broker and workers share the machine's cores: where it has few, the ratio says more about them than about the workers.
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
from kafka_broker import BrokerUnavailableError, KafkaBroker  # noqa: E402
from workers import Process, config_text, group_positions  # noqa: E402

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


def run(broker: KafkaBroker, folder: Path, name: str, workers: int, total: int) -> float:
    """Exchanges a second that `workers` label workers manage together."""
    broker.create_topic(f"{name}.labels", PARTITIONS)
    broker.create_topic(f"{name}.dead-letters", 1)
    config = folder / f"{name}.toml"
    text = config_text(broker.bootstrap, name, folder).replace(f'topics = ["{name}"]', f'topics = ["{TRAFFIC}"]')
    config.write_text(text)
    processes = [Process("label", config, folder, f"{name}-{number}") for number in range(workers)]
    # All have joined before there is anything to measure: the topic is filled, so the group is given its offsets late.
    for one in processes:
        one.start()
    began = done = None
    try:
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            done = sum(group_positions(broker, name).values())
            now = time.monotonic()
            if began is None and done > 0:
                began = (now, done)
            if done >= total:
                assert began is not None
                return (total - began[1]) / (now - began[0])
            time.sleep(0.1)
        raise AssertionError(f"{done} of {total} within 400 s")
    finally:
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
            table = Table("Label workers", ["round", "one worker, exchanges/s", "two workers, exchanges/s", "ratio"])
            for number in range(options.rounds):
                one, two = (run(broker, folder, f"bench-{number}-{count}", count, total) for count in (1, 2))
                table.rows.append((f"{number + 1}", f"{one:.0f}", f"{two:.0f}", f"{two / one:.2f}"))
        finally:
            broker.stop()
    print(f"{total} exchanges, {PARTITIONS} partitions, {os.cpu_count()} cores shared with the broker\n")
    print(table.markdown())


if __name__ == "__main__":
    main()
