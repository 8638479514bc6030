"""Reading fields of parsed JSON with errors that name the place and never the content, shared by all decoders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from alignwatch import Exchange
from monitor.envelopes._base import DEPLOYMENT_HEADERS, DIGEST_HEADERS, Context
from monitor.envelopes._finish import normalise
from monitor.errors import DecodeError


def kind(value: Any) -> str:
    """A JSON type's name."""
    names = ((bool, "a boolean"), (str, "a string"), (dict, "an object"), (list, "an array"), (int | float, "a number"))
    return next((name for types, name in names if isinstance(value, types)), "null")


def expect(value: Any, types: type[Any], where: str) -> Any:
    """`value` when it is of `types`.

    Raises:
        DecodeError: `missing-field` for null, `wrong-type` otherwise.
    """
    if value is None:
        raise DecodeError("missing-field", f"{where}: required")
    if not isinstance(value, types):
        allowed = kind(types())
        raise DecodeError("wrong-type", f"{where}: is {kind(value)}; {allowed} is allowed")
    return value


def text_of(content: Any, where: str) -> str:
    """The text of a message's content: a string, null, or an array whose text parts are joined.

    Parts that are not text (images, audio, files, tool calls) are dropped; a `refusal` part is text by the model.

    Raises:
        DecodeError: it is something else.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = expect(content, list, where)
    return "\n".join(text for index, part in enumerate(parts) if (text := _part_text(part, f"{where}[{index}]")))


def _part_text(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    fields = expect(part, dict, where)
    for name in ("text", "refusal"):
        value = fields.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and isinstance(value.get("value"), str):
            return str(value["value"])
    return ""


def messages_of(value: Any, where: str) -> list[dict[str, str]]:
    """Turns as role and text, whatever form their content has.

    Raises:
        DecodeError: not an array of objects with a role.
    """
    turns = []
    for index, message in enumerate(expect(value, list, where)):
        fields = expect(message, dict, f"{where}[{index}]")
        role = expect(fields.get("role"), str, f"{where}[{index}].role")
        turns.append({"role": role, "content": text_of(fields.get("content"), f"{where}[{index}].content")})
    return turns


def deployment_of(fields: Mapping[str, Any], context: Context) -> Any:
    """A record header wins, then the field, then the configured default."""
    return context.header(DEPLOYMENT_HEADERS) or fields.get("deployment") or context.default_deployment


def digest_of(fields: Mapping[str, Any], context: Context) -> Any:
    """The weights' digest: a record header wins over the field."""
    return context.header(DIGEST_HEADERS) or fields.get("model_digest")


def make(fields: Mapping[str, Any]) -> Exchange:
    """An Exchange of these fields.

    Raises:
        DecodeError: `missing-field` or `wrong-type`, naming every field at fault.
    """
    if fields.get("finish") is None and isinstance(fields.get("finish_reason"), str):
        provider = fields.get("model")
        meaning = normalise(fields["finish_reason"], provider if isinstance(provider, str) else None)
        fields = {**fields, "finish": meaning}
    try:
        return Exchange.model_validate(fields)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        absent = [_place(one) for one in faults if one["type"] == "missing" or _is_null(fields, one["loc"])]
        if absent:
            raise DecodeError("missing-field", f"{', '.join(sorted(set(absent)))}: required") from None
        told = "; ".join(f"{_place(one)}: {one['msg']}" for one in faults[:5])
        missing = any(one["loc"] == () for one in faults)
        raise DecodeError("missing-field" if missing else "wrong-type", told) from None


def _place(fault: Any) -> str:
    return ".".join(str(part) for part in fault["loc"]) or "exchange"


def _is_null(fields: Mapping[str, Any], place: Iterable[Any]) -> bool:
    names = tuple(place)
    return len(names) == 1 and names[0] in fields and fields[names[0]] is None
