"""Settings of sources, and how the Kafka ones become client options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from monitor.sources._security import KafkaSecurity

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Bytes = Annotated[int, Field(ge=1024, le=1 << 30)]


class KafkaConfig(KafkaSecurity):
    """One consumer of one or more topics; names and meanings are kafka-python's where it has the setting."""

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    topics: tuple[str, ...] = ()
    topic_pattern: str | None = None
    """Regular expression over topic names, instead of `topics`."""
    group_id: Annotated[str, Field(min_length=1)] = "alignwatch"
    group_instance_id: Annotated[str, Field(min_length=1)] | None = None
    """Static membership: a restart within the session time-out moves no partition. Unique for each replica."""
    client_id: Annotated[str, Field(min_length=1)] = "alignwatch"
    client_rack: str = ""
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """Where to begin when neither our state nor the group has a position."""
    isolation_level: Literal["read_uncommitted", "read_committed"] = "read_committed"
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Upper bound a poll; with the labels a second that the classifier manages it bounds the time between polls."""
    max_poll_interval_ms: Milliseconds = 300_000
    session_timeout_ms: Milliseconds = 45_000
    heartbeat_interval_ms: Milliseconds = 3_000
    request_timeout_ms: Milliseconds = 30_000
    bootstrap_timeout_ms: Milliseconds = 5_000
    """One attempt to reach the cluster; attempts go on for ever, with the service up and not ready."""
    commit_timeout_ms: Milliseconds = 5_000
    fetch_max_wait_ms: Milliseconds = 500
    metadata_max_age_ms: Milliseconds = 300_000
    """How late a topic or partition that was made later is found."""
    fetch_min_bytes: Annotated[int, Field(ge=1)] = 1
    fetch_max_bytes: Bytes = 50 << 20
    max_partition_fetch_bytes: Bytes = 1 << 20
    check_crcs: bool = True

    @field_validator("bootstrap_servers", "topics", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """A comma-separated text will do, which is what an environment variable can hold."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> KafkaConfig:
        if not self.bootstrap_servers:
            raise ValueError("bootstrap_servers is empty; name at least one host:port")
        if self.topics and self.topic_pattern:
            raise ValueError("topics and topic_pattern are both set; only one of them is allowed")
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be at most a third of session_timeout_ms")
        if self.fetch_max_wait_ms >= self.request_timeout_ms:
            raise ValueError("fetch_max_wait_ms must be below request_timeout_ms")
        return self


class FileConfig(BaseModel):
    """Recorded traffic: JSONL, plain, gzip or zstd; `-` is stdin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...] = ()

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (str(value),) if isinstance(value, str | Path) else value


class HttpSourceConfig(BaseModel):
    """The spool behind the HTTP door: accepted records lie there, prompts and answers included, until counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spool: Path = Path("alignwatch-spool")
    """A folder on a local disk, readable by its owner alone."""
    max_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 44)] = 1 << 30
    """Beyond this senders are told to come back later (429)."""
    segment_bytes: Annotated[int, Field(ge=1 << 16, le=1 << 32)] = 32 << 20
    """Size of a file; files are removed whole once all in them is counted."""
    queue_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 32)] = 64 << 20
    """Records that may wait for the disk."""


class SourceConfig(BaseModel):
    """Which source, and its settings; the other kinds' tables are ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["kafka", "http", "file", "memory"] = "kafka"
    kafka: KafkaConfig = Field(default_factory=KafkaConfig)
    file: FileConfig = Field(default_factory=FileConfig)
    http: HttpSourceConfig = Field(default_factory=HttpSourceConfig)

    def faults(self) -> list[str]:
        """What still keeps this source from being opened, one line each: key, value, what is allowed."""
        if self.kind == "kafka" and not self.kafka.topics and not self.kafka.topic_pattern:
            return ["source.kafka.topics = []: name at least one topic, or set source.kafka.topic_pattern"]
        if self.kind == "file" and not self.file.paths:
            return ["source.file.paths = []: name at least one file, or - for stdin"]
        return []
