"""Says what a record looks like to the decoders, for an operator: names, types and lengths, never text."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._base import Context
from monitor.envelopes._fields import kind
from monitor.envelopes._parse import DecodeLimits, parse
from monitor.envelopes._registry import DECODERS, decode_object
from monitor.errors import DecodeError

MAX_KEYS: Final = 40
MAX_NAME: Final = 64
DEFAULT_DEPLOYMENT: Final = "(default)"
_NAME: Final = re.compile(rf"[\w.:$@/\[\]-]{{1,{MAX_NAME}}}", re.ASCII)
_TEXTS: Final = frozenset({"prompt", "response", "messages"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was seen in one record.

    Attributes:
        decoder: the one whose shape it has; None when none knows it, or the bytes are not JSON.
        bytes: its size.
        exchanges: for each exchange read, what each field holds: a length or a count, never the text.
        seen: keys of the first object, two levels deep, with types and lengths.
        problems: why something could not be read, reason first.
        rejected: for each decoder that does not know the shape, why not.
    """

    decoder: str | None
    bytes: int
    exchanges: tuple[dict[str, str], ...]
    seen: dict[str, str]
    problems: tuple[str, ...]
    rejected: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def render(self) -> str:
        """For a terminal; several lines."""
        lines = [f"{self.decoder or 'not recognised'}, {self.bytes} bytes, {len(self.exchanges)} exchanges"]
        lines += [f"  problem: {problem}" for problem in self.problems]
        for number, fields in enumerate(self.exchanges, start=1):
            lines.append(f"  exchange {number}:")
            lines += [f"    {name}: {what}" for name, what in fields.items()]
        if self.problems:
            lines += [f"  not {name}: {why}" for name, why in self.rejected.items()]
            lines += [f"  saw {name}: {what}" for name, what in self.seen.items()]
        return "\n".join(lines)


def explain(
    value: bytes, *, limits: DecodeLimits | None = None, default_deployment: str | None = DEFAULT_DEPLOYMENT
) -> Explanation:
    """Explain one record's body; never raises for what it holds.

    Args:
        value: as a topic or a line of a file holds it.
        limits: the defaults when None.
        default_deployment: stands in where the envelope names none.
    """
    try:
        obj = parse(value, limits or DecodeLimits())
    except DecodeError as error:
        return Explanation(None, len(value), (), {}, (str(error),), {})
    items = obj if isinstance(obj, list) else [obj]
    exchanges: list[Exchange] = []
    problems = [] if items else ["empty: an array without elements"]
    for index, item in enumerate(items):
        try:
            # Files have no transport time: 0 stands for "the broker will give one".
            found = decode_object(item, Context({}, default_deployment, 0.0))
            exchanges += [one for one in found if isinstance(one, Exchange)]
        except DecodeError as error:
            problems.append(f"[{index}] {error}" if isinstance(obj, list) else str(error))
    first = items[0] if items else None
    return Explanation(
        next((one.name for one in DECODERS if items and one.why_not(first) is None), None),
        len(value),
        tuple(_summary(one) for one in exchanges[:MAX_KEYS]),
        _seen(first),
        tuple(problems[:MAX_KEYS]),
        {one.name: why for one in DECODERS if (why := one.why_not(first)) is not None},
    )


def _summary(exchange: Exchange) -> dict[str, str]:
    fields = {}
    for name, value in exchange:
        if value is None:
            continue
        if name == "messages":
            turns = [f"{turn.role[:MAX_NAME]} {len(turn.content)}" for turn in value[:MAX_KEYS]]
            fields[name] = f"{len(value)} turns (role, characters): {', '.join(turns)}"
        elif name in _TEXTS:
            fields[name] = f"{len(value)} characters"
        elif name == "timestamp":
            fields[name] = "from the transport" if value.timestamp() == 0.0 else value.isoformat()
        elif name == "labels":
            fields[name] = f"attached: {', '.join(sorted(value.model_fields_set))}"
        elif name in {"deployment", "model", "finish_reason"}:
            fields[name] = str(value)[:MAX_NAME]
        else:
            fields[name] = f"{len(str(value))} characters"
    return fields


def _seen(obj: Any) -> dict[str, str]:
    if not isinstance(obj, dict):
        return {"(value)": _shape(obj)}
    found: dict[str, str] = {}
    for name, value in obj.items():
        found[_key(name)] = _shape(value)
        if isinstance(value, dict):
            found |= {f"{_key(name)}.{_key(inner)}": _shape(below) for inner, below in value.items()}
        if len(found) >= MAX_KEYS:
            break
    return dict(list(found.items())[:MAX_KEYS])


def _key(name: str) -> str:
    """A key as it is where it looks like a name: a gateway that keys by prompt must not have it printed."""
    return name if _NAME.fullmatch(name) else f"(a key of {len(name)} characters)"


def _shape(value: Any) -> str:
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return kind(value)
