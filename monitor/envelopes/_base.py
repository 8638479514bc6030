"""What a decoder is, what it is told besides the data, and the closed set of reasons for which it may give up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, get_args

from alignwatch import Exchange
from monitor.errors import DecodeError

DecodeReason = Literal[
    "empty", "too-large", "not-utf8", "not-json", "not-finite", "duplicate-key", "too-deep", "too-many",
    "unknown-envelope", "missing-field", "wrong-type", "no-answer", "not-a-label",
]  # fmt: skip
REASONS: Final[tuple[DecodeReason, ...]] = get_args(DecodeReason)
"""Every reason that a dead letter can have: values of a metric's label.

`no-answer`: a well-formed exchange whose model call failed upstream (an error body), so that there is nothing to judge.
`not-a-label`: what was read as a labels topic holds something else.
"""
FORMAT_INNOCENT: Final[frozenset[str]] = frozenset({"no-answer"})
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
        return next((value for name in names if (value := self.headers.get(name))), None)


class Decoder(Protocol):
    """Reads one gateway's format."""

    @property
    def name(self) -> str:
        """Stable name, as `inspect-envelope` prints it."""

    def why_not(self, obj: Any) -> str | None:
        """None when `obj` has this decoder's shape; else what is missing, in words without content."""

    def decode(self, obj: Any, context: Context) -> list[Exchange]:
        """The exchanges of one object that has this shape.

        Raises:
            DecodeError: a field is missing or of the wrong type.
        """


class PartlyDecodedError(DecodeError):
    """Some elements of an array could not be read; `decoded` holds the exchanges of those that could."""

    def __init__(self, reason: str, detail: str, decoded: list[Exchange]) -> None:
        super().__init__(reason, detail)
        self.decoded = decoded
