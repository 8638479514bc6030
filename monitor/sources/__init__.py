"""Where records come from, behind one typed protocol: Kafka, HTTP, files and stdin, and the in-memory twin.

A source hands out `Record`s with their place (`TopicPartition`, offset), is acknowledged only after the caller's own
state has committed, and is told at `start` where that state says to go on.
"""

from __future__ import annotations

from monitor.sources._base import Header, PositionOf, Producer, Record, Source, TopicPartition
from monitor.sources._config import FileConfig, HttpSourceConfig, KafkaConfig, SourceConfig
from monitor.sources._files import FileSource, read_lines
from monitor.sources._http import HttpSource
from monitor.sources._inbox import Inbox, InboxFullError, Incoming, MemoryInbox, ProducerInbox
from monitor.sources._kafka import KafkaSource
from monitor.sources._memory import MemoryProducer, MemorySource, Sent
from monitor.sources._open import open_producer, open_source
from monitor.sources._produce import KafkaProducerSink
from monitor.sources._transactions import KafkaTransactions, Transactions

__all__ = [
    "FileConfig",
    "FileSource",
    "Header",
    "HttpSource",
    "HttpSourceConfig",
    "Inbox",
    "InboxFullError",
    "Incoming",
    "KafkaConfig",
    "KafkaProducerSink",
    "KafkaSource",
    "KafkaTransactions",
    "MemoryInbox",
    "MemoryProducer",
    "MemorySource",
    "PositionOf",
    "Producer",
    "ProducerInbox",
    "Record",
    "Sent",
    "Source",
    "SourceConfig",
    "TopicPartition",
    "Transactions",
    "open_producer",
    "open_source",
    "read_lines",
]
