from __future__ import annotations

from typing import Any

import pytest

from monitor.errors import SourceError, StateError
from monitor.sources import KafkaConfig
from monitor.state_topic import KafkaStateTopic


class Admin:
    """What a cluster says of a topic with so many partitions."""

    def __init__(self, partitions: int, policy: str) -> None:
        self._partitions, self._policy = partitions, policy

    def __call__(self, **_: Any) -> Admin:
        return self

    def list_topics(self) -> list[str]:
        return ["state"]

    def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": [{}] * self._partitions} for name in topics]

    def describe_configs(self, resources: list[Any], config_filter: str) -> list[str]:
        return [self._policy]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("partitions", "policy", "error", "message"),
    [
        (0, "compact", SourceError, "being made"),
        (3, "compact", StateError, "has 3 partitions and the labels topic 4"),
        (4, "delete", StateError, "set it to compact"),
        (4, "compact", None, ""),
    ],
    ids=["made-a-moment-ago", "another-number", "expiring", "as-it-must-be"],
)
def test_a_state_topic_is_looked_at_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, partitions: int, policy: str, error: type[Exception] | None, message: str
) -> None:
    monkeypatch.setattr("monitor.state_topic.KafkaAdminClient", Admin(partitions, policy))
    topic = KafkaStateTopic(KafkaConfig(), "state")
    if error is None:
        topic.prepare(4)
        return
    with pytest.raises(error, match=message):
        topic.prepare(4)
