"""Slack, by incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.

A webhook can neither edit nor thread, so each event is a message of its own; the incident's id is in all of them.
"""

from __future__ import annotations

import json
from typing import Any, Final

from alerts.config import AlertsConfig, SlackSinkConfig
from alerts.errors import AlertConfigError
from alerts.guidance import ack_command, headline, links, next_steps, replay_command
from alerts.incidents import HEADLINES, leading_stream, measure, percent
from alerts.message import Message, pages
from alerts.sinks._base import Delivered, HttpPoster, Outcome, Rejected, Retry, Secret, judge
from alignwatch import Incident

HEADER: Final = 150
SECTION: Final = 3000
FIELD: Final = 2000
FIELDS: Final = 10
"""Slack's limits: characters of a header, a section and a field; fields of a section."""
ACCEPTED: Final = (200,)
COLOURS: Final = {"critical": "#a8121d", "error": "#d1372f", "warning": "#d99a1c", "info": "#6b7280"}
RESOLVED: Final = "#0a6b4a"
_MARKS: Final = {"critical": "\u26d4", "error": "\U0001f534", "warning": "\u26a0\ufe0f", "info": "\u2139\ufe0f"}
_WORDS: Final = {
    "acknowledged": "",
    "opened": "",
    "updated": "update: ",
    "escalated": "worse: ",
    "recovered": "",
    "resolved": "",
}


class SlackSink:
    """Posts messages to one channel.

    Raises:
        AlertConfigError: the URL can't be read.
    """

    def __init__(self, config: SlackSinkConfig, alerts: AlertsConfig) -> None:
        self.name = config.name
        self._config = config
        self._alerts = alerts
        self._url = Secret(f"alerts sink {config.name!r}: URL", config.url_file, config.url_env)
        self._url.read()
        self._poster = HttpPoster(config)

    def deliver(self, message: Message) -> Outcome:
        """Post one message."""
        try:
            url = self._url.read()
        except AlertConfigError as error:
            return Retry(str(error))
        # After an escalation the old key is closed, which is book-keeping that nobody needs to read.
        if message.action == "resolve" and message.cause == "escalated":
            return Delivered()
        body = json.dumps(payload(message, self._alerts, self._config.mention)).encode()
        reply = self._poster.post(url, body)
        if isinstance(reply, Retry):
            return reply
        outcome = judge(reply, accepted=ACCEPTED)
        return Rejected(outcome.reason.replace(url, "(URL)")) if isinstance(outcome, Rejected) else outcome

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()


def payload(message: Message, alerts: AlertsConfig, mention: str = "") -> dict[str, Any]:
    """The request's body: a line for notifications, and blocks beside a bar in the severity's colour."""
    incident = message.incident
    closing = message.action != "trigger"
    calls = mention and message.cause in {"opened", "escalated"} and pages(incident)
    # The line itself is not repeated in the blocks: Slack shows `text` above them.
    blocks = [_header(message)]
    if not closing:
        blocks += [*_fields(incident), _section(_steps(message, alerts))]
    blocks.append(_footer(message, alerts))
    return {
        "text": f"{mention} {escape(headline(message))}"[:SECTION] if calls else escape(headline(message))[:SECTION],
        "attachments": [{"color": RESOLVED if closing else COLOURS[incident.severity], "blocks": blocks}],
        "unfurl_links": False,
    }


def escape(text: str) -> str:
    """The three characters that Slack reads as markup; without them no name can call `<!channel>`.

    >>> escape("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _header(message: Message) -> dict[str, Any]:
    incident = message.incident
    if message.test:
        text = "Test of the alert route"
    elif message.action == "acknowledge":
        text = f"\U0001f440 taken by {message.acknowledged_by}: {HEADLINES[incident.verdict]}, {incident.deployment}"
    elif message.action == "resolve":
        text = f"\u2705 {incident.status}: {HEADLINES[incident.verdict]}, {incident.deployment}"
    else:
        words = f"{_WORDS[message.cause]}{HEADLINES[incident.verdict]}, {incident.deployment}"
        text = f"{_MARKS[incident.severity]} {incident.severity}: {words}"
    return {"type": "header", "text": {"type": "plain_text", "text": _cut(text, HEADER), "emoji": True}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, SECTION)}}


def _fields(incident: Incident) -> list[dict[str, Any]]:
    stream = leading_stream(incident)
    pairs: list[tuple[str, str]] = []
    if stream is not None and stream.observed is not None:
        before = "" if stream.baseline is None else f"{percent(stream.baseline)} % → "
        around = "" if stream.interval is None else f" ({percent(stream.interval[0])}-{percent(stream.interval[1])} %)"
        pairs.append((measure(stream.name).capitalize(), f"{before}*{percent(stream.observed)} %*{around}"))
    if incident.onset is not None:
        pairs.append(("Since", f"{incident.onset.estimate:%Y-%m-%d %H:%M} UTC"))
    if incident.nearest_change is not None:
        change = incident.nearest_change
        pairs.append(
            ("Nearest change", f"{escape(change.kind)}, {change.timestamp:%H:%M} UTC {escape(change.summary)}")
        )
    if incident.categories:
        pairs.append(("Categories", ", ".join(one.name for one in incident.categories)))
    if incident.model_digest:
        pairs.append(("Weights", f"`{escape(incident.model_digest)[:23]}`"))
    fields = [{"type": "mrkdwn", "text": _cut(f"*{name}*\n{value}", FIELD)} for name, value in pairs[:FIELDS]]
    return [{"type": "section", "fields": fields}] if fields else []


def _steps(message: Message, alerts: AlertsConfig) -> str:
    steps = "\n".join(f"{i}. {escape(step)}" for i, step in enumerate(next_steps(message), 1))
    take = "" if message.test else f"\nTake it: `{escape(ack_command(message.incident)).replace('`', chr(39))}`"
    return (
        f"*What to do now*\n{steps}{take}\n`{escape(replay_command(message.incident, alerts)).replace('`', chr(39))}`"
    )


def _footer(message: Message, alerts: AlertsConfig) -> dict[str, Any]:
    named = [f"<{_bare(link.href)}|{link.text}>" for link in links(message.incident, alerts)]
    text = " · ".join([*named, escape(message.incident.id)])
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(text, FIELD)}]}


def _bare(url: str) -> str:
    return escape(url).replace("|", "%7C")


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters; a cut must not leave half of an escape behind, which Slack refuses."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    at = cut.rfind("&", len(cut) - 5)
    return (cut[:at] if at >= 0 and ";" not in cut[at:] else cut) + "…"
