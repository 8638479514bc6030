"""Makes kafka-python clients without taking the process down: a cluster that is away means "not yet", not a crash."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final

from kafka.errors import KafkaConfigurationError, KafkaError
from kafka.net.compat import KafkaNetClient

from monitor.errors import ConfigError

log = logging.getLogger(__name__)

# At its debug level the client logs requests as they are sent, with passwords and tokens in them.
logging.getLogger("kafka").setLevel(logging.INFO)

FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 15.0


class Connector:
    """Creates one client, trying again with back-off and jitter for as long as it takes.

    Args:
        factory: KafkaConsumer or KafkaProducer, whose constructors contact the cluster.
        options: their keyword arguments.
    """

    def __init__(self, factory: Callable[..., Any], options: dict[str, Any]) -> None:
        self._factory = factory
        self._options = options
        self._client: Any = None
        self._backoff = FIRST_BACKOFF
        self._again = 0.0
        self.fault = "not connected yet"
        """Why there is no client."""

    @property
    def seconds_left(self) -> float:
        """Until the next attempt may be made."""
        return max(0.0, self._again - time.monotonic())

    def get(self) -> Any:
        """The client, or None while the cluster can't be reached; one attempt a back-off.

        Raises:
            ConfigError: the client library rejects the options.
        """
        if self._client is None and self.seconds_left <= 0.0:
            self._attempt()
        return self._client

    def _attempt(self) -> None:
        made: list[Any] = []

        def net_client(**options: Any) -> Any:
            made.append(KafkaNetClient(**options))
            return made[-1]

        try:
            self._client = self._factory(kafka_client=net_client, **self._options)
            self._backoff = FIRST_BACKOFF
        except KafkaConfigurationError as error:
            _close_all(made)
            raise ConfigError([f"source.kafka: {error}"]) from error
        except (KafkaError, OSError) as error:
            # A constructor that fails leaves its network thread running: without this each attempt leaks one.
            _close_all(made)
            self.fault = f"{','.join(self._options['bootstrap_servers'])}: {type(error).__name__}: {error}"
            self._again = time.monotonic() + self._backoff * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            log.warning("kafka can't be reached", extra={"reason": self.fault, "again_seconds": self._backoff})
            self._backoff = min(LONGEST_BACKOFF, self._backoff * 2)

    def close(self, **options: Any) -> None:
        """Close the client, if there is one, for good or to connect anew."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            client.close(**options)
        except (KafkaError, OSError) as error:
            log.info("closing failed", extra={"error": type(error).__name__})


def _close_all(clients: list[Any]) -> None:
    for client in clients:
        client.close()
