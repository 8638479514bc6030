"""Reading fields of parsed JSON with errors that name the place and never the content, shared by all decoders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
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


def deployment_of(fields: Mapping[str, Any], context: Context, model: Any = None) -> Any:
    """A record header wins, then the field, then the configured default, then the name of the model that was asked."""
    return context.header(DEPLOYMENT_HEADERS) or fields.get("deployment") or context.default_deployment or model


def first(*values: Any) -> Any:
    """The first that is not None."""
    return next((value for value in values if value is not None), None)


def text_or_none(value: Any) -> str | None:
    """A non-empty text; None for whatever else gateways write into optional fields."""
    return value if isinstance(value, str) and value else None


def among(value: Any, names: Collection[str]) -> bool:
    """Whether a value is one of these texts; whatever else it may be, it is not."""
    return isinstance(value, str) and value in names


def at(value: Any, *names: str) -> Any:
    """What lies in nested objects under these names; None where one is missing or is no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def derived_id(*parts: Any) -> str:
    """An id for envelopes without one: a hash of what was said and when, so that a repeated record is recognised."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=True)
    return f"h-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


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
