"""Where the fields of an envelope of one's own lie, as JSON paths from the configuration.

[[decode.field_maps]]
name = "bento"
id = "$.request_id"
timestamp = "$.timestamp"
prompt = "$.input_text"
response = "$.summarized_text"
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_STEP: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\['([^']*)'\]|\[(-?\d+)\]")
MAX_STEPS: Final = 16


def steps_of(path: str) -> tuple[str | int, ...]:
    """The steps of a path: `$`, then `.name`, `['any name']` or `[number]` (negative: from the end).

    Raises:
        ValueError: it is no such path.

    >>> steps_of("$.choices[0]['my text']")
    ('choices', 0, 'my text')
    """
    if not path.startswith("$"):
        raise ValueError(f"{path!r}: a path begins with $, for instance $.request.id")
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None or len(steps) >= MAX_STEPS:
            raise ValueError(f"{path!r}: from character {position}: .name, ['name'] or [number] is allowed")
        name, quoted, number = found.groups()
        steps.append(int(number) if number is not None else name if name is not None else quoted)
        position = found.end()
    return tuple(steps)


def _checked(path: str) -> str:
    steps_of(path)
    return path


Path = Annotated[str, AfterValidator(_checked)]


class FieldMap(BaseModel):
    """One envelope; what has no path is not there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """How `inspect-envelope` calls it."""
    when: Path | None = None
    """Only objects in which this path leads somewhere; else prompt or messages, and response, must."""
    equals: str | None = None
    """With `when`: only where its value is this text."""
    response: Path
    """A text, or message content in any provider's form."""
    prompt: Path | None = None
    messages: Path | None = None
    system: Path | None = None
    id: Path | None = None
    """Without one, ids are hashes of what was said and when."""
    timestamp: Path | None = None
    """RFC 3339 (UTC where no offset is given), epoch seconds or milliseconds; without one the transport's time."""
    deployment: Path | None = None
    model: Path | None = None
    model_digest: Path | None = None
    conversation: Path | None = None
    user: Path | None = None
    tenant: Path | None = None
    finish_reason: Path | None = None
    refusal: Path | None = None
    """A structured refusal: where it holds a text or true, the model refused."""

    @model_validator(mode="after")
    def _asks(self) -> FieldMap:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("prompt, messages: give exactly one of the two paths")
        if self.equals is not None and self.when is None:
            raise ValueError("equals: needs `when`, the path whose value it is compared with")
        return self
