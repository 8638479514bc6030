"""What a provider's response body comes down to, whichever provider's it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignwatch import Category, Finish, Upstream


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice.

    Attributes:
        index: of the choice.
        text: what the model (or who answered for it) wrote, reasoning left out.
        finish_reason: the provider's word.
        finish: its meaning, where the body says more than the word; else found from the word.
        found: categories that the provider's filter saw in the answer.
        blocked: whether that filter stopped it.
    """

    index: int
    text: str
    finish_reason: str | None
    finish: Finish | None = None
    found: tuple[Category, ...] = ()
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response body.

    Attributes:
        answers: at least one.
        head: `id`, `created` (epoch seconds), `model`, `conversation`, where the body says.
        source: the filter whose verdicts are here, None without any.
        found: categories that it saw in the prompt.
        blocked: whether it stopped the request.
    """

    answers: Sequence[Answer]
    head: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    found: tuple[Category, ...] = ()
    blocked: bool = False

    def upstream(self, answer: Answer) -> Upstream | None:
        """The filter's verdict on one answer and its prompt."""
        if self.source is None:
            return None
        return Upstream(
            source=self.source, request=self.found, response=answer.found, blocked=self.blocked or answer.blocked
        )
