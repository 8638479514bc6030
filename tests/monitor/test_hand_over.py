"""Any interleaving of deliver, send again, commit, crash, restore, fail and hand over leaves the same state."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from memory_cluster import MemoryCluster, MemoryMember, MemoryStateStore, MemoryTransactions

from alerts.incidents import with_summary
from alerts.outbox import Outbox
from alignwatch import Behaviour, Label, RequestLabel
from monitor import baseline
from monitor.assembly_roles import partition_of
from monitor.clock import ManualClock
from monitor.dead_letters import MemoryDeadLetters
from monitor.dedup import SeenIds
from monitor.detect_stage import DetectStage
from monitor.detection_config import DetectionConfig
from monitor.engine import Engine
from monitor.envelopes import DecodeLimits
from monitor.errors import SourceError
from monitor.intake import ExchangeIntake, Guards, IntakeConfig, LabelIntake
from monitor.label_stage import LabelStage
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.partition_state import ENGINE, INCIDENT, META, MIGRATIONS, decompressed
from monitor.partition_task import PartitionTask
from monitor.recorded import AttachedOnly
from monitor.sampling import Sampler, SamplingConfig
from monitor.sources import Record, TopicPartition
from monitor.state import State
from monitor.worker import Worker, WorkerConfig

DEPLOYMENTS = ("a", "b", "c", "d")
PARTS = 3
START = datetime(2026, 11, 1, tzinfo=UTC)
TRAFFIC, LABELS, STATE = "traffic", "labels", "state"
DETECTION = DetectionConfig(fleet_deployments=len(DEPLOYMENTS))
PACE = WorkerConfig(max_records=7, poll_seconds=0.001, commit_seconds=1e9, retry_seconds=0.001)


def answered(deployment: str, number: int, *, changed: bool) -> bool:
    digest = hashlib.blake2b(f"{deployment}{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32 < (0.9 if changed else 0.1)


def label(deployment: str, number: int, *, changed: bool) -> Label:
    complied = float(answered(deployment, number, changed=changed))
    return Label(
        id=f"{deployment}{number}",
        timestamp=START + timedelta(seconds=10 * number),
        deployment=deployment,
        user=f"u{number % 89}",
        conversation=f"c{number}",
        request=RequestLabel(harm=0.95, category="cyber"),
        behaviour=Behaviour(refusal=1 - complied, partial=0.0, compliance=complied, degenerate=0.0),
        response_harm=complied * 0.9,
        classifier="fixture",
    )


def exchange(deployment: str, number: int) -> bytes:
    """The `number`th exchange of a deployment; all of them change after the 40th."""
    whole = json.loads(label(deployment, number, changed=number >= 40).to_json())
    verdicts = {name: whole[name] for name in ("request", "behaviour", "response_harm", "classifier")}
    head = {name: whole[name] for name in ("id", "timestamp", "deployment", "user", "conversation")}
    return json.dumps({**head, "prompt": "question", "response": "answer", "labels": verdicts}).encode()


@cache
def baselines() -> dict[str, baseline.Baseline]:
    trusted = [label(name, 10_000 + n, changed=False) for n in range(400) for name in DEPLOYMENTS]
    return {name: one.approve("the tests") for name, one in baseline.fit(trusted, DETECTION).items()}


def guards(seen: SeenIds) -> Guards:
    return Guards(IntakeConfig(), DecodeLimits(), seen, MemoryDeadLetters(), Metrics(), None)


def partition_by_key(key: bytes | None, count: int) -> int:
    return 0 if key is None else partition_of(key.decode(), count)


class LabelWorker:
    """A label worker as `run --role label` makes it, on a cluster in memory."""

    def __init__(self, cluster: MemoryCluster, name: str) -> None:
        seen = SeenIds(1e9)
        clock = ManualClock()
        intake = ExchangeIntake(guards(seen), Sampler(SamplingConfig(), None, clock), LabellingStage(AttachedOnly()))
        self.source = MemoryMember(cluster, "label", name)
        self.transactions = MemoryTransactions(cluster)
        stage = LabelStage(intake, seen, self.transactions, LABELS, self.source.membership)
        self.worker = worker(self.source, stage)


class DetectWorker:
    """A detector as `run --role detect` makes it, with an outbox of its own."""

    def __init__(self, cluster: MemoryCluster, name: str, *, accept_new: bool = False) -> None:
        self.state = State(None)
        outbox = Outbox(self.state.connection, now=lambda: 0.0)
        self.transactions = MemoryTransactions(cluster)
        self.told: list[str] = []

        def make(number: int, count: int) -> PartitionTask:
            mine = {name: one for name, one in baselines().items() if partition_of(name, count) == number}
            seen = SeenIds(1e9)
            return PartitionTask(Engine(DETECTION, mine), LabelIntake(guards(seen)), seen, self.state.connection)

        self.stage = DetectStage(
            make,
            MemoryStateStore(cluster, STATE),
            self.transactions,
            metrics=Metrics(),
            enqueue=lambda incidents: [outbox.enqueue(one, ()) for one in incidents] and None,
            accept_new=accept_new,
            on_incidents=lambda incidents: self.told.extend(one.id for one in incidents),
        )
        self.source = MemoryMember(cluster, "detect", name, self.stage.position_of)
        self.stage.group = self.source
        self.worker = worker(self.source, self.stage)


def worker(source: MemoryMember, stage: LabelStage | DetectStage) -> Worker:
    return Worker(
        source,
        stage,
        dead_letters=MemoryDeadLetters(),
        clock=ManualClock(),
        config=PACE,
        positions={},
        membership=source,
    )


def reference(sent: list[tuple[str, int]]) -> tuple[dict[str, object], dict[str, object]]:
    """Detectors and incidents of a run in one piece."""
    engine = Engine(DETECTION, baselines())
    clock = ManualClock()
    intake = ExchangeIntake(
        guards(SeenIds(1e9)), Sampler(SamplingConfig(), None, clock), LabellingStage(AttachedOnly())
    )
    records = [Record(exchange(*one), TopicPartition("reference", 0), index) for index, one in enumerate(sent)]
    labels = [Label.model_validate_json(one.to_json()) for one in intake.read(records)]
    told = [*engine.process(labels), *engine.open_incidents()]
    # What is open lies there with its present figures.
    incidents = {one.id: with_summary(one).model_dump(mode="json") for one in told}
    return {name: json.loads(line) for name, line in engine.snapshot_parts()[1].items()}, incidents


def on_the_topic(cluster: MemoryCluster) -> tuple[dict[str, object], dict[str, object]]:
    detectors, incidents = {}, {}
    for number in range(PARTS):
        for key, value in MemoryStateStore(cluster, STATE).read(number).items():
            if key.startswith(ENGINE):
                detectors[key.removeprefix(ENGINE).decode()] = json.loads(decompressed(value))
            elif key.startswith(INCIDENT):
                incident = json.loads(decompressed(value))["incident"]
                incidents[incident["id"]] = incident
    return detectors, incidents


class HandOver(RuleBasedStateMachine):
    """Two label workers and two detectors, to which anything may happen."""

    @initialize()
    def begin(self) -> None:
        self.cluster = MemoryCluster(partition_by_key)
        for topic in (TRAFFIC, LABELS):
            self.cluster.create(topic, PARTS)
        self.workers: dict[str, LabelWorker | DetectWorker] = {
            "l0": LabelWorker(self.cluster, "l0"),
            "l1": LabelWorker(self.cluster, "l1"),
            "d0": DetectWorker(self.cluster, "d0"),
            "d1": DetectWorker(self.cluster, "d1"),
        }
        self.sent: list[tuple[str, int]] = []
        self.next = dict.fromkeys(DEPLOYMENTS, 0)
        self.hand_over("label", 0)
        self.hand_over("detect", 0)

    @rule(name=st.sampled_from(DEPLOYMENTS), count=st.integers(1, 30))
    def deliver(self, name: str, count: int) -> None:
        for _ in range(count):
            self.sent.append((name, self.next[name]))
            self.cluster.append(TRAFFIC, name.encode(), exchange(name, self.next[name]))
            self.next[name] += 1

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        if self.sent:
            name, number = data.draw(st.sampled_from(self.sent))
            self.cluster.append(TRAFFIC, name.encode(), exchange(name, number))

    @rule(who=st.sampled_from(["l0", "l1", "d0", "d1"]), turns=st.integers(1, 6))
    def work(self, who: str, turns: int) -> None:
        for _ in range(turns):
            self.workers[who].worker.step()

    @rule(who=st.sampled_from(["d0", "d1"]))
    def commit(self, who: str) -> None:
        self.workers[who].worker.commit()

    @rule(who=st.sampled_from(["l0", "l1", "d0", "d1"]), fault=st.sampled_from(["before", "after"]))
    def fail_the_next_commit(self, who: str, fault: str) -> None:
        self.workers[who].transactions.fault = fault  # type: ignore[assignment]

    @rule(who=st.sampled_from(["l0", "l1", "d0", "d1"]))
    def crash(self, who: str) -> None:
        """The process is gone with everything in memory; the group notices, and the new one is given the same."""
        kind = LabelWorker if who.startswith("l") else DetectWorker
        self.workers[who] = kind(self.cluster, who)
        name = "label" if who.startswith("l") else "detect"
        self.cluster.assign(name, self.cluster.group(name).owners)

    @rule(group=st.sampled_from(["label", "detect"]), pattern=st.integers(0, 2**PARTS - 1))
    def hand_over(self, group: str, pattern: int) -> None:
        parts = self.cluster.parts(TRAFFIC if group == "label" else LABELS)
        first = frozenset(part for part in parts if pattern >> part.partition & 1)
        names = ("l0", "l1") if group == "label" else ("d0", "d1")
        self.cluster.assign(group, {names[0]: first, names[1]: frozenset(parts) - first})

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        for group, names in (("label", ("l0", "l1")), ("detect", ("d0", "d1"))):
            topic = TRAFFIC if group == "label" else LABELS
            for _ in range(400):
                for name in names:
                    self.workers[name].worker.step()
                    if group == "detect":
                        self.workers[name].worker.commit()
                places = self.cluster.group(group).offsets
                if all(places.get(part, 0) >= self.cluster.end(part) for part in self.cluster.parts(topic)):
                    break
            else:
                raise AssertionError(f"{group} does not come to the end")
        ids = [json.loads(one.value or b"")["id"] for log in self.cluster.topics[LABELS] for one in log]
        for name in DEPLOYMENTS:
            # A gateway may send an exchange twice, and a label worker that was restarted can't know: detectors do.
            mine = [one for one in ids if one.startswith(name)]
            assert list(dict.fromkeys(mine)) == [f"{name}{number}" for number in range(self.next[name])]
        detectors, incidents = on_the_topic(self.cluster)
        wanted_detectors, wanted_incidents = reference(self.sent)
        assert {name: one for name, one in detectors.items() if one["labels"]} == {  # type: ignore[index]
            name: one
            for name, one in wanted_detectors.items()
            if one["labels"]  # type: ignore[index]
        }
        assert incidents == wanted_incidents


TestHandOver = HandOver.TestCase
TestHandOver.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_an_incident_that_changes_in_the_batch_that_opened_it_is_kept_as_it_is_at_the_end():
    machine = HandOver()
    machine.begin()
    machine.deliver(count=24, name="b")
    for _ in range(4):  # so that a second statistic joins within the batch, and nothing changes after it
        machine.cluster.append(TRAFFIC, b"b", exchange("b", 0))
    machine.deliver(count=26, name="b")
    machine.teardown()


def loaded(count: int = 60) -> MemoryCluster:
    """A cluster whose traffic has been labelled and counted by one worker of each role."""
    cluster = MemoryCluster(partition_by_key)
    for topic in (TRAFFIC, LABELS):
        cluster.create(topic, PARTS)
    for number in range(count):
        for name in DEPLOYMENTS:
            cluster.append(TRAFFIC, name.encode(), exchange(name, number))
    cluster.assign("label", {"l": frozenset(cluster.parts(TRAFFIC))})
    label_worker = LabelWorker(cluster, "l")
    for _ in range(count):
        label_worker.worker.step()
    count_all(cluster, DetectWorker(cluster, "d"))
    return cluster


def count_all(cluster: MemoryCluster, detector: DetectWorker) -> DetectWorker:
    cluster.assign("detect", {detector.source.name: frozenset(cluster.parts(LABELS))})
    for _ in range(100):
        detector.worker.step()
    assert detector.worker.commit()
    return detector


def test_a_rise_is_found_and_told_once_over_a_hand_over() -> None:
    cluster = loaded()
    _, incidents = on_the_topic(cluster)
    assert {one["deployment"] for one in incidents.values()} == set(DEPLOYMENTS)  # type: ignore[index]
    second = count_all(cluster, DetectWorker(cluster, "e"))
    assert sorted(second.told) == sorted(incidents), "queued again by the new owner, which knows what was delivered"


def test_a_member_that_was_replaced_can_not_commit() -> None:
    cluster = loaded(30)
    first, second = DetectWorker(cluster, "d"), DetectWorker(cluster, "e")
    count_all(cluster, first)
    cluster.append(LABELS, b"a", label("a", 30, changed=False).to_json().encode())
    first.worker.step()
    cluster.assign("detect", {"e": frozenset(cluster.parts(LABELS))})
    before = on_the_topic(cluster)
    assert not first.worker.commit()
    assert on_the_topic(cluster) == before
    for _ in range(10):
        second.worker.step()
    assert second.worker.commit()
    assert on_the_topic(cluster)[0]["a"]["labels"] == 31  # type: ignore[index]


def lose(cluster: MemoryCluster) -> str:
    cluster.topics[STATE] = [[] for _ in range(PARTS)]
    return "lost or cut off"


def forget_one_record(cluster: MemoryCluster) -> str:
    for log in cluster.topics[STATE]:
        log[:] = [one for one in log if one.key is None or not one.key.startswith(ENGINE + b"a")]
    return "do not match the checksum"


def damage(cluster: MemoryCluster) -> str:
    for log in cluster.topics[STATE]:
        log[:] = [one._replace(value=(one.value or b"")[:-3]) if one.key != META else one for one in log]
    return "damaged"


def from_the_future(cluster: MemoryCluster) -> str:
    for log in cluster.topics[STATE]:
        log[:] = [one._replace(value=(one.value or b"").replace(b'"format": 1', b'"format": 9')) for one in log]
    return "state format 9; this version reads format 1"


def more_partitions(cluster: MemoryCluster) -> str:
    for topic in (LABELS, STATE):
        cluster.topics[topic].append([])
    return "it has 4 now"


@pytest.mark.parametrize("harm", [lose, forget_one_record, damage, from_the_future, more_partitions])
def test_a_state_that_is_lost_or_damaged_is_refused_until_it_is_accepted(
    harm: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.detect_stage.CATCH_UP_SECONDS", 0.0)
    cluster = loaded(30)
    message = harm(cluster)  # type: ignore[operator]
    refusing = DetectWorker(cluster, "e")
    cluster.assign("detect", {"e": frozenset(cluster.parts(LABELS))})
    with pytest.raises(SourceError, match=f"{message}.*--accept-new-state"):
        refusing.source.poll(10, 0.0)
    refusing.worker.step()
    assert "--accept-new-state" in (refusing.worker.fault or "")

    accepting = DetectWorker(cluster, "f", accept_new=True)
    cluster.append(LABELS, b"a", label("a", 30, changed=False).to_json().encode())
    count_all(cluster, accepting)
    again = count_all(cluster, DetectWorker(cluster, "g"))
    (found,) = [one for one in again.stage.status() if one.name == "a"]
    assert found.labels < 30, "counted since, and nothing of what was there before"


@pytest.mark.parametrize(("accept_new", "seconds"), [(False, 5.0), (True, 30.0)])
def test_partitions_that_lag_share_the_time_to_catch_up(
    monkeypatch: pytest.MonkeyPatch, *, accept_new: bool, seconds: float
) -> None:
    """But not where a partition that seems lost is started anew: there each has all of it."""
    clock = ManualClock(0.0)
    monkeypatch.setattr("monitor.detect_stage.time", SimpleNamespace(monotonic=clock.now, sleep=clock.sleep))
    stage = DetectWorker(loaded(1), "e", accept_new=accept_new).stage
    for number in range(6):
        stage._read(number % 3, committed=10_000)
    assert clock.now() == pytest.approx(seconds, abs=1.0)
    stage.commit({})
    began = clock.now()
    stage._read(0, committed=10_000)
    assert clock.now() - began == pytest.approx(5.0, abs=0.2), "the next rebalance has time again"


def test_a_migration_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = loaded(30)
    before = on_the_topic(cluster)
    from_the_future(cluster)

    def back(entries: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return {**entries, META: entries[META].replace(b'"format": 9', b'"format": 1')}

    monkeypatch.setitem(MIGRATIONS, 9, back)
    detector = count_all(cluster, DetectWorker(cluster, "e"))
    assert sum(one.labels for one in detector.stage.status()) == 30 * len(DEPLOYMENTS)
    assert on_the_topic(cluster) == before
