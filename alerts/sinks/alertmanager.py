"""Prometheus Alertmanager, API v2: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml.

Alertmanager keeps alerts in memory alone, and ends one that nobody tells it of any more. So an open alert is told with
an end some minutes ahead, and told again before that (`refresh_seconds`), as Prometheus does; a resolve is an end that
has passed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from alerts.config import AlertmanagerSinkConfig, AlertsConfig
from alerts.errors import AlertConfigError
from alerts.message import Message
from alerts.sinks._alert import alert_annotations, alert_labels, rfc3339
from alerts.sinks._base import Delivered, HttpPoster, Outcome, Rejected, Retry, Secret, judge

PATH: Final = "/api/v2/alerts"
ACCEPTED: Final = (200,)


class AlertmanagerSink:
    """Posts alerts to every member of an Alertmanager cluster.

    Raises:
        AlertConfigError: the token or the TLS files can't be read.
    """

    def __init__(
        self, config: AlertmanagerSinkConfig, alerts: AlertsConfig, *, now: Callable[[], float] = time.time
    ) -> None:
        self.name = config.name
        self.refresh_seconds = config.refresh_seconds
        self._config = config
        self._alerts = alerts
        self._now = now
        what = f"alerts sink {config.name!r}: bearer token"
        self._token = Secret(what, config.bearer_token_file, config.bearer_token_env)
        self._headers()
        self._poster = HttpPoster(config)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.read()}"} if self._token.given else {}

    def deliver(self, message: Message) -> Outcome:
        """Tell every member; one that takes the alert is enough, for members tell each other what was notified."""
        if message.action == "acknowledge":
            # Alertmanager knows no such thing; a silence would hide an escalation as well.
            return Delivered()
        now = datetime.fromtimestamp(self._now(), UTC)
        alert = alert_of(message, self._alerts, self._config, now)
        body = json.dumps([alert], ensure_ascii=False).encode("utf-8", "replace")
        try:
            headers = self._headers()
        except AlertConfigError as error:
            return Retry(str(error))
        return _best([self._tell(url, body, headers) for url in self._config.urls])

    def _tell(self, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
        reply = self._poster.post(url.rstrip("/") + PATH, body, headers)
        return reply if isinstance(reply, Retry) else judge(reply, accepted=ACCEPTED)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()


def alert_of(message: Message, alerts: AlertsConfig, config: AlertmanagerSinkConfig, now: datetime) -> dict[str, Any]:
    """A `postableAlert`."""
    incident = message.incident
    # Alertmanager refuses an end before the beginning, which a test that is resolved at once, or a clock that runs
    # behind the gateway's, would bring about.
    begin = min(incident.detected_at, now)
    end = now if message.action == "resolve" else now + timedelta(seconds=config.expire_seconds)
    return {
        "labels": config.labels | alert_labels(message),
        "annotations": alert_annotations(message, alerts),
        "startsAt": rfc3339(begin),
        "endsAt": rfc3339(max(end, begin)),
        "generatorURL": alerts.status_url or "",
    }


def _best(outcomes: list[Outcome]) -> Outcome:
    """Delivered where one member took it; else worth a retry where one may take it later; else refused."""
    for kind in (Delivered, Retry, Rejected):
        for outcome in outcomes:
            if isinstance(outcome, kind):
                return outcome
    raise AssertionError("an Alertmanager sink has at least one URL")
