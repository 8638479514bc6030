"""PagerDuty, Events API v2: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/.

With the first page of an incident goes a change event about the change nearest before it, which PagerDuty shows beside
the incident and notifies nobody of: https://developer.pagerduty.com/docs/events-api-v2/send-change-events/.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any, Final

from alerts.config import AlertsConfig, PagerDutySinkConfig
from alerts.errors import AlertConfigError
from alerts.guidance import details, headline, links
from alerts.incidents import HEADLINES, SUMMARY_LENGTH
from alerts.message import Message
from alerts.sinks._base import Delivered, HttpPoster, Outcome, Rejected, Retry, Secret, judge, one_line
from alignwatch import Severity

log = logging.getLogger(__name__)

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
        self._change_endpoint = (
            (config.change_endpoint or change_endpoint(config.endpoint)) if config.change_events else None
        )
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
                outcome = self._send(data, key)
                if isinstance(outcome, Delivered) and message.cause in {"opened", "escalated"}:
                    self._tell_change(message, key)
                return outcome
        return Rejected(f"the event is larger than {MAX_BYTES} bytes even without its details")

    def _send(self, data: bytes, key: str) -> Outcome:
        reply = self._poster.post(self._endpoint, data)
        if isinstance(reply, Retry):
            return reply
        outcome = judge(reply, accepted=ACCEPTED)
        if isinstance(outcome, Rejected):
            return Rejected(outcome.reason.replace(key, "(routing key)"))
        return outcome

    def _tell_change(self, message: Message, key: str) -> None:
        """Best effort, and after the page: the page itself names the change, so that its loss costs a convenience."""
        body = change_event(message, self._alerts)
        if body is None or self._change_endpoint is None or message.action != "trigger":
            return
        data = json.dumps({"routing_key": key} | body, ensure_ascii=False).encode("utf-8", "replace")
        reply = self._poster.post(self._change_endpoint, data)
        outcome = reply if isinstance(reply, Retry) else judge(reply, accepted=ACCEPTED)
        if not isinstance(outcome, Delivered):
            log.warning(
                "change event not taken", extra={"sink": self.name, "reason": outcome.reason.replace(key, "(key)")}
            )

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
    return body | {"client_url": alerts.status_url} if alerts.status_url else body


def change_endpoint(endpoint: str) -> str:
    """Where change events go, beside the endpoint of events.

    >>> change_endpoint("https://events.eu.pagerduty.com/v2/enqueue")
    'https://events.eu.pagerduty.com/v2/change/enqueue'
    """
    head, _, last = endpoint.rpartition("/")
    return f"{head}/change/{last}"


def change_event(message: Message, alerts: AlertsConfig) -> dict[str, Any] | None:
    """The body of the change event without the routing key; None where no change is known."""
    incident = message.incident
    change = incident.nearest_change
    if change is None or message.test:
        return None
    what = f"{incident.deployment[:_SOURCE_LENGTH]}: {change.kind} {change.summary}".strip()
    details_ = {"reference": change.reference, "incident": incident.id, "model_digest": incident.model_digest}
    return {
        "payload": {
            "summary": one_line(what, SUMMARY_LENGTH),
            "source": incident.deployment[:_SOURCE_LENGTH],
            "timestamp": change.model_dump(mode="json")["timestamp"],
            "custom_details": {name: value for name, value in details_.items() if value is not None},
        },
        "links": [{"href": link.href, "text": link.text} for link in links(incident, alerts)],
    }


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
