"""The HTTP door: where gateways deliver traffic that they do not write to Kafka.

    POST /v1/exchanges     one exchange, an array, or one a line, in any envelope that the decoders know
    POST /v1/litellm       LiteLLM's generic API logger        the same, under
    POST /v1/kong          Kong's http-log plugin              names that tell
    POST /v1/apisix        APISIX's http-logger plugin         them apart in /metrics
    POST /v1/cloudevents   CloudEvents, binary, structured or batched (KServe's inference logger)
    POST /v1/traces        OTLP/HTTP spans, protobuf or JSON
    POST /v1/logs          OTLP/HTTP log records, protobuf or JSON
    GET  /openapi.json     this, for machines

202 (200 with OTLP, as its specification wants) is the answer only once every record is durable. Whatever a record
holds, its decoding comes later: what is no exchange is counted and becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor.errors import SourceError
from monitor.http._bodies import BadBodyError, accepted, cloud_event, inflate, kept_headers, split, status_message
from monitor.http._openapi import openapi
from monitor.http._telemetry import JSON, split_export
from monitor.metrics import Metrics
from monitor.sources import Inbox, InboxFullError, Incoming

JSON_ROUTES: Final = ("exchanges", "litellm", "kong", "apisix")
OTLP_ROUTES: Final = ("traces", "logs")
IN_LOOP_BYTES: Final = 256 << 10
"""Larger bodies, by their size once decompressed, are split in a worker thread, so that they do not hold up the others.
Below it the split (half a millisecond of ordinary traffic) costs less than handing it over."""
SPLITTERS: Final = 2
"""Worker threads for that, so that one slow body does not stop the rest. Splitting holds the interpreter's lock: more
would only wrest it from the event loop, and those that answer probes are not ours to use up."""
RETRY_SECONDS: Final = 5
_NO_STORE: Final = {"cache-control": "no-store"}


@dataclass(frozen=True)
class Door:
    """What the door needs.

    Attributes:
        inbox: makes records durable.
        max_body_bytes: of a request, before and after decompression.
        max_record_bytes: of a single record; larger OTLP batches are split, other single records refused.
        token: required in `Authorization: Bearer` or `X-Alignwatch-Token`; None where only this machine can connect.
        wait_seconds: for the disk or broker, before the answer is 503.
    """

    inbox: Inbox
    max_body_bytes: int = 16 << 20
    max_record_bytes: int = 1 << 20
    token: str | None = None
    wait_seconds: float = 10.0


Split = Callable[[Request, bytes, str, float], list[Incoming]]
"""A request, its plain body, its content type and when it arrived."""


def door_routes(door: Door, metrics: Metrics) -> list[Route]:
    """The routes of the door."""
    document = openapi(door.max_body_bytes, token=door.token is not None)

    async def describe(_: Request) -> Response:
        return JSONResponse(document, headers=_NO_STORE)

    splits = dict.fromkeys(JSON_ROUTES, _split_json(door))
    splits["cloudevents"] = _split_events(door)
    splits |= {name: _split_otlp(name, door) for name in OTLP_ROUTES}
    splitters = ThreadPoolExecutor(SPLITTERS, "door-split")
    posts = [_route(name, door, metrics, split_body, splitters) for name, split_body in splits.items()]
    return [Route("/openapi.json", describe), *posts]


def _split_json(door: Door) -> Split:
    def split_body(request: Request, body: bytes, content_type: str, arrived: float) -> list[Incoming]:
        headers = kept_headers(request.headers)
        values = split(body, content_type)
        if len(values) == 1 and len(values[0]) > door.max_record_bytes:
            raise BadBodyError(413, "too-large", f"a record of more than {door.max_record_bytes} bytes")
        return [Incoming(value, headers, timestamp=arrived) for value in values]

    return split_body


def _split_events(door: Door) -> Split:
    def split_body(request: Request, body: bytes, content_type: str, arrived: float) -> list[Incoming]:
        events = cloud_event(request.headers, body, content_type)
        if len(events) == 1 and len(events[0].value) > door.max_record_bytes:
            raise BadBodyError(413, "too-large", f"an event of more than {door.max_record_bytes} bytes")
        return [one._replace(timestamp=arrived) for one in events]

    return split_body


def _split_otlp(signal: str, door: Door) -> Split:
    def split_body(request: Request, body: bytes, content_type: str, arrived: float) -> list[Incoming]:
        headers = kept_headers(request.headers)
        parts = split_export(body, content_type, signal, door.max_record_bytes)
        return [Incoming(one, headers, timestamp=arrived) for one in parts]

    return split_body


def _route(name: str, door: Door, metrics: Metrics, split_body: Split, splitters: ThreadPoolExecutor) -> Route:
    otlp = name in OTLP_ROUTES

    async def take(request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            records = await _records(request, door, content_type, split_body, splitters)
            await _keep(door, records)
        except BadBodyError as refusal:
            metrics.ingested(name, refusal.status)
            return _refused(refusal, content_type, otlp=otlp)
        except ClientDisconnect:
            metrics.ingested(name, 400)
            return Response(status_code=400)
        status = 200 if otlp else 202
        metrics.ingested(name, status)
        if not otlp:
            return JSONResponse(accepted(len(records)), 202, _NO_STORE)
        # The empty response message: nothing was rejected.
        return Response(b"{}" if content_type == JSON else b"", 200, _NO_STORE, content_type)

    return Route(f"/v1/{name}", take, methods=["POST"])


async def _records(
    request: Request, door: Door, content_type: str, split_body: Split, splitters: ThreadPoolExecutor
) -> list[Incoming]:
    _admit(request, door)
    body = await _read(request, door.max_body_bytes)
    arrived = time.time()
    encoding = request.headers.get("content-encoding", "")
    plain = _small(body, encoding, door.max_body_bytes)
    if plain is not None:
        return split_body(request, plain, content_type, arrived)

    def prepare() -> list[Incoming]:
        return split_body(request, inflate(body, encoding, door.max_body_bytes), content_type, arrived)

    return await asyncio.get_running_loop().run_in_executor(splitters, prepare)


def _small(body: bytes, encoding: str, limit: int) -> bytes | None:
    """The body without its encoding; None where it is too large for the event loop, which only inflating can tell."""
    if len(body) > IN_LOOP_BYTES:
        return None
    try:
        return inflate(body, encoding, min(limit, IN_LOOP_BYTES))
    except BadBodyError as refusal:
        if refusal.status != 413:  # noqa: PLR2004 - Content Too Large
            raise
        return None


def _admit(request: Request, door: Door) -> None:
    """Refuse browsers, whoever does not know the token, and what says that it is too large.

    A page in a browser on this machine can post to loopback without asking; it can't keep its `Origin` back.
    """
    if "origin" in request.headers or request.headers.get("sec-fetch-site") not in {None, "none"}:
        raise BadBodyError(403, "browser", "requests of web pages are not taken")
    if door.token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        shown = given.strip() if scheme.lower() == "bearer" else request.headers.get("x-alignwatch-token", "")
        if not hmac.compare_digest(shown.encode(), door.token.encode()):
            raise BadBodyError(401, "token", "Authorization: Bearer, or X-Alignwatch-Token, with the token is required")
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > door.max_body_bytes:
        raise BadBodyError(413, "too-large", f"at most {door.max_body_bytes} bytes a request")


async def _read(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise BadBodyError(413, "too-large", f"at most {limit} bytes a request")
        parts.append(part)
    return b"".join(parts)


async def _keep(door: Door, records: Sequence[Incoming]) -> None:
    """Wait until all records are durable."""
    if not records:
        return
    try:
        future = door.inbox.put(records)
        await asyncio.wait_for(asyncio.wrap_future(future), door.wait_seconds)
    except InboxFullError:
        raise BadBodyError(429, "full", "no room just now; come back later") from None
    except (SourceError, TimeoutError):
        # Why is in the log and in /readyz; a sender needs to know only that nothing was promised.
        raise BadBodyError(503, "not-durable", "the records could not be made durable; send them again") from None


def _refused(refusal: BadBodyError, content_type: str, *, otlp: bool) -> Response:
    headers = dict(_NO_STORE)
    if refusal.status in {429, 503}:
        headers["retry-after"] = str(RETRY_SECONDS)
    if refusal.status == 401:  # noqa: PLR2004 - Unauthorized
        headers["www-authenticate"] = "Bearer"
    if otlp:
        kind = JSON if content_type == JSON else "application/x-protobuf"
        text = f"{refusal.reason}: {refusal.detail}"
        return Response(status_message(text, kind), refusal.status, headers, kind)
    body = {"error": {"reason": refusal.reason, "detail": refusal.detail}}
    return JSONResponse(body, refusal.status, headers)
