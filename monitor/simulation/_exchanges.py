"""Simulated Exchanges: real texts of labelled pairs, arranged as the traffic of one deployment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import numpy as np

from alignwatch import Exchange
from monitor.clock import Clock
from monitor.errors import ConfigError
from monitor.simulation._identity import Identity
from monitor.simulation._plan import BENIGN, NOISY_USER, Chunk, draw
from monitor.simulation._texts import Pools, read_pools
from monitor.simulation.config import SimulationConfig


def simulate(config: SimulationConfig) -> Iterator[Exchange]:
    """Exchanges of `config` in event-time order, texts drawn with replacement from `config.texts`.

    Raises:
        ConfigError: `texts` is missing, or a filter matches nothing.
        SourceError: the file of pairs can't be read.
    """
    if config.texts is None:
        raise ConfigError(["texts: needed to simulate exchanges; labels need none (simulate_labels)"])
    pools, identity = read_pools(config.texts), Identity(config)
    return (exchange for chunk in draw(config) for exchange in _chunk_exchanges(config, chunk, pools, identity))


def _chunk_exchanges(config: SimulationConfig, chunk: Chunk, pools: Pools, identity: Identity) -> Iterator[Exchange]:
    loose = chunk.changed | (chunk.user == NOISY_USER)
    for i in range(len(chunk.time)):
        harmful, changed = bool(chunk.category[i] != BENIGN), bool(chunk.changed[i])
        prompt, response = pools.pair(float(chunk.choice[i]), harmful=harmful, changed=bool(loose[i]))
        yield Exchange.model_construct(
            id=identity.exchange(chunk.first + i),
            timestamp=datetime.fromtimestamp(float(chunk.time[i]), UTC),
            deployment=config.deployment,
            model=config.model,
            model_digest=identity.digest(changed=changed),
            conversation=identity.conversation(int(chunk.conversation[i])),
            user=identity.user(int(chunk.user[i])),
            tenant=config.tenant,
            messages=None,
            prompt=prompt,
            response=response,
            finish_reason="stop",
            labels=None,
        )


def onset_time(config: SimulationConfig) -> datetime | None:
    """Event time of the first exchange at or after the onset; None when there is none."""
    for chunk in draw(config):
        if chunk.began.any():
            return datetime.fromtimestamp(float(chunk.time[np.argmax(chunk.began)]), UTC)
    return None


def paced(exchanges: Iterable[Exchange], clock: Clock) -> Iterator[Exchange]:
    """Hand out each exchange when `clock` reaches its timestamp; late ones at once (set `start` to the clock's now)."""
    for exchange in exchanges:
        wait = exchange.timestamp.timestamp() - clock.now()
        if wait > 0:
            clock.sleep(wait)
        yield exchange
