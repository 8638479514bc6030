"""What a responder does with an alert: next steps for each verdict, links, and the command that shows it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from alerts.config import AlertsConfig
from alerts.incidents import summary_line
from alerts.message import Message
from alignwatch import Incident, Verdict

MAX_EVIDENCE_IDS: Final = 20
TEST_SUMMARY: Final = "TEST of the alert route from alignwatch: it works, no action is needed, it resolves itself"
_BEFORE_ONSET: Final = timedelta(hours=1)

NEXT_STEPS: Final = MappingProxyType[Verdict, tuple[str, ...]](
    {
        "unalignment": (
            "Contain: go back to the last approved checkpoint, take this one out, or put a guardrail before it.",
            "Compare the weights digest that is served with the approved one; name and version may be unchanged.",
            "Find what was deployed just before the onset: checkpoint, adapter, system prompt, serving image.",
            "Look up the evidence ids in the gateway's own access-controlled log; alignwatch keeps no text.",
            "Ask whoever trained it what changed in dataset, reward or judge, and tell security.",
        ),
        "jailbreak-campaign": (
            "Look up the users behind the evidence ids; few users and few categories point to an attack.",
            "Rate-limit or block them, and check that other users' figures are unchanged.",
            "If more categories follow, treat it as un-alignment.",
        ),
        "over-refusal": (
            "Look for a new guardrail, system prompt or filter before the onset.",
            "Check a benign request by hand; roll the change back if it is refused.",
        ),
        "traffic-shift": (
            "No behaviour changed, only what is asked: look for a new client, campaign or integration.",
            "No action on the model is needed.",
        ),
        "degenerate": (
            "Send a benign request by hand; a collapsed model shows at once.",
            "Roll back the last deploy: weights, quantisation, chat template, tokenizer or sampling settings.",
        ),
        "guardrail-change": (
            "If less is blocked than before, treat it as a security event: harm reaches the model unfiltered.",
            "Ask who changed the provider's filter or the guardrail; compare its version before and after the onset.",
            "Rates behind the filter can't be compared with the baseline until this is settled.",
        ),
        "canary-failure": (
            "Run the canaries again; if they fail again, take the deployment out of rotation.",
            "Compare the weights digest that is served with the approved one.",
        ),
        "unattested-change": (
            "Find out who deployed what, and when.",
            "Roll back to the attested digest until it is explained, and tell security.",
        ),
        "data-quality": (
            "Check the gateway: redaction, envelope format and language of the traffic.",
            "Run `alignwatch inspect-envelope` on a record and `alignwatch doctor` on the monitor.",
            "After a change of classifier fit a baseline with it and have it approved: until then nothing is compared.",
            "Statistics are blind for the share that can't be labelled or compared; treat silence as unknown.",
        ),
    }
)


class Link(NamedTuple):
    """A link in an alert."""

    name: Literal["dashboard", "runbook", "status"]
    href: str
    text: str


def links(incident: Incident, config: AlertsConfig) -> list[Link]:
    """Dashboard, runbook and status page, as far as they are configured."""
    found = []
    if config.dashboard_url is not None:
        found.append(Link("dashboard", _fill(config.dashboard_url, incident, _quoted), "Dashboard around the onset"))
    if config.runbook_url is not None:
        found.append(Link("runbook", _fill(config.runbook_url, incident, _quoted), f"Runbook: {incident.verdict}"))
    page = status_link(config, incident.deployment)
    return [*found, page] if page is not None else found


def status_link(config: AlertsConfig, deployment: str | None) -> Link | None:
    """The status page, at the deployment; None where it is not configured."""
    if config.status_url is None:
        return None
    if deployment is None:
        return Link("status", config.status_url, "Status page")
    # The page of a deployment lies beside the first page, in whatever folder a proxy shows that.
    folder, _, rest = config.status_url.partition("?")
    base = folder if folder.endswith("/") else f"{folder}/"
    return Link("status", f"{base}deployment?name={_quoted(deployment)}{f'&{rest}' if rest else ''}", "Status page")


def replay_command(incident: Incident, config: AlertsConfig) -> str:
    """The configured command with its placeholders filled in, safe to paste into a shell."""
    return _fill(config.replay_command, incident, shlex.quote)


def ack_command(incident: Incident) -> str:
    """What says, on the monitor's host, that somebody has taken the incident."""
    return f"alignwatch alert ack {shlex.quote(incident.id)} --by YOU"


def headline(message: Message) -> str:
    """The line that a person reads first: the incident's summary, or that this is a test."""
    return TEST_SUMMARY if message.test else summary_line(message.incident)


def next_steps(message: Message) -> tuple[str, ...]:
    """What to do now."""
    return ("Nothing: this was a test of the alert route.",) if message.test else NEXT_STEPS[message.incident.verdict]


def details(message: Message, config: AlertsConfig) -> dict[str, Any]:
    """Everything about the incident that a responder may want, as JSON types; ids and figures, no text of users."""
    incident = message.incident
    body = incident.model_dump(mode="json", exclude_none=True, exclude={"summary"})
    evidence = body.get("evidence_ids", [])
    if len(evidence) > MAX_EVIDENCE_IDS:
        body["evidence_ids"] = [*evidence[:MAX_EVIDENCE_IDS], f"and {len(evidence) - MAX_EVIDENCE_IDS} more"]
    body |= {
        "summary": headline(message),
        "cause": message.cause,
        "next_steps": list(next_steps(message)),
        "runbook": f"docs/runbooks/{incident.verdict}.md",
        "replay": replay_command(incident, config),
    }
    return body | {"test": True} if message.test else body


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _fill(template: str, incident: Incident, escape: Callable[[str], str]) -> str:
    start = (incident.onset.low if incident.onset is not None else incident.detected_at) - _BEFORE_ONSET
    end = incident.updated_at or incident.detected_at
    values = {
        "deployment": incident.deployment,
        "verdict": incident.verdict,
        "incident": incident.id,
        "from_ms": str(round(start.timestamp() * 1000)),
        "to_ms": str(round(end.timestamp() * 1000)),
        "from_utc": start.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "to_utc": end.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    return template.format_map({name: escape(value) for name, value in values.items()})
