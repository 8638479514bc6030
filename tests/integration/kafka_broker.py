"""Controls one real Apache Kafka broker through the operator's own script: start, kill, restart, stop, topics."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from free_ports import free_ports
from kafka.admin import KafkaAdminClient, NewTopic

SCRIPT = Path(__file__).parents[2] / "deploy" / "kafka-local" / "kafka-local.sh"
START_SECONDS = 240  # a first start downloads 54 MB


class BrokerUnavailableError(Exception):
    """The broker can't be started on this machine; the message says why."""


def _gone(pid: int) -> bool:
    """Whether a process that is no child of ours has ended, even if nobody has taken its exit status yet."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        # Gone in between, or no Linux: the next signal will tell.
        return False


class KafkaBroker:
    """A single KRaft node in `folder`; `bootstrap` stays the same over kills and restarts.

    `properties` are broker settings that win over the script's; `{port}` and `{controller_port}` are filled in. A node
    of a cluster is told its two ports and the id of the cluster.

    >>> broker = KafkaBroker(tmp_path)          # doctest: +SKIP
    >>> broker.start(); broker.bootstrap        # doctest: +SKIP
    '127.0.0.1:40123'
    """

    def __init__(
        self,
        folder: Path,
        properties: str = "",
        heap: str = "512m",
        ports: Sequence[int] | None = None,
        cluster_id: str | None = None,
    ) -> None:
        port, controller_port = ports or free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        self._folder = folder
        self._environment = {
            **os.environ,
            "KAFKA_LOCAL_DIR": str(folder),
            "KAFKA_LOCAL_PORT": str(port),
            "KAFKA_LOCAL_CONTROLLER_PORT": str(controller_port),
            "KAFKA_LOCAL_HEAP": heap,
            "KAFKA_LOCAL_START_SECONDS": "200",
        }
        if cluster_id is not None:
            self._environment["KAFKA_LOCAL_CLUSTER_ID"] = cluster_id
        if properties:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / "more.properties"
            file.write_text(properties.format(port=port, controller_port=controller_port))
            self._environment["KAFKA_LOCAL_PROPERTIES"] = str(file)

    def start(self) -> None:
        """Start and wait until it answers a metadata request.

        Raises:
            BrokerUnavailableError: no Java, no Maven, no network for the first download, or it did not come up.
        """
        if shutil.which("java") is None:
            raise BrokerUnavailableError("no java on PATH (Kafka 4 needs a JDK or JRE >= 17)")
        self._script("start")

    def stop(self) -> None:
        """Stop in an orderly way."""
        self._script("stop")

    def kill(self) -> None:
        """SIGKILL: what a lost machine looks like to its clients."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        while not _gone(pid):
            time.sleep(0.02)

    def kill_if_running(self) -> None:
        """The same, for a broker that may be gone already or may never have started."""
        try:
            self.kill()
        except (ProcessLookupError, FileNotFoundError):
            return

    def restart(self) -> None:
        """Start again on the same data and ports; wait until it answers."""
        self._script("start")

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return int((self._folder / "pid").read_text())

    def create_topic(self, name: str, partitions: int = 1, **settings: str) -> str:
        """Create `name` with topic `settings` (`max_message_bytes="..."`) and return the name."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        configs = {key.replace("_", "."): value for key, value in settings.items()}
        try:
            # -1: as many replicas as the broker makes by default, one for each of its nodes.
            admin.create_topics([NewTopic(name, partitions, -1, topic_configs=configs)])
        finally:
            admin.close()
        return name

    def delete_topic(self, name: str) -> None:
        """Remove a topic and everything on it."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.delete_topics([name])
        finally:
            admin.close()

    def _script(self, *arguments: str) -> str:
        done = subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BrokerUnavailableError(f"kafka-local.sh {' '.join(arguments)}: {last_line}")
        return done.stdout.strip()
