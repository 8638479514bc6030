"""Says what a record looks like to the decoders, for an operator: names, types and lengths, never text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from alignwatch import AttachedLabels, Exchange, Message
from monitor.envelopes._base import Context, Found, Half, PartlyDecodedError, Skipped
from monitor.envelopes._cloudevents import attributes_of, is_structured
from monitor.envelopes._fields import kind
from monitor.envelopes._otlp import is_protobuf
from monitor.envelopes._parse import DecodeLimits, parse
from monitor.envelopes._registry import CLOUD_EVENT, OTLP_PROTOBUF, decode_with, decoders_for
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
        skipped: parts that need be no exchange, by reason.
    """

    decoder: str | None
    bytes: int
    exchanges: tuple[dict[str, str], ...]
    seen: dict[str, str]
    problems: tuple[str, ...]
    rejected: dict[str, str]
    skipped: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def render(self) -> str:
        """For a terminal; several lines."""
        lines = [f"{self.decoder or 'not recognised'}, {self.bytes} bytes, {len(self.exchanges)} exchanges"]
        lines += [f"  problem: {problem}" for problem in self.problems]
        lines += [f"  skipped {reason}: {count}" for reason, count in self.skipped.items()]
        for number, fields in enumerate(self.exchanges, start=1):
            lines.append(f"  exchange {number}:")
            lines += [f"    {name}: {what}" for name, what in fields.items()]
        if self.problems:
            lines += [f"  not {name}: {why}" for name, why in self.rejected.items()]
            lines += [f"  saw {name}: {what}" for name, what in self.seen.items()]
        return "\n".join(lines)


def explain(
    value: bytes,
    *,
    limits: DecodeLimits | None = None,
    default_deployment: str | None = DEFAULT_DEPLOYMENT,
    headers: Mapping[str, str] | None = None,
    text: bool = False,
) -> Explanation:
    """Explain one record's body; never raises for what it holds.

    Args:
        value: as a topic or a line of a file holds it.
        limits: the defaults when None.
        default_deployment: stands in where the envelope names none.
        headers: of the record, names in lower case: `ce_type` and its like.
        text: show prompts and answers instead of their length.
    """
    bounds = limits or DecodeLimits()
    decoder, obj = _looked_at(value, bounds, headers or {})
    # Files have no transport time: 0 stands for "the broker will give one".
    context = Context(headers or {}, default_deployment, 0.0)
    problems: list[str] = []
    found: Sequence[Found] = ()
    try:
        found = decode_with(value, bounds, context)
    except PartlyDecodedError as error:
        found = error.decoded
        problems = [str(error)]
    except DecodeError as error:
        problems = [str(error)]
    first = obj[0] if isinstance(obj, list) and obj else obj
    known = decoders_for(bounds.field_maps)
    return Explanation(
        decoder,
        len(value),
        tuple(_summary(one, text=text) for one in found if not isinstance(one, Skipped))[:MAX_KEYS],
        {} if obj is None else _seen(first),
        tuple(problems),
        {} if obj is None else {one.name: why for one in known if (why := one.why_not(first)) is not None},
        {one.reason: one.count for one in found if isinstance(one, Skipped)},
    )


def is_one_record(value: bytes) -> bool:
    """Whether a file's content is one record rather than one a line: protobuf, or JSON over several lines."""
    if is_protobuf(value):
        return True
    first, mark, rest = value.strip().partition(b"\n")
    if not mark or not rest.strip():
        return False
    try:
        json.loads(first)
    except ValueError:
        pass
    else:
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _looked_at(value: bytes, limits: DecodeLimits, headers: Mapping[str, str]) -> tuple[str | None, Any]:
    """The name of the format and the JSON value, both None where it is not recognised or none."""
    if attributes_of(headers):
        return CLOUD_EVENT, None
    if is_protobuf(value):
        return OTLP_PROTOBUF, None
    try:
        obj = parse(value, limits)
    except DecodeError:
        return None, None
    first = obj[0] if isinstance(obj, list) and obj else obj
    if is_structured(first):
        return CLOUD_EVENT, obj
    return next((one.name for one in decoders_for(limits.field_maps) if one.why_not(first) is None), None), obj


def _summary(found: Exchange | Half, *, text: bool) -> dict[str, str]:
    if isinstance(found, Half):
        known = {name: str(value)[:MAX_NAME] for name, value in found.fields.items() if value is not None}
        return {"half": f"{found.side}, {len(found.body)} bytes; joined by its event's id", **known}
    fields = {}
    for name, value in found:
        told = None if value is None else _told(name, value, text=text)
        if told is not None:
            fields[name] = told
    absent = [name for name, value in found if value is None and name not in {"labels", "prompt", "messages"}]
    return fields | ({"not there": ", ".join(absent)} if absent else {})


def _told(name: str, value: Any, *, text: bool) -> str | None:
    """One field of an exchange in words; None where it goes without saying."""
    if name == "messages":
        return _turns(value, text=text)
    if name == "timestamp":
        return "from the transport" if value.timestamp() == 0.0 else str(value.isoformat())
    if name == "labels":
        return _labels(value)
    if name == "context_complete":
        return None if value else "no: earlier turns are kept by the provider"
    if name in {"deployment", "model", "finish", "finish_reason"}:
        return str(value)[:MAX_NAME]
    return str(value) if text and name in _TEXTS else f"{len(str(value))} characters"


def _turns(messages: Sequence[Message], *, text: bool) -> str:
    told = [
        f"{turn.role[:MAX_NAME]} {turn.content if text else len(turn.content)}"
        + (f" (not read: {', '.join(turn.omitted)})" if turn.omitted else "")
        for turn in messages[:MAX_KEYS]
    ]
    return f"{len(messages)} turns (role, {'text' if text else 'characters'}): {', '.join(told)}"


def _labels(labels: AttachedLabels) -> str:
    upstream = labels.upstream
    attached = sorted(labels.model_fields_set - {"upstream"})
    told = [f"attached: {', '.join(attached)}"] if attached else []
    if upstream is not None:
        found = [*(f"prompt {name}" for name in upstream.request), *(f"answer {name}" for name in upstream.response)]
        end = ", blocked" if upstream.blocked else ""
        told.append(f"upstream {upstream.source}: {', '.join(found) or 'nothing found'}{end}")
    return "; ".join(told)


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
