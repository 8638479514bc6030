"""What the Events API v2 asks of an event, field by field."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import Any

MAX_KEY = 255
MAX_SUMMARY = 1024
SEVERITIES = ("critical", "error", "warning", "info")
ACTIONS = ("trigger", "acknowledge", "resolve")


def faults_of(event: Any, *, change: bool = False) -> list[str]:
    """What is wrong with an event, as the API would say it; empty when nothing is."""
    if not isinstance(event, dict):
        return ["the event must be an object"]
    errors = []
    if not re.fullmatch(r"[A-Za-z0-9]{32}", str(event.get("routing_key", ""))):
        errors.append("'routing_key' is missing or not 32 characters")
    if change:
        return errors + _payload_faults(event.get("payload"), required=("summary",))
    action, key = event.get("event_action"), event.get("dedup_key")
    if action not in ACTIONS:
        errors.append(f"'event_action' must be one of {', '.join(ACTIONS)}")
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= MAX_KEY):
        errors.append(f"'dedup_key' must be a string of 1 to {MAX_KEY} characters")
    if action != "trigger":
        return errors if key is not None else [*errors, "'dedup_key' is missing"]
    return errors + _payload_faults(event.get("payload")) + _context_faults(event)


def _payload_faults(payload: Any, required: tuple[str, ...] = ("summary", "source", "severity")) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or not an object"]
    errors = [
        f"'payload.{name}' is missing or blank"
        for name in required
        if not isinstance(payload.get(name), str) or not payload[name].strip()
    ]
    if len(str(payload.get("summary", ""))) > MAX_SUMMARY:
        errors.append(f"'payload.summary' is longer than {MAX_SUMMARY} characters")
    if "severity" in required and payload.get("severity") not in SEVERITIES:
        errors.append(f"'payload.severity' must be one of {', '.join(SEVERITIES)}")
    if "timestamp" in payload and not _is_timestamp(payload["timestamp"]):
        errors.append("'payload.timestamp' is not ISO 8601")
    errors += [
        f"'payload.{name}' must be a string"
        for name in ("component", "group", "class")
        if not isinstance(payload.get(name, ""), str)
    ]
    if not isinstance(payload.get("custom_details", {}), dict):
        errors.append("'payload.custom_details' must be an object")
    return errors


def _context_faults(event: dict[str, Any]) -> list[str]:
    errors = []
    for name, address in (("links", "href"), ("images", "src")):
        items = event.get(name, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) and item.get(address) for item in items):
            errors.append(f"'{name}' must be a list of objects with '{address}'")
    errors += [
        f"'{name}' must be a string" for name in ("client", "client_url") if not isinstance(event.get(name, ""), str)
    ]
    return errors


def _is_timestamp(value: Any) -> bool:
    with contextlib.suppress(ValueError, TypeError):
        return datetime.fromisoformat(value).tzinfo is not None
    return False
