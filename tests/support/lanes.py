"""Who of two workers of pytest-xdist runs what: all that starts Kafka brokers is one lane, every other file its own.

A lane is one worker's from beginning to end, so that a run has one shared broker, and tests that wait for brokers and
processes have a core beside them that only computes.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import pytest

BROKERS = "brokers"
WITH_BROKERS = re.compile(r"test_(end_to_end|faults|http_door_kafka|kafka_\w+|roles)\.py")
LONGEST = "test_end_to_end.py"


def lane_of(nodeid: str) -> str:
    """The lane of a test, by its file."""
    file = PurePath(nodeid.partition("::")[0])
    return BROKERS if "integration" in file.parts and WITH_BROKERS.fullmatch(file.name) else str(file)


def sort_for_workers(items: list[pytest.Item]) -> None:
    """The brokers first, as they take longest, and the longest first among them; then files with slow tests."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[bool, bool, bool]:
        return lane_of(item.nodeid) != BROKERS, item.path.name != LONGEST, item.path not in slow

    items.sort(key=place)


def scheduler(config: pytest.Config, log: Any) -> Any:
    """What shares the tests out by lanes, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - there only where tests run on workers

    class Lanes(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return lane_of(nodeid)

    config.option.loadscopereorder = False
    return Lanes(config, log)
