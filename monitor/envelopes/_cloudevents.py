"""CloudEvents, binary (attributes as headers) and structured (attributes in the JSON), and KServe's halves in them.

KServe's inference logger sends request and response as an event each (`pkg/logger/worker.go`), with the same id, of a
type that ends in `.inference.request` or `.inference.response`; any other event is opened and its data decoded by
shape. A response is labelled with its request's content type, so that its body is sniffed; it is not sent when the
call failed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from monitor.envelopes._base import Context, Half, Side
from monitor.envelopes._fields import deployment_of, digest_of, first
from monitor.errors import DecodeError

_PREFIXES: Final = ("ce_", "ce-")
"""Kafka's and HTTP's protocol bindings."""
_SIDES: Final[dict[str, Side]] = {".inference.request": "request", ".inference.response": "response"}


def attributes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The event's attributes from a record's headers; {} where it is no event."""
    found = {name[3:]: value for name, value in headers.items() if name[:3] in _PREFIXES}
    return found if "type" in found and "id" in found else {}


def is_structured(obj: Any) -> bool:
    """Whether an object is an event in JSON format."""
    return isinstance(obj, dict) and all(isinstance(obj.get(name), str) for name in ("specversion", "type", "id"))


def unwrap(obj: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Attributes and data of an event in JSON format.

    Raises:
        DecodeError: no data, or `data_base64` that is none.
    """
    attributes = {name: value for name, value in obj.items() if isinstance(value, str) and not name.startswith("data")}
    if obj.get("data") is not None:
        data = obj["data"]
        return attributes, (data if isinstance(data, str) else json.dumps(data)).encode("utf-8", "surrogatepass")
    encoded = obj.get("data_base64")
    if not isinstance(encoded, str):
        raise DecodeError("missing-field", "data: a cloud event without data holds no exchange")
    try:
        return attributes, base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("wrong-type", "data_base64: is not base64") from None


def half_of(attributes: Mapping[str, str], data: bytes, context: Context) -> Half | None:
    """The half of a call that an event holds; None where it is an event of another kind.

    The deployment is the inference service; its canary endpoint is a deployment of its own, because that is where a
    changed checkpoint appears first.
    """
    side = next((side for ending, side in _SIDES.items() if attributes["type"].endswith(ending)), None)
    if side is None:
        return None
    service = attributes.get("inferenceservicename")
    endpoint = attributes.get("endpoint") or "default"
    parts = [attributes.get("namespace"), service, None if endpoint == "default" else endpoint]
    named = "/".join(part for part in parts if part) if service else None
    fields = {
        "deployment": deployment_of({"deployment": named}, context),
        "model_digest": digest_of({}, context),
        "timestamp": first(attributes.get("time"), attributes.get("recordedtime"), context.timestamp),
    }
    return Half(f"{fields['deployment']}\0{attributes['id']}", side, data, fields)
