"""From a request's body to the records that are kept: split where it holds several, left as it is where it holds one.

Splitting keeps one bad element from taking its neighbours along, and a large batch from exceeding a record's limit.
Elements are cut out of the text, not parsed and written anew.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from monitor.sources import Header, Incoming

NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
KEPT_HEADERS: Final = frozenset({
    "alignwatch-deployment", "x-alignwatch-deployment", "alignwatch-model-digest", "x-alignwatch-model-digest",
    "x-request-id", "agent-session-id", "x-session-id",
})  # fmt: skip
"""What decoders ask for. Everything else, credentials first of all, is not written down."""
MAX_HEADER: Final = 512
MAX_MEMBERS: Final = 64
MAX_RECORDS: Final = 100_000
"""Values of one body. A body of the largest size holds fewer real exchanges, but eight million bare digits, and each
value costs far more memory than its text."""
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


class BadBodyError(Exception):
    """A body that can't be taken: status, reason and detail of the answer."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


def kept_headers(headers: Mapping[str, str]) -> tuple[Header, ...]:
    """The headers of a request that its records keep."""
    return tuple(
        (name, value.encode("utf-8", "replace"))
        for name, value in headers.items()
        if name in KEPT_HEADERS and len(value) <= MAX_HEADER
    )


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content encoding.

    Raises:
        BadBodyError: 413 beyond `limit`, 415 for an encoding that is not read, 400 for a damaged one.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"} or not body:
        return body
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise BadBodyError(415, "encoding", "content-encoding: gzip, deflate and identity are allowed")
    out = b""
    for _ in range(MAX_MEMBERS):
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            out += inflater.decompress(body, limit + 1 - len(out))
        except zlib.error:
            raise BadBodyError(400, "encoding", f"content-encoding: the body is no valid {name}") from None
        if len(out) > limit:
            raise BadBodyError(413, "too-large", f"more than {limit} bytes once decompressed")
        if not inflater.eof:
            raise BadBodyError(400, "encoding", f"content-encoding: the {name} body is cut short")
        # A gzip body may have several members; thousands of empty ones would only cost time.
        body = inflater.unused_data
        if not body:
            return out
    raise BadBodyError(400, "encoding", f"content-encoding: more than {MAX_MEMBERS} gzip members")


def split(body: bytes, content_type: str) -> list[bytes]:
    """The values of a body: one JSON value, the elements of an array, or one value a line.

    Lines are not looked at (what is wrong with one becomes its dead letter); anything else must be JSON.

    Raises:
        BadBodyError: 400, the body is empty or not JSON; 413, more than `MAX_RECORDS` values.
    """
    if content_type in NDJSON:
        return _lines(body)
    try:
        text = body.decode("utf-8").removeprefix("\ufeff")
        start = _skip(text, 0)
        if text[start : start + 1] == "[":
            return [one.encode("utf-8", "surrogatepass") for one in _elements(text, start)]
        _, end = _DECODER.raw_decode(text, start)
    except UnicodeDecodeError as error:
        raise BadBodyError(400, "not-utf8", f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        detail = "the body is empty" if not text.strip() else f"character {error.pos}: {error.msg}"
        raise BadBodyError(400, "not-json", detail) from None
    except (RecursionError, ValueError):
        raise BadBodyError(400, "not-json", "nested deeper, or a number longer, than the parser allows") from None
    return [body] if _skip(text, end) == len(text) else _lines(body)


def _too_many() -> BadBodyError:
    return BadBodyError(413, "too-large", f"at most {MAX_RECORDS} records or lines a request")


def _lines(body: bytes) -> list[bytes]:
    if body.count(b"\n") > MAX_RECORDS:
        raise _too_many()
    found = [line for line in body.split(b"\n") if line.strip()]
    if not found:
        raise BadBodyError(400, "not-json", "the body is empty")
    return found


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found is not None else position


def _elements(text: str, start: int) -> list[str]:
    found: list[str] = []
    position = _skip(text, start + 1)
    if text[position : position + 1] == "]":
        position += 1
    else:
        while True:
            _, end = _DECODER.raw_decode(text, position)
            found.append(text[position:end])
            if len(found) > MAX_RECORDS:
                raise _too_many()
            position = _skip(text, end)
            mark = text[position : position + 1]
            position += 1
            if mark == "]":
                break
            if mark != ",":
                raise json.JSONDecodeError("expecting ',' or ']'", text, min(position - 1, len(text)))
            position = _skip(text, position)
    if _skip(text, position) != len(text):
        raise json.JSONDecodeError("extra data", text, position)
    return found


def cloud_event(headers: Mapping[str, str], body: bytes, content_type: str) -> list[Incoming]:
    """The events of a request in binary, structured or batched mode (CloudEvents HTTP protocol binding, 3).

    Raises:
        BadBodyError: none of the three.
    """
    kept = kept_headers(headers)
    if content_type.startswith("application/cloudevents-batch+json"):
        return [Incoming(one, kept) for one in split(body, "application/json")]
    if content_type.startswith("application/cloudevents"):
        if not content_type.startswith("application/cloudevents+json"):
            raise BadBodyError(415, "content-type", "application/cloudevents: the JSON format is allowed")
        return [Incoming(one, kept) for one in split(body, "application/json")]
    event = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    if "id" not in event or "type" not in event:
        raise BadBodyError(
            400, "no-event", "ce-id and ce-type, or the content type of a structured event, are required"
        )
    attributes = [(f"ce_{name}", value.encode()) for name, value in event.items() if len(value) <= MAX_HEADER]
    return [Incoming(body, (*kept, *attributes), key=event["id"].encode())]


def status_message(text: str, content_type: str) -> bytes:
    """A `google.rpc.Status` that holds a message, as OTLP/HTTP wants its errors."""
    if content_type == "application/json":
        return json.dumps({"message": text}).encode()
    encoded = text.encode()[:127]
    return bytes((0x12, len(encoded))) + encoded


def accepted(count: int) -> dict[str, Any]:
    """The answer to a request that was taken."""
    return {"accepted": count}
