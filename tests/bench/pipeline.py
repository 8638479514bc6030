"""How much the pipeline adds around the model, what it reads from Kafka, how large it is and how soon it is ready.

python tests/bench/pipeline.py                         # all three parts; the second and third need a JDK
python tests/bench/pipeline.py --part label --pairs 800

Every ratio compares two things done in turn in one run. CPU seconds stand beside wall-clock ones, since those depend on
whatever else the machine is doing. Prints Markdown, asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from _tables import Table
from kafka import KafkaConsumer

from alignwatch import Exchange
from classifiers import Classifier, Pair, Screen, load_classifier, load_screen
from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from monitor.assembly import Given, assemble
from monitor.clock import ManualClock, SystemClock
from monitor.config import HttpConfig, Settings, StateConfig, load
from monitor.dead_letters import MemoryDeadLetters
from monitor.demo import Traffic, exchanges_between, load_corpus
from monitor.demo._stage import fit_baseline
from monitor.engine import Engine
from monitor.errors import SourceError
from monitor.intake import ExchangeIntake
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.recorded import detection_config, guards, seen_ids
from monitor.sampling import Sampler, SamplingConfig
from monitor.sources import KafkaConfig, KafkaProducerSink, KafkaSource, MemorySource
from monitor.sources._convert import consumer_options
from monitor.worker import WorkerConfig

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from kafka_broker import BrokerUnavailableError, KafkaBroker  # noqa: E402 - the path comes first

START = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
LABEL_BATCH = 256
"""As the labelling stage hands pairs to the classifier."""
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Timing:
    """What a piece of work took."""

    wall: float
    cpu: float

    @classmethod
    def of(cls, work: Callable[[], Any]) -> Timing:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return cls(time.perf_counter() - wall, time.process_time() - cpu)


def median(timings: list[Timing]) -> Timing:
    return Timing(statistics.median(one.wall for one in timings), statistics.median(one.cpu for one in timings))


def rate(count: int, seconds: float) -> str:
    return f"{count / seconds:,.0f}"


def corpus_traffic(count: int, seed: int = 1) -> list[Exchange]:
    return list(exchanges_between(Traffic(load_corpus(), seed=seed), START, START + count, 1.0))


# --- labelled pairs a second, beside the bare session -----------------------------------------------------------------


def bare_feeds(classifier: Classifier, traffic: list[Exchange]) -> list[dict[str, Any]]:
    """The session's inputs for exactly the tokens that the pipeline reads, in its batches."""
    encoder = classifier.encoder
    feeds = []
    for at in range(0, len(traffic), LABEL_BATCH):
        pairs = [Pair(one.prompt or "", one.response) for one in traffic[at : at + LABEL_BATCH]]
        requests = classifier.request_sequences(pairs)
        answers = classifier.answer_sequences([pair.response or "" for pair in pairs])
        for sequences, kind in ((requests, REQUEST_TYPE), (answers, ANSWER_TYPE)):
            feeds += [encoder.feed([sequences[i] for i in batch], kind) for batch in encoder.batches(sequences)]
    return feeds


def whole_path(folder: Path, traffic: list[Exchange], baseline: Any, number: int) -> Callable[[], None]:
    """The sidecar over a memory source: decode, sample, screen, label, detect, commit to a file."""
    plain = load(None, {}).settings
    settings: Settings = plain.model_copy(
        update={
            "sampling": SamplingConfig(uniform_rate=1.0),
            "state": StateConfig(path=folder / f"state-{number}.sqlite3"),
            "http": HttpConfig(enabled=False),
            "worker": WorkerConfig(max_records=LABEL_BATCH, poll_seconds=0.01),
            "alerts": plain.alerts.model_copy(update={"sinks": ()}),
        }
    )
    source = MemorySource()
    for one in traffic:
        source.put(one.to_json().encode())
    source.finish()
    engine = Engine(detection_config(settings), {baseline.deployment: baseline})
    service = assemble(settings, given=Given(source=source, clock=ManualClock(START + len(traffic)), engine=engine))
    return service.run


def labelled_pairs(count: int, rounds: int) -> Table:
    classifier = load_classifier(threads=1)
    traffic = corpus_traffic(count)
    feeds = bare_feeds(classifier, traffic)
    session = classifier.encoder.session
    tokens = sum(int(np.count_nonzero(feed["attention_mask"])) for feed in feeds)
    baseline = fit_baseline(load(None, {}).settings, _Quick(), end=START)

    def bare() -> None:
        for feed in feeds:
            session.run(["logits"], feed)

    bare()
    session_times, path_times = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            session_times.append(Timing.of(bare))
            path_times.append(Timing.of(whole_path(Path(folder), traffic, baseline, number)))
    one, whole = median(session_times), median(path_times)
    table = Table(
        "Labelled pairs a second, one thread",
        ("what", "pairs/s", "pairs a CPU second", "share of the session's"),
        [
            f"{count} pairs of the demo's traffic, {tokens / count:.0f} tokens a pair; median of {rounds} rounds in turn.",
            "Target: at least 0.9 of the bare session on the same tokens.",
        ],
    )
    table.rows.append(("bare ONNX session", rate(count, one.wall), rate(count, one.cpu), "1"))
    table.rows.append(
        (
            "decode, sample, screen, label, detect, commit",
            rate(count, whole.wall),
            rate(count, whole.cpu),
            f"{one.wall / whole.wall:.3f} ({one.cpu / whole.cpu:.3f} of CPU time)",
        )
    )
    return table


class _Quick:
    """Labels for a baseline that only has to be there: what it says does not change what the path costs."""

    digest = "sha256:" + "0" * 64

    def label(self, pairs: Any) -> Any:
        from alignwatch import Behaviour, RequestLabel  # noqa: PLC0415 - used here alone
        from classifiers import PairLabels  # noqa: PLC0415 - as above

        refused = Behaviour(refusal=0.9, partial=0.0, compliance=0.1)
        return [PairLabels(RequestLabel(harm=0.9, category="cyber"), refused, 0.1, None) for _ in pairs]


# --- exchanges a second from Kafka ------------------------------------------------------------------------------------


@contextmanager
def broker() -> Iterator[KafkaBroker]:
    with tempfile.TemporaryDirectory() as folder:
        one = KafkaBroker(Path(folder))
        one.start()
        try:
            yield one
        finally:
            one.stop()


def produce(kafka: KafkaBroker, topic: str, traffic: list[Exchange]) -> int:
    kafka.create_topic(topic)
    producer = KafkaProducerSink(KafkaConfig(bootstrap_servers=(kafka.bootstrap,)))
    size = 0
    for one in traffic:
        value = one.to_json().encode()
        size += len(value)
        producer.send(topic, None, value)
    while True:
        try:
            producer.flush()
            break
        except SourceError:
            continue  # a busy machine: what is not confirmed is kept and sent again
    producer.close()
    return size


def consumer_config(kafka: KafkaBroker | At, topic: str, group: str) -> KafkaConfig:
    return KafkaConfig(bootstrap_servers=(kafka.bootstrap,), topics=(topic,), group_id=group)


def consume_bare(kafka: KafkaBroker | At, topic: str, count: int, group: str) -> None:
    """The client alone, with the options that our source gives it."""
    consumer = KafkaConsumer(topic, **consumer_options(consumer_config(kafka, topic, group)))
    left = count
    while left > 0:
        left -= sum(map(len, consumer.poll(500).values()))
    consumer.close(autocommit=False)


def consume_plain(kafka: KafkaBroker, topic: str, count: int, group: str) -> Timing:
    """The client alone as it installs without its extra `crc32c`, in a process of its own."""
    code = (
        "import sys; sys.modules['crc32c'] = None; sys.path.insert(0, sys.argv[1]); import pipeline as bench;"
        "bench.one_core(); topic, count, group = sys.argv[3], int(sys.argv[4]), sys.argv[5];"
        "one = bench.Timing.of(lambda: bench.consume_bare(bench.At(sys.argv[2]), topic, count, group));"
        "print(one.wall, one.cpu)"
    )
    arguments = (str(Path(__file__).parent), kafka.bootstrap, topic, str(count), group)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    wall, cpu = done.stdout.split()
    return Timing(float(wall), float(cpu))


@dataclass(frozen=True)
class At:
    """A broker that somebody else has started."""

    bootstrap: str


def consume_screened(
    kafka: KafkaBroker, topic: str, count: int, group: str, budget: float, classifier: Classifier, screen: Screen
) -> Metrics:
    settings = load(None, {}).settings
    metrics = Metrics()
    clock = SystemClock()
    checks = guards(settings, metrics, MemoryDeadLetters(), None, seen_ids(settings))
    sampling = SamplingConfig(budget_pairs_per_second=budget, burst_seconds=0.1)
    intake = ExchangeIntake(checks, Sampler(sampling, screen, clock), LabellingStage(classifier))
    source = KafkaSource(consumer_config(kafka, topic, group))
    source.start({})
    left = count
    while left > 0:
        records = source.poll(500, 0.5)
        intake.read(records)
        left -= len(records)
    source.close()
    return metrics


def one_core() -> None:
    """From now on this thread, and those it starts, share one core; the broker keeps what it has."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def exchanges_from_kafka(kafka: KafkaBroker, count: int, rounds: int, budget: float) -> Table:
    traffic = corpus_traffic(count, seed=2)
    size = produce(kafka, "bench-traffic", traffic)
    del traffic  # or the garbage collector would look at it again and again
    one_core()
    classifier, screen = load_classifier(threads=1), load_screen()
    plain, bare, screened = [], [], []
    labelled = 0

    def read(number: int) -> None:
        nonlocal labelled
        group = f"screened-{number}"
        metrics = consume_screened(kafka, "bench-traffic", count, group, budget, classifier, screen)
        labelled = metrics.counters().labelled

    for number in range(rounds):
        plain.append(consume_plain(kafka, "bench-traffic", count, f"plain-{number}"))
        bare.append(Timing.of(lambda: consume_bare(kafka, "bench-traffic", count, f"bare-{number}")))  # noqa: B023 - run at once
        screened.append(Timing.of(lambda: read(number)))  # noqa: B023 - as above
    slow, one, ours = median(plain), median(bare), median(screened)
    table = Table(
        "Exchanges a second from a real Kafka, the labelling budget full",
        ("what", "exchanges/s", "exchanges a CPU second", "ours over it", "of CPU time"),
        [
            f"{count:,} exchanges, {size / count:.0f} bytes each, joining the group included, the same consumer settings,"
            f" all threads on one core; median of {rounds} rounds in turn.",
            f"Budget {budget:g} pairs/s: {labelled} were labelled. Target: at least 3,000 a core, and 0.5 of kafka-python.",
        ],
    )
    for name, timing in (
        ("kafka-python alone, as it installs", slow),
        ("kafka-python alone, with its extra crc32c", one),
        ("consume, decode, sample, screen, label within the budget", ours),
    ):
        ratios = (f"{timing.wall / ours.wall:.2f}", f"{timing.cpu / ours.cpu:.2f}")
        table.rows.append((name, rate(count, timing.wall), rate(count, timing.cpu), *ratios))
    return table


# --- the sidecar's size and start -------------------------------------------------------------------------------------


class Sidecar:
    """`alignwatch run` as an operator starts it."""

    def __init__(self, folder: Path, kafka: KafkaBroker, topic: str) -> None:
        config = folder / "alignwatch.toml"
        config.write_text(
            f"""
            [source.kafka]
            bootstrap_servers = ["{kafka.bootstrap}"]
            topics = ["{topic}"]
            group_id = "{folder.name}"
            [intake]
            max_past_seconds = 1e9
            max_future_seconds = 1e9
            [state]
            path = "{folder}/state.sqlite3"
            [http]
            port = 0
            """
        )
        self.began = time.perf_counter()
        self.cpu = 0.0
        code = "from monitor.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "run", "-c", str(config)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("status page: "):
                self.url = line.split(": ", 1)[1].strip()
                break

    def until(self, reached: Callable[[], bool]) -> float:
        """Seconds from the start until then."""
        while time.perf_counter() - self.began < READY_SECONDS:
            try:
                if reached():
                    return time.perf_counter() - self.began
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise TimeoutError(f"not reached in {READY_SECONDS:.0f} s")

    def ready(self) -> bool:
        return httpx.get(f"{self.url}/readyz").status_code == 200

    def received(self) -> int:
        return int(httpx.get(f"{self.url}/status").json()["pipeline"]["received"])

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> float:
        """MiB of `VmRSS` or `VmHWM`."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def size_and_start(kafka: KafkaBroker, count: int, rounds: int) -> Table:
    produce(kafka, "bench-sidecar", corpus_traffic(count, seed=3))
    ready, cpu, idle, resident, peak = [], [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="alignwatch-bench-") as folder:
            one = Sidecar(Path(folder), kafka, "bench-sidecar")
            try:
                ready.append(one.until(one.ready))
                cpu.append(one.cpu_seconds())
                idle.append(one.memory("VmRSS"))
                one.until(lambda: one.received() >= count)  # noqa: B023 - run at once
                resident.append(one.memory("VmRSS"))
                peak.append(one.memory("VmHWM"))
            finally:
                one.stop()
    table = Table(
        "The sidecar's memory and start",
        ("what", "median", "target"),
        [f"`alignwatch run` on a real broker, then {count:,} exchanges; {rounds} rounds."],
    )
    table.rows += [
        ("start to ready", f"{statistics.median(ready):.2f} s", "3 s"),
        ("CPU time until ready", f"{statistics.median(cpu):.2f} s", ""),
        ("resident when ready", f"{statistics.median(idle):.0f} MiB", ""),
        (f"resident after {count:,} exchanges", f"{statistics.median(resident):.0f} MiB", "350 MB (334 MiB)"),
        ("peak", f"{statistics.median(peak):.0f} MiB", ""),
    ]
    return table


def machine() -> str:
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next((x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if "model name" in x), name)
    load1 = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, load average {load1:.1f} at the start"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["label", "kafka", "sidecar"], action="append")
    parser.add_argument("--pairs", type=int, default=768)
    parser.add_argument("--exchanges", type=int, default=40_000)
    parser.add_argument("--sidecar-exchanges", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=5.0)
    options = parser.parse_args()
    parts = set(options.part or ["label", "kafka", "sidecar"])
    print(f"Machine: {machine()}\n", flush=True)
    if "label" in parts:
        print(labelled_pairs(options.pairs, options.rounds).markdown(), flush=True)
    if parts & {"kafka", "sidecar"}:
        try:
            with broker() as kafka:
                if "sidecar" in parts:
                    print(size_and_start(kafka, options.sidecar_exchanges, options.rounds).markdown(), flush=True)
                if "kafka" in parts:
                    table = exchanges_from_kafka(kafka, options.exchanges, options.rounds, options.budget)
                    print(table.markdown(), flush=True)
        except BrokerUnavailableError as error:
            print(f"The other parts need a broker: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
