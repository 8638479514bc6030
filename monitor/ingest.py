"""Opens the HTTP door as the settings want it: onto the spool of an HTTP source, or onto a Kafka topic."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from monitor.config import HttpConfig, Settings
from monitor.errors import ConfigError
from monitor.http import Door
from monitor.sources import HttpSource, Inbox, ProducerInbox, Source, open_producer

SHORTEST_TOKEN: Final = 16


def open_door(settings: Settings, source: Source) -> tuple[Door | None, Callable[[], None]]:
    """The door and what closes it; None where traffic comes another way.

    Args:
        settings: checked settings.
        source: the opened source; an HTTP source is where deliveries go.

    Raises:
        ConfigError: the token's file or variable is empty or missing.
    """
    config = settings.http

    def nothing() -> None:
        return None

    if isinstance(source, HttpSource):
        return _door(settings, source), nothing
    if not config.ingest or settings.source.kind != "kafka":
        return None, nothing
    topic = config.ingest_topic or settings.source.kafka.topics[0]
    # A producer of its own: the worker's is used by the worker's thread, this one by the inbox's.
    inbox = ProducerInbox(open_producer(settings.source), topic)
    return _door(settings, inbox), inbox.close


def _door(settings: Settings, inbox: Inbox) -> Door:
    config = settings.http
    return Door(
        inbox,
        max_body_bytes=config.max_body_bytes,
        max_record_bytes=settings.decode.max_bytes,
        token=_token(config),
    )


def _token(config: HttpConfig) -> str | None:
    """The token that senders must show; None where none is set, which only loopback allows."""
    if config.ingest_token_file is not None:
        holder = f"http.ingest_token_file = {config.ingest_token_file}"
        try:
            token = config.ingest_token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{holder}: can't be read: {type(error).__name__}"]) from error
    elif config.ingest_token_env is not None:
        holder = f"http.ingest_token_env = {config.ingest_token_env}"
        token = os.environ.get(config.ingest_token_env, "").strip()
    else:
        return None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError([f"{holder}: must hold at least {SHORTEST_TOKEN} printable ASCII characters"])
    return token
