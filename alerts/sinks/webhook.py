"""A webhook in exactly the shape of Alertmanager's, version 4, which every alert receiver understands.

Shape: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Labels name the alert and never change
while it is open, as an alert's fingerprint is made of them; figures are annotations.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final

from alerts.config import AlertsConfig, WebhookSinkConfig
from alerts.errors import AlertConfigError
from alerts.message import Message
from alerts.sinks._alert import alert_annotations, alert_labels, rfc3339
from alerts.sinks._base import Delivered, HttpPoster, Outcome, Retry, Secret, judge

SIGNATURE_HEADER: Final = "X-Alignwatch-Signature-256"
TIMESTAMP_HEADER: Final = "X-Alignwatch-Timestamp"
ACCEPTED: Final = range(200, 300)
_NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time: what Alertmanager writes as the end of an alert that is still firing."""


class WebhookSink:
    """Posts alerts as Alertmanager would.

    Raises:
        AlertConfigError: the URL, token or signing secret can't be read.
    """

    def __init__(
        self, config: WebhookSinkConfig, alerts: AlertsConfig, *, now: Callable[[], float] = time.time
    ) -> None:
        self.name = config.name
        self._alerts = alerts
        self._now = now
        what = f"alerts sink {config.name!r}"
        self._url = config.url
        self._url_secret = Secret(f"{what}: URL", config.url_file, config.url_env)
        self._token = Secret(f"{what}: bearer token", config.bearer_token_file, config.bearer_token_env)
        self._hmac = Secret(f"{what}: HMAC secret", config.hmac_secret_file, config.hmac_secret_env)
        self._target()
        self._headers(b"")
        self._poster = HttpPoster(config)

    def _target(self) -> str:
        return self._url_secret.read() if self._url is None else self._url

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token.read()}"} if self._token.given else {}
        if self._hmac.given:
            timestamp = str(int(self._now()))
            headers[TIMESTAMP_HEADER] = timestamp
            headers[SIGNATURE_HEADER] = signature(self._hmac.read(), timestamp, body)
        return headers

    def deliver(self, message: Message) -> Outcome:
        """Send one event."""
        if message.action == "acknowledge":
            # The shape has no word for it.
            return Delivered()
        body = json.dumps(payload(message, self._alerts, self.name), ensure_ascii=False).encode("utf-8", "replace")
        try:
            url, headers = self._target(), self._headers(body)
        except AlertConfigError as error:
            return Retry(str(error))
        reply = self._poster.post(url, body, headers)
        return reply if isinstance(reply, Retry) else judge(reply, accepted=ACCEPTED)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of `<timestamp>.<body>` in hex; the timestamp stops old requests being replayed."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def payload(message: Message, alerts: AlertsConfig, receiver: str) -> dict[str, Any]:
    """The body: one group of one alert."""
    incident = message.incident
    labels = alert_labels(message)
    annotations = alert_annotations(message, alerts)
    resolved = message.action == "resolve"
    status = "resolved" if resolved else "firing"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(incident.detected_at),
        "endsAt": rfc3339(incident.updated_at or incident.detected_at) if resolved else _NEVER,
        "generatorURL": alerts.status_url or "",
        "fingerprint": fingerprint(labels),
    }
    return {
        "version": "4",
        "groupKey": f'{{}}:{{dedup_key="{message.dedup_key}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": {"alertname": labels["alertname"]},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": alerts.status_url or "",
        "alerts": [alert],
    }


def fingerprint(labels: dict[str, str]) -> str:
    """16 hex digits that are the same for the same labels; as Alertmanager's, opaque to receivers."""
    text = json.dumps(labels, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
