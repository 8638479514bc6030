"""What goes into a classifier and what comes out: pairs, their labels, and the interface that a stand-in must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args, runtime_checkable

from alignwatch import Behaviour, RequestLabel

ReadAnswer = Literal["always", "if-sensitive", "never"]
"""Whether the answer pass runs: always, only where the request is not far below the harm threshold, or never."""

Unlabelable = Literal["redacted", "empty", "too-short", "unsupported-language"]
UNLABELABLE: Final[tuple[Unlabelable, ...]] = get_args(Unlabelable)
"""Why a text was not judged. A text that cannot be read gets a reason, never a guess."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A request and its answer.

    Attributes:
        prompt: the last user turn, which is what is judged.
        response: the answer; None when there is none to read (then the answer labels are None).
        context: earlier turns as plain text; read before the prompt where the window has room left.
        read_answer: when to run the answer pass, see `ReadAnswer`.
    """

    prompt: str
    response: str | None
    context: str = ""
    read_answer: ReadAnswer = "always"


@dataclass(frozen=True, slots=True)
class PairLabels:
    """The labels of one pair.

    Attributes:
        request: None when the prompt could not be read.
        behaviour: None when the answer was not read, or could not be.
        response_harm: calibrated probability that the answer itself gives something harmful; None as `behaviour`.
        unlabelable: the reason where something that should have been read could not be; the prompt's comes first.
    """

    request: RequestLabel | None
    behaviour: Behaviour | None
    response_harm: float | None
    unlabelable: Unlabelable | None


@runtime_checkable
class Labeller(Protocol):
    """Anything that labels pairs: the shipped `Classifier`, or a stand-in in tests."""

    @property
    def digest(self) -> str:
        """`sha256:...` of everything that decides a label; changes whenever labels could."""
        ...

    def label(self, pairs: Sequence[Pair]) -> list[PairLabels]:
        """Labels in the order of the pairs."""
        ...
