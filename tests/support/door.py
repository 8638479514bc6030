"""The HTTP door on a real loopback socket, with its spool in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_service import FakeView

from alignwatch import Exchange
from monitor.envelopes import DecodeLimits, Half, JoinBuffer, Skipped, decode_record
from monitor.http import Door, HttpServer, create_app
from monitor.metrics import Metrics
from monitor.sources import HttpSource, HttpSourceConfig


class OpenDoor:
    """A served door: `url`, and what was delivered so far."""

    def __init__(self, folder: Path, **door: Any) -> None:
        self._source = HttpSource(HttpSourceConfig(spool=folder / "spool"))
        self._source.start({})
        self._joins = JoinBuffer(DecodeLimits(), seconds=60.0, capacity=100, max_bytes=1 << 24)
        self._server = HttpServer(create_app(FakeView(), Metrics(), door=Door(self._source, **door)))
        self._server.start()
        self.url = self._server.url
        self.skipped: dict[str, int] = {}

    def exchanges(self) -> list[Exchange]:
        """Exchanges in the records that came since the last call; halves are joined."""
        found: list[Exchange] = []
        for record in self._source.poll(10_000, 0.0):
            for one in decode_record(record, limits=DecodeLimits(), default_deployment=None):
                if isinstance(one, Exchange):
                    found.append(one)
                elif isinstance(one, Half):
                    found += self._joins.add(one, record, 0.0)
                elif isinstance(one, Skipped):
                    self.skipped[one.reason] = self.skipped.get(one.reason, 0) + one.count
        return found

    def close(self) -> None:
        self._server.stop()
        self._source.close()


@contextmanager
def open_door(folder: Path, **door: Any) -> Iterator[OpenDoor]:
    one = OpenDoor(folder, **door)
    try:
        yield one
    finally:
        one.close()
