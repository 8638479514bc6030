"""Three real brokers that replicate each other, any of which may be lost."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from free_ports import free_ports
from kafka.admin import KafkaAdminClient
from kafka_broker import KafkaBroker

NODES = 3
PROPERTIES = """
node.id={node}
controller.quorum.voters={voters}
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
# Twice that of a single node: on a busy machine a short one takes the living for dead.
broker.session.timeout.ms=6000
# A transaction that a killed process left open holds up readers until the broker has noticed.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""


class KafkaCluster:
    """KRaft nodes 1 to 3 in `folder`, each both broker and controller, with every record on all of them.

    A write needs two of the three, so the loss of any one of them loses nothing and stops nothing for long.
    """

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2 * NODES)
        pairs = list(zip(ports[::2], ports[1::2], strict=True))
        voters = ",".join(f"{node}@127.0.0.1:{controller}" for node, (_, controller) in enumerate(pairs, 1))
        identity = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=").replace("-", "A")
        self.nodes = {
            node: KafkaBroker(
                folder / f"node-{node}",
                PROPERTIES.format(node=node, voters=voters),
                heap="256m",
                ports=pair,
                cluster_id=identity,
            )
            for node, pair in enumerate(pairs, 1)
        }

    @property
    def addresses(self) -> list[str]:
        """Of all nodes, whether they run or not."""
        return [one.bootstrap for one in self.nodes.values()]

    def start(self) -> None:
        """Start all and wait until each answers: none can alone.

        Raises:
            BrokerUnavailableError: as for one broker.
        """
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(KafkaBroker.start, self.nodes.values()))

    def leader_of(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition."""
        admin = KafkaAdminClient(bootstrap_servers=self.addresses)
        try:
            parts = admin.describe_topics([topic])[0]["partitions"]
        finally:
            admin.close()
        return int(next(one["leader_id"] for one in parts if one["partition_index"] == partition))

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self.nodes[node].kill()

    def stop(self) -> None:
        """End all at once: the last ones would wait in vain for a quorum to leave in order."""
        for one in self.nodes.values():
            one.kill_if_running()
