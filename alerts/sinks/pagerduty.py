"""PagerDuty, Events API v2: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/.

Changes go out as change events: https://developer.pagerduty.com/docs/events-api-v2/send-change-events/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from alerts.changes import ChangeEvent
from alerts.config import AlertsConfig, PagerDutySinkConfig
from alerts.errors import AlertConfigError
from alerts.guidance import details, headline, links, status_link
from alerts.incidents import HEADLINES, SUMMARY_LENGTH
from alerts.message import Message
from alerts.sinks._base import HttpPoster, Outcome, Rejected, Retry, Secret, judge, one_line
from alignwatch import Severity

MAX_BYTES: Final = 512 * 1024
"""PagerDuty's limit for a request's body."""
ACCEPTED: Final = (202,)
"""Another 2xx is not PagerDuty but something between us and it, and nobody has been paged."""
_ROUTING_KEY: Final = re.compile(r"[A-Za-z0-9]{32}")
_SOURCE_LENGTH: Final = 255
_BULKY: Final = ("streams", "evidence_ids", "categories", "nearest_change", "next_steps")
"""Details that are left out, the largest first, when an event would be too large."""


class PagerDutySink:
    """Triggers and resolves alerts.

    Raises:
        AlertConfigError: the routing key can't be read or isn't one.
    """

    def __init__(self, config: PagerDutySinkConfig, alerts: AlertsConfig) -> None:
        self.name = config.name
        self._endpoint = config.endpoint
        self._change_endpoint = config.change_endpoint or change_endpoint(config.endpoint)
        self._alerts = alerts
        self._key = Secret(f"alerts sink {config.name!r}: routing key", config.routing_key_file, config.routing_key_env)
        self._read_key()
        self._poster = HttpPoster(config)

    def _read_key(self) -> str:
        key = self._key.read()
        if not _ROUTING_KEY.fullmatch(key):
            raise AlertConfigError(
                f"alerts sink {self.name!r}: the routing key has {len(key)} characters or holds others than letters and"
                " digits; an Events API v2 integration key has 32 letters and digits"
            )
        return key

    def deliver(self, message: Message) -> Outcome:
        """Send one event."""
        try:
            key = self._read_key()
        except AlertConfigError as error:
            return Retry(str(error))
        for body in _bodies(event(message, self._alerts)):
            data = json.dumps({"routing_key": key} | body, ensure_ascii=False).encode("utf-8", "replace")
            if len(data) <= MAX_BYTES:
                return self._send(self._endpoint, data, key)
        return Rejected(f"the event is larger than {MAX_BYTES} bytes even without its details")

    def _send(self, endpoint: str, data: bytes, key: str) -> Outcome:
        reply = self._poster.post(endpoint, data)
        if isinstance(reply, Retry):
            return reply
        outcome = judge(reply, accepted=ACCEPTED)
        if isinstance(outcome, Rejected):
            return Rejected(outcome.reason.replace(key, "(routing key)"))
        return outcome

    def deliver_change(self, change: ChangeEvent) -> Outcome:
        """Tell of a change, which PagerDuty shows beside incidents and notifies nobody of."""
        try:
            key = self._read_key()
        except AlertConfigError as error:
            return Retry(str(error))
        data = json.dumps({"routing_key": key} | change_event(change, self._alerts), ensure_ascii=False)
        return self._send(self._change_endpoint, data.encode("utf-8", "replace"), key)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()


def event(message: Message, alerts: AlertsConfig) -> dict[str, Any]:
    """The request's body without the routing key."""
    base: dict[str, Any] = {"event_action": message.action, "dedup_key": message.dedup_key}
    if message.action != "trigger":
        return base
    incident = message.incident
    body = base | {
        "client": "alignwatch",
        "links": [{"href": link.href, "text": link.text} for link in links(incident, alerts)],
        "payload": {
            "summary": headline(message),
            "source": incident.deployment[:_SOURCE_LENGTH],
            "severity": severity(incident.severity),
            "timestamp": incident.model_dump(mode="json")["detected_at"],
            "component": "model",
            "group": incident.deployment[:_SOURCE_LENGTH],
            "class": "test" if message.test else HEADLINES[incident.verdict],
            "custom_details": details(message, alerts),
        },
    }
    page = status_link(alerts, incident.deployment)
    return body | {"client_url": page.href} if page is not None else body


def change_endpoint(endpoint: str) -> str:
    """Where change events go, beside the endpoint of events.

    >>> change_endpoint("https://events.eu.pagerduty.com/v2/enqueue")
    'https://events.eu.pagerduty.com/v2/change/enqueue'
    """
    head, _, last = endpoint.rpartition("/")
    return f"{head}/change/{last}"


def change_event(change: ChangeEvent, alerts: AlertsConfig) -> dict[str, Any]:
    """The body of the change event without the routing key."""
    source = (change.deployment or "alignwatch")[:_SOURCE_LENGTH]
    details_ = {"kind": change.kind, "deployment": change.deployment, "reference": change.reference}
    body: dict[str, Any] = {
        "payload": {
            "summary": one_line(f"{source}: {change.kind} {change.summary}".strip(), SUMMARY_LENGTH),
            "source": source,
            "timestamp": change.model_dump(mode="json")["timestamp"],
            "custom_details": {name: value for name, value in details_.items() if value is not None},
        },
    }
    page = status_link(alerts, change.deployment)
    return body | {"links": [{"href": page.href, "text": page.text}]} if page is not None else body


def severity(value: Severity) -> str:
    """PagerDuty's severities have the names of ours; what each does is up to the service's urgency rules."""
    return value


def _bodies(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The event, then ever shorter forms of it."""
    yield body
    if "payload" not in body:
        return
    left: dict[str, Any] = dict(body["payload"]["custom_details"])
    for name in _BULKY:
        if left.pop(name, None) is not None:
            left["left_out"] = [*left.get("left_out", ()), name]
            yield body | {"payload": body["payload"] | {"custom_details": left}}
    yield body | {"payload": body["payload"] | {"custom_details": {"left_out": ["all details: too large"]}}}
