"""What a decoder is, what it is told besides the data, and the closed set of reasons for which it may give up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, get_args

from alignwatch import Exchange
from monitor.errors import DecodeError

DecodeReason = Literal[
    "empty", "too-large", "not-utf8", "not-json", "not-finite", "duplicate-key", "too-deep", "too-many",
    "unknown-envelope", "missing-field", "wrong-type", "no-answer", "not-a-label", "unpaired",
]  # fmt: skip
REASONS: Final[tuple[DecodeReason, ...]] = get_args(DecodeReason)
"""Every reason that a dead letter can have: values of a metric's label.

`no-answer`: a well-formed exchange whose model call failed upstream (an error body), so that there is nothing to judge.
`not-a-label`: what was read as a labels topic holds something else.
`unpaired`: half of a request/response pair whose other half did not come in time, or for which there was no room.
"""
FORMAT_INNOCENT: Final[frozenset[str]] = frozenset({"no-answer", "unpaired"})
"""Reasons that say nothing about the gateway's format: they count for neither side of the circuit breaker."""

DEPLOYMENT_HEADERS: Final = ("alignwatch-deployment", "x-alignwatch-deployment")
DIGEST_HEADERS: Final = ("alignwatch-model-digest", "x-alignwatch-model-digest")


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about a record besides its body.

    Attributes:
        headers: text headers, names in lower case, the last of a name.
        default_deployment: for envelopes that name none.
        timestamp: epoch seconds of the transport, for envelopes that hold none.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    default_deployment: str | None = None
    timestamp: float | None = None

    def header(self, names: tuple[str, ...]) -> str | None:
        """The first of these headers that is there and not empty."""
        if not self.headers:
            return None
        return next((value for name in names if (value := self.headers.get(name))), None)


SkipReason = Literal["not-a-model-call", "no-content", "unpaired-event", "refusal-suspected"]
"""`no-content`: a model call whose gateway does not send texts; `unpaired-event`: an answer without its prompt;
`refusal-suspected`: an answer that has tokens and no text, beside the exchange with the empty text.
"""
Side = Literal["request", "response"]


@dataclass(frozen=True, slots=True)
class Half:
    """One side of a call whose other side comes as a record of its own.

    Attributes:
        key: the same for both sides.
        side: which one this is.
        body: the provider's body, not parsed yet: the other side may never come.
        fields: what the envelope says besides: deployment, model_digest, timestamp, where known.
    """

    key: str
    side: Side
    body: bytes
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Parts of a record that are no exchange and need not be one; they are counted and nothing more."""

    reason: SkipReason
    count: int = 1


Found = Exchange | Half | Skipped


class Decoder(Protocol):
    """Reads one gateway's format."""

    @property
    def name(self) -> str:
        """Stable name, as `inspect-envelope` prints it."""

    def why_not(self, obj: Any) -> str | None:
        """None when `obj` has this decoder's shape; else what is missing, in words without content."""

    def decode(self, obj: Any, context: Context) -> Sequence[Found]:
        """What one object of this shape holds.

        Raises:
            DecodeError: a field is missing or of the wrong type.
        """


class PartlyDecodedError(DecodeError):
    """Some elements of an array or batch could not be read; `decoded` holds what those that could were read to."""

    def __init__(self, reason: str, detail: str, decoded: Sequence[Found]) -> None:
        super().__init__(reason, detail)
        self.decoded = decoded

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges among `decoded`."""
        return [one for one in self.decoded if isinstance(one, Exchange)]


def each(items: Iterable[Any], decode_one: Callable[[Any], Iterable[Found]]) -> list[Found]:
    """What all items hold, although some may be at fault.

    Raises:
        PartlyDecodedError: some could not be read.
        DecodeError: none could be read.
    """
    found: list[Found] = []
    first: DecodeError | None = None
    failed = total = 0
    for index, item in enumerate(items):
        total += 1
        try:
            found += decode_one(item)
        except PartlyDecodedError as error:
            found += error.decoded
            failed += 1
            first = first or DecodeError(error.reason, f"[{index}] {error.detail}")
        except DecodeError as error:
            failed += 1
            first = first or DecodeError(error.reason, f"[{index}] {error.detail}")
    if first is None:
        return found
    detail = f"{failed} of {total} elements: {first.detail}"
    if not found:
        raise DecodeError(first.reason, detail)
    raise PartlyDecodedError(first.reason, detail, found)
