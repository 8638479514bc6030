"""Ports for servers that must be told theirs before they start, or that keep it while they are down."""

from __future__ import annotations

import os
import random
import socket

# Below those that an operating system gives out by itself (Linux: 32768 and up), or somebody's connection would take a
# port before its server does, or while its server is killed.
RANGE = range(20_000, 32_000)
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago and that nobody in this run was given before.

    Workers of pytest-xdist choose from ports of their own.
    """
    # Not the shared generator, which property tests seed.
    rng = random.SystemRandom()
    step = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = [port for port in RANGE[first % step :: step] if port not in _given]
    found: list[int] = []
    for port in rng.sample(mine, len(mine)):
        if len(found) == count:
            break
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    assert len(found) == count, f"no {count} free ports between {RANGE.start} and {RANGE.stop}"
    _given.update(found)
    return found
