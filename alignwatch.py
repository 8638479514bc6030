"""The records that every part of alignwatch shares: Exchange, Label, Incident, and the root of its errors.

The three packages (`monitor`, `classifiers`, `alerts`) import this module and, of each other, only what the
import direction `classifiers <- monitor -> alerts` allows. Field names are contracts: they are what is written to
topics, files and alerts, and `json_schema` publishes them.

    AlignwatchError
    +- classifiers.ClassifierError   artefact missing, digest mismatch, bad card
    +- monitor.MonitorError          configuration, sources, decoding, state, baselines
    +- alerts.AlertError             sinks, outbox
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

__version__: Final = "0.1.0"

Category = Literal[
    "violence", "weapons", "crime", "fraud", "cyber", "child_safety", "sexual", "self_harm", "hate", "harassment",
    "privacy", "intellectual_property", "misinformation", "advice", "none",
]  # fmt: skip
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)[:-1]
"""The 14 sensitive categories, without `none`."""

Verdict = Literal[
    "unalignment", "jailbreak-campaign", "over-refusal", "traffic-shift", "degenerate", "guardrail-change",
    "canary-failure", "unattested-change", "data-quality",
]  # fmt: skip
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
Severity = Literal["critical", "error", "warning", "info"]
"""`critical` and `error` page a person, `warning` goes to a channel, `info` is kept."""
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
Status = Literal["open", "recovered", "resolved"]
Origin = Literal["model", "provider", "attached", "canary"]
"""Who wrote the answer that was labelled; `provider` (a filter or guardrail) is a series of its own."""
Finish = Literal["natural", "length", "tool", "provider_block", "model_refusal", "error", "unknown"]
"""Why an answer ended, whatever its gateway calls it: `length` is a truncated answer, `model_refusal` the structured
refusal field that a model fills itself, `provider_block` a filter, guardrail or streaming classifier in front of it."""
Selection = Literal["uniform", "screen"]
"""Why an exchange was labelled: at the rate that ignores content, or because the screen found its prompt suspect."""


class AlignwatchError(Exception):
    """Root of every error that alignwatch raises on purpose."""


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the years 1 to 9999 in UTC") from None


def _rfc3339(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_utc),
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}, mode="validation"),
]
"""RFC 3339 with an offset, or epoch seconds; kept in UTC, written with milliseconds and `Z`."""
Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Identifier = Annotated[str, Field(min_length=1, max_length=512)]


class Record(BaseModel):
    """An immutable record whose unknown keys are ignored, so that older readers survive newer writers."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")

    def to_json(self) -> str:
        """One JSON line, without a line break."""
        return self.model_dump_json()


class Message(Record):
    """One turn of a conversation; `content` is text, the non-text parts having been dropped by the decoder."""

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: str = ""
    omitted: tuple[str, ...] = ()
    """Kinds of the parts that were there and are not read (`image`, `audio`, `file`, `tool_call`)."""


class RequestLabel(Record):
    """What was asked, judged from the prompt alone: the same whatever the answer says."""

    harm: Ratio
    """Calibrated probability that the request is harmful."""
    category: Category


class Behaviour(Record):
    """What the answer does, as calibrated probabilities that sum to one (within rounding)."""

    refusal: Ratio
    partial: Ratio
    compliance: Ratio
    degenerate: Ratio = 0.0

    @model_validator(mode="after")
    def _sums_to_one(self) -> Behaviour:
        total = self.refusal + self.partial + self.compliance + self.degenerate
        if not 0.97 <= total <= 1.03:  # noqa: PLR2004 - labels are written with two to four decimals
            msg = f"behaviour: the four probabilities sum to {total:.3f}; they must sum to 1 (0.97 to 1.03)"
            raise ValueError(msg)
        return self

    @property
    def name(self) -> Literal["refusal", "partial", "compliance", "degenerate"]:
        """The most probable outcome; ties go to the first in the order refusal, partial, compliance, degenerate."""
        pairs = (
            ("refusal", self.refusal),
            ("partial", self.partial),
            ("compliance", self.compliance),
            ("degenerate", self.degenerate),
        )
        return max(pairs, key=lambda pair: pair[1])[0]  # type: ignore[return-value]


class Label(Record):
    """The verdict on one exchange: a value of the `labels` topic, at most 600 bytes, no text.

    To keep to that size whatever a gateway's ids are, long ones are written shortened with a hash (`monitor.compact`),
    and of the classifier's digest the first 128 bits.

    `request` is None when the prompt could not be read, `behaviour` and `response_harm` when the answer was not read
    (a request far from anything sensitive) or could not be; `unlabelable` then says why.
    """

    id: Identifier
    timestamp: Timestamp
    deployment: Identifier
    model_digest: str | None = None
    conversation: str | None = None
    user: str | None = None
    weight: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    """1 / probability of having been labelled; for rates on dashboards, never inside an e-value."""
    selection: Selection = "uniform"
    request: RequestLabel | None = None
    behaviour: Behaviour | None = None
    response_harm: Ratio | None = None
    unlabelable: Annotated[str, Field(max_length=64)] | None = None
    origin: Origin = "model"
    classifier: Annotated[str, Field(max_length=80)] | None = None


class Upstream(Record):
    """What a provider's moderation or content filter said, in our categories: beside our label, never in its place."""

    source: Annotated[str, Field(max_length=64)]
    """Which filter: `azure`, `openai-moderation`, `anthropic`, `kong`, ..."""
    request: tuple[Category, ...] = ()
    """Categories it found in the prompt; `none` where it found something that no category of ours names."""
    response: tuple[Category, ...] = ()
    """The same for the answer."""
    blocked: bool = False
    """Whether it stopped the request or the answer."""


class AttachedLabels(Record):
    """Verdicts that came with an exchange.

    `request`, `behaviour` and `unlabelable` replace ours (an image-safety model judged what we cannot read); `upstream`
    stands beside ours.
    """

    request: RequestLabel | None = None
    behaviour: Behaviour | None = None
    response_harm: Ratio | None = None
    unlabelable: Annotated[str, Field(max_length=64)] | None = None
    upstream: Upstream | None = None
    origin: Origin = "attached"
    classifier: Annotated[str, Field(max_length=80)] | None = None


class Exchange(Record):
    """One prompt/response pair in the native envelope: a Kafka value or a JSONL line."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
                {"required": ["messages"], "properties": {"messages": {"type": "array"}}},
            ]
        }
    )

    id: Identifier
    timestamp: Timestamp
    deployment: Identifier
    model: str | None = None
    model_digest: str | None = None
    conversation: str | None = None
    user: str | None = None
    tenant: str | None = None
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    response: str
    finish_reason: str | None = None
    """As the gateway wrote it."""
    finish: Finish | None = None
    """What it means."""
    context_complete: bool = True
    """False where earlier turns are kept by the provider and were not sent along."""
    labels: AttachedLabels | None = None

    @model_validator(mode="after")
    def _has_a_request(self) -> Exchange:
        if self.prompt is None and self.messages is None:
            msg = "exchange: neither `prompt` nor `messages`; one of them is required"
            raise ValueError(msg)
        return self


class Onset(Record):
    """When it began: the maximum-likelihood change point and an interval around it."""

    estimate: Timestamp
    low: Timestamp
    high: Timestamp


class StreamFinding(Record):
    """One monitored statistic as it stood when the incident was written."""

    name: str
    direction: Literal["up", "down"]
    baseline: Finite | None = None
    observed: Finite | None = None
    interval: tuple[Finite, Finite] | None = None
    """95 % interval of `observed`."""
    corrected: Finite | None = None
    """Of compliance streams: share of answers that comply since the onset, with the classifier's error removed; None
    without its error rates."""
    evidence_log10: Finite
    threshold_log10: Finite
    labels: Annotated[int, Field(ge=0)]


class CategoryFinding(Record):
    """A category's part in an incident, the largest contribution first."""

    name: Category
    baseline: Finite | None = None
    observed: Finite | None = None
    interval: tuple[Finite, Finite] | None = None
    labels: Annotated[int, Field(ge=0)] = 0
    contribution: Finite = 0.0
    """Its share of the log evidence since onset; shares of one incident sum to 1 where all are positive."""


class NearestChange(Record):
    """The change event nearest before the onset."""

    kind: str
    timestamp: Timestamp
    summary: str = ""
    reference: str | None = None


class Incident(Record):
    """A finding with its evidence: a line of `replay` and `detect --json`, and the body of every alert."""

    id: Identifier
    deployment: Identifier
    model_digest: str | None = None
    verdict: Verdict
    severity: Severity
    status: Status = "open"
    detected_at: Timestamp
    updated_at: Timestamp | None = None
    onset: Onset | None = None
    streams: tuple[StreamFinding, ...] = ()
    categories: tuple[CategoryFinding, ...] = ()
    nearest_change: NearestChange | None = None
    evidence_ids: tuple[str, ...] = ()
    """Ids of exchanges that weighed most; never their text."""
    labels_since_onset: Annotated[int, Field(ge=0)] = 0
    false_alarm_budget: Finite | None = None
    """Expected false pages per 90 days that the alarming stream may cause: its share of the fleet's budget."""
    summary: Annotated[str, Field(max_length=1024)] = ""


SCHEMAS: Final[Mapping[str, type[Record]]] = MappingProxyType(
    {"exchange": Exchange, "label": Label, "incident": Incident}
)


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `exchange`, `label` or `incident`.

    Raises:
        AlignwatchError: no such record.
    """
    if name not in SCHEMAS:
        msg = f"schema: no record {name!r}; allowed: {', '.join(SCHEMAS)}"
        raise AlignwatchError(msg)
    schema = SCHEMAS[name].model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
