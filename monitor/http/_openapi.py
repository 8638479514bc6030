"""The OpenAPI document of the HTTP door."""

from __future__ import annotations

from typing import Any, Final

from alignwatch import Exchange, __version__

_JSON_ROUTES: Final = {
    "/v1/exchanges": "Exchanges in any envelope that the decoders know: one, an array, or one a line.",
    "/v1/litellm": "LiteLLM's standard logging payloads, as its generic API logger posts them.",
    "/v1/kong": "Log entries of Kong's AI plugins, as its http-log plugin posts them.",
    "/v1/apisix": "Log entries of APISIX's ai-proxy plugin, as its http-logger plugin posts them.",
}
_OTLP_ROUTES: Final = {
    "/v1/traces": "OTLP/HTTP spans: GenAI and OpenInference conventions.",
    "/v1/logs": "OTLP/HTTP log records: GenAI events.",
}


def openapi(max_body_bytes: int, *, token: bool) -> dict[str, Any]:
    """OpenAPI 3.1 of the door.

    Args:
        max_body_bytes: as configured.
        token: whether one is required.
    """
    paths: dict[str, Any] = {}
    for path, summary in _JSON_ROUTES.items():
        paths[path] = {"post": _operation(path, summary, _json_bodies(), "202", _accepted())}
    events = {
        "application/json": {"schema": {}},
        "application/cloudevents+json": {"schema": {"type": "object"}},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
    }
    summary = "CloudEvents, binary (ce- headers), structured or batched; KServe's halves are joined by ce-id."
    paths["/v1/cloudevents"] = {"post": _operation("/v1/cloudevents", summary, events, "202", _accepted())}
    for path, told in _OTLP_ROUTES.items():
        bodies = {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}}
        bodies["application/json"] = {"schema": {"type": "object"}}
        response = {"description": "Every record is durable.", "content": bodies}
        paths[path] = {"post": _operation(path, told, bodies, "200", response)}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "alignwatch: HTTP door",
            "version": __version__,
            "description": f"At most {max_body_bytes} bytes a request, before and after decompression (gzip, deflate).",
        },
        "paths": paths,
        "components": {"schemas": {**_exchange(), "Accepted": _ACCEPTED, "Error": _ERROR}},
    }
    if token:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-Alignwatch-Token"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
    return document


_ACCEPTED: Final = {
    "type": "object",
    "required": ["accepted"],
    "properties": {"accepted": {"type": "integer", "description": "Records that are durable now."}},
}
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["reason", "detail"],
            "properties": {"reason": {"type": "string"}, "detail": {"type": "string"}},
        }
    },
}
_REFUSALS: Final = {
    "400": "The body is not what its content type says.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from a web page.",
    "413": "The body, or a record in it, is too large.",
    "415": "A content type or encoding that is not read.",
    "429": "No room just now; Retry-After says when to come back.",
    "503": "The records could not be made durable; send them again.",
}


def _exchange() -> dict[str, Any]:
    """The Exchange schema and those that it refers to, by name."""
    schema = Exchange.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), "Exchange": schema}


def _json_bodies() -> dict[str, Any]:
    one = {"anyOf": [{"$ref": "#/components/schemas/Exchange"}, {"type": "object"}]}
    return {
        "application/json": {"schema": {"anyOf": [one, {"type": "array", "items": one}]}},
        "application/x-ndjson": {"schema": {"type": "string"}},
    }


def _accepted() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Accepted"}
    return {"description": "Every record is durable.", "content": {"application/json": {"schema": schema}}}


def _operation(
    path: str, summary: str, bodies: dict[str, Any], status: str, response: dict[str, Any]
) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refusals = {code: {"description": text, "content": error} for code, text in _REFUSALS.items()}
    return {
        "operationId": path.rsplit("/", 1)[1],
        "summary": summary,
        "requestBody": {"required": True, "content": bodies},
        "responses": {status: response, **refusals},
    }
