"""alignwatch's own envelope: an Exchange as JSON."""

from __future__ import annotations

from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._base import Context
from monitor.envelopes._fields import deployment_of, digest_of, make
from monitor.envelopes._messages import messages_of

KNOWN: Final = frozenset({"id", "timestamp", "deployment", "prompt", "messages", "response"})
ENOUGH: Final = 2
"""Known keys that make an object ours: then a missing one is told by name, rather than "unknown envelope"."""


class NativeDecoder:
    """The native envelope; unknown keys are ignored."""

    name = "native"

    def why_not(self, obj: Any) -> str | None:
        """None when at least two of the known keys are there, and the answer is not another format's object."""
        if not isinstance(obj, dict):
            return "not an object"
        response = obj.get("response")
        if isinstance(response, str) and "id" in obj:
            return None
        if isinstance(response, dict | list):
            return "response is an object or array, a provider's body; here it is the answer's text"
        found = KNOWN & obj.keys()
        if len(found) < ENOUGH:
            has = ", ".join(sorted(found)) or "none of them"
            return f"needs id, timestamp, deployment, response and prompt or messages; has {has}"
        return None

    def decode(self, obj: Any, context: Context) -> list[Exchange]:
        """One exchange."""
        fields = dict(obj)
        if fields.get("messages") is not None:
            fields["messages"] = messages_of(fields["messages"], "messages")
        fields["deployment"] = deployment_of(obj, context)
        fields["model_digest"] = digest_of(obj, context)
        return [make(fields)]
