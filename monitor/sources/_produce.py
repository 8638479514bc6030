"""Sends records to Kafka, at least once: what a broker did not confirm is kept and sent again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.errors import SourceError
from monitor.sources._base import Header
from monitor.sources._client import Connector
from monitor.sources._config import KafkaConfig

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 15.0
LINGER_MS: Final = 20


class _Pending(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[Header, ...]
    future: Any
    """kafka-python's future; None where the record could not even be queued."""


class KafkaProducerSink:
    """An idempotent producer with acks from all replicas; connects at the first use.

    Args:
        config: the cluster and its security; consumer settings are ignored.
        max_request_size: largest request in bytes.

    Unconfirmed records are held in memory until a `flush` succeeds: callers stop taking in more when it fails.
    """

    def __init__(self, config: KafkaConfig, *, max_request_size: int = 1 << 20) -> None:
        self._options = {
            "bootstrap_servers": list(config.bootstrap_servers),
            "client_id": config.client_id,
            "bootstrap_timeout_ms": config.bootstrap_timeout_ms,
            "request_timeout_ms": config.request_timeout_ms,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": LINGER_MS,
            "compression_type": "lz4",
            "max_block_ms": config.bootstrap_timeout_ms,
            "max_request_size": max_request_size,
            **config.client_options(),
        }
        self._connector = Connector(KafkaProducer, self._options)
        self._pending: list[_Pending] = []

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[Header] = ()) -> None:
        """Queue a record; never fails, a broker that is away shows at `flush`."""
        self._pending.append(self._queue(topic, key, value, tuple(headers)))

    def _queue(self, topic: str, key: bytes | None, value: bytes, headers: tuple[Header, ...]) -> _Pending:
        future = None
        producer = self._connector.get()
        if producer is not None:
            try:
                future = producer.send(topic, key=key, value=value, headers=list(headers))
            except (KafkaError, AssertionError) as error:
                log.warning("queueing failed", extra={"topic": topic, "error": type(error).__name__})
        return _Pending(topic, key, value, headers, future)

    def flush(self) -> None:
        """Wait for the broker's confirmation of everything; queue again what failed.

        Raises:
            SourceError: not everything is confirmed.
        """
        if not self._pending:
            return
        producer = self._connector.get()
        if producer is None:
            raise SourceError(f"kafka: {len(self._pending)} records not sent: {self._connector.fault}")
        try:
            producer.flush(timeout=FLUSH_SECONDS)
        except KafkaError as error:
            log.warning("flushing failed", extra={"error": type(error).__name__})
        left = [one for one in self._pending if one.future is None or not one.future.is_done or one.future.failed()]
        if not left:
            self._pending.clear()
            return
        names = {type(one.future.exception).__name__ for one in left if one.future is not None and one.future.is_done}
        # A record whose future is still open may yet arrive: it stays as it is and is not sent twice.
        self._pending = [
            one
            if one.future is not None and not one.future.is_done
            else self._queue(one.topic, one.key, one.value, one.headers)
            for one in left
        ]
        why = ", ".join(sorted(names)) or "no confirmation in time"
        raise SourceError(f"kafka: {len(left)} records not confirmed ({why}); kept and sent again")

    def close(self) -> None:
        """Disconnect; what was not flushed is lost."""
        self._pending.clear()
        self._connector.close(timeout=5)
