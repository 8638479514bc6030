"""Makes the source and the producer that the settings name."""

from __future__ import annotations

from monitor.errors import ConfigError
from monitor.sources._base import CheckNew, PositionOf, Producer, Source
from monitor.sources._config import SourceConfig
from monitor.sources._files import FileSource
from monitor.sources._http import HttpSource
from monitor.sources._kafka import KafkaSource
from monitor.sources._memory import MemoryProducer, MemorySource
from monitor.sources._produce import KafkaProducerSink


def open_source(
    config: SourceConfig, *, position_of: PositionOf | None = None, check_new: CheckNew | None = None
) -> Source:
    """The source that `config` names; nothing is contacted before `start`.

    Args:
        config: checked settings.
        position_of: asked for the next offset of each partition that a rebalance brings; None leaves it to the group.
        check_new: told of each partition without a position of ours, with the group's; may raise to refuse it.

    Raises:
        ConfigError: no topic or file is named, or a secret's file or variable is empty.
    """
    if faults := config.faults():
        raise ConfigError(faults)
    if config.kind == "kafka":
        return KafkaSource(config.kafka, position_of=position_of, check_new=check_new)
    if config.kind == "http":
        return HttpSource(config.http)
    if config.kind == "file":
        return FileSource(config.file.paths)
    return MemorySource()


def open_producer(config: SourceConfig) -> Producer:
    """A producer on the same cluster as the source; in memory where the source is not Kafka.

    Raises:
        ConfigError: a secret's file or variable is empty.
    """
    return KafkaProducerSink(config.kafka) if config.kind == "kafka" else MemoryProducer()
