"""All settings of alignwatch: one TOML file, overridden by the environment, checked as a whole at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alerts.config import AlertsConfig
from monitor.config_file import Key, flatten, merge, read_environment, read_toml
from monitor.dead_letters import DeadLetterConfig
from monitor.detection_config import DetectionConfig
from monitor.envelopes import DecodeLimits
from monitor.errors import ConfigError
from monitor.intake import IntakeConfig
from monitor.sampling import SamplingConfig
from monitor.sources import SourceConfig
from monitor.worker import WorkerConfig

SECRET_WORDS: Final = ("password", "secret", "token", "routing_key")


class Section(BaseModel):
    """A table of the file; unknown keys are faults, because a misspelt setting is silently ineffective."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassifierConfig(Section):
    """The labelling artefact and how it runs."""

    path: Path | None = None
    """Artefact folder; the one shipped with the package when unset."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    attached_only: bool = False
    """Load no classifier: traffic brings its verdicts with it, and what brings none is unlabelable."""
    screen: bool = True
    """Look at every prompt with the cheap screen; off, only the uniform rate decides."""


class BaselineConfig(Section):
    """Pinned baselines."""

    path: Path | None = None
    """A file written by `alignwatch baseline fit` and approved; without one nothing statistical pages."""


class StateConfig(Section):
    """Where state lives."""

    path: Path = Path("alignwatch-state.sqlite3")
    """The sidecar's file."""
    topic: Annotated[str, Field(min_length=1, max_length=249)] = "alignwatch.state"
    """Compacted topic of `run --role detect`, with as many partitions as the labels topic; made when missing."""


LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class HttpConfig(Section):
    """The service's own endpoints: /livez /readyz /metrics /status and the page at /, and the door for traffic."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8077
    """0 takes a free port."""
    ingest: bool = False
    """Take traffic in at /v1/ and produce it to `ingest_topic`; with `source.kind = "http"` the door is open anyhow."""
    ingest_topic: Annotated[str, Field(min_length=1, max_length=249)] | None = None
    """The first of `source.kafka.topics` when unset."""
    ingest_token_file: Path | None = None
    """What senders must show; required unless `host` is loopback."""
    ingest_token_env: Annotated[str, Field(min_length=1)] | None = None
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 << 20
    """Of a request to the door, before and after decompression."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK

    def faults(self, source: SourceConfig) -> list[str]:
        """What keeps the door from being opened on this source, one line each."""
        wanted = self.ingest or source.kind == "http"
        found = []
        if wanted and not self.enabled:
            found.append("http.enabled = false: traffic over HTTP needs it to be true")
        if wanted and not self.loopback and self.ingest_token_file is None and self.ingest_token_env is None:
            found.append(f"http.host = {self.host}: taking traffic in from other machines needs http.ingest_token_file")
        if self.ingest and source.kind not in {"http", "kafka"}:
            found.append(f'http.ingest = true: needs source.kind "http" or "kafka", not {source.kind!r}')
        if self.ingest and source.kind == "kafka" and not self.ingest_topic and not source.kafka.topics:
            found.append("http.ingest_topic is not set: name the topic to produce to")
        return found


class LabelsTopicConfig(Section):
    """The topic between `run --role label` and `run --role detect`; on the broker of `[source.kafka]`."""

    topic: str = "alignwatch.labels"


class LogConfig(Section):
    """Logs of the service itself, on stderr; never a prompt or an answer."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Settings(Section):
    """Everything that can be set; `alignwatch config schema` prints this as JSON Schema."""

    source: SourceConfig = Field(default_factory=SourceConfig)
    decode: DecodeLimits = Field(default_factory=DecodeLimits)
    intake: IntakeConfig = Field(default_factory=IntakeConfig)
    dead_letters: DeadLetterConfig = Field(default_factory=DeadLetterConfig)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig)
    labels: LabelsTopicConfig = Field(default_factory=LabelsTopicConfig)
    detection: DetectionConfig = Field(default_factory=DetectionConfig)
    baseline: BaselineConfig = Field(default_factory=BaselineConfig)
    alerts: AlertsConfig = Field(default_factory=AlertsConfig)
    state: StateConfig = Field(default_factory=StateConfig)
    worker: WorkerConfig = Field(default_factory=WorkerConfig)
    http: HttpConfig = Field(default_factory=HttpConfig)
    log: LogConfig = Field(default_factory=LogConfig)


class Loaded(Section):
    """Settings with the origin of every value that is not a default."""

    settings: Settings
    origins: dict[Key, str]

    def rows(self) -> list[tuple[str, Any, str]]:
        """Dotted key, value (secrets masked) and origin of every setting."""
        return [
            (".".join(key), mask(key, value), self._origin(key))
            for key, value in flatten(self.settings.model_dump(mode="json"))
        ]

    def _origin(self, key: Key) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in self.origins:
                return self.origins[key[:length]]
        return "default"


def mask(key: Key, value: Any) -> Any:
    """`value`, or asterisks where its key names a secret itself rather than the file or variable that holds one."""
    leaf = key[-1]
    names_holder = leaf.endswith(("_file", "_env", "_path"))
    secret = (leaf == "key" or any(word in leaf for word in SECRET_WORDS)) and not names_holder
    return "********" if secret and value else value


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check the settings.

    Args:
        path: the TOML file; None for defaults and environment alone.
        environ: the process's environment when None.

    Raises:
        ConfigError: every fault at once, one line each: key, value, what is allowed.
    """
    tables = read_toml(path) if path is not None else {}
    overrides = read_environment(os.environ if environ is None else environ)
    origins: dict[Key, str] = {key: str(path) for key, _ in flatten(tables)}
    origins |= {key: f"environment {name}" for key, (name, _) in overrides.items()}
    try:
        settings = Settings.model_validate(merge(tables, overrides))
    except ValidationError as error:
        raise ConfigError([_fault(one, origins, path) for one in error.errors(include_url=False)]) from error
    if faults := settings.http.faults(settings.source):
        raise ConfigError(faults)
    return Loaded(settings=settings, origins=origins)


def _fault(error: Any, origins: Mapping[Key, str], path: Path | None) -> str:
    key: Key = tuple(str(part) for part in error["loc"])
    above = next((origins[key[:length]] for length in range(len(key), 0, -1) if key[:length] in origins), None)
    below = next((text for at, text in origins.items() if at[: len(key)] == key), None)
    # A whole table is not repeated: it may hold a secret that was put in the wrong place, and the fault names the key.
    untold = error["type"] in {"missing", "extra_forbidden"} or isinstance(error["input"], Mapping | list | tuple)
    value = "" if untold else f" = {mask(key or ('',), error['input'])!r}"
    allowed = "no such setting" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return f"{'.'.join(key)}{value} ({above or below or path or 'defaults'}): {allowed}"
