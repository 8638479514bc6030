"""Envelopes of one's own, as a FieldMap describes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from alignwatch import Exchange
from monitor.envelopes._answers import Answer, Reply
from monitor.envelopes._base import Context
from monitor.envelopes._fieldmap_config import FieldMap, steps_of
from monitor.envelopes._fields import deployment_of, derived_id, digest_of, first
from monitor.envelopes._finish import normalise
from monitor.envelopes._messages import text_of
from monitor.envelopes._pair import exchanges_of
from monitor.envelopes._requests import asked_of
from monitor.errors import DecodeError

MILLISECONDS_FROM: Final = 1e11
"""Epoch numbers from here on count milliseconds: as seconds they would lie after the year 5000."""


class FieldMapDecoder:
    """Reads what a FieldMap describes."""

    def __init__(self, fields: FieldMap) -> None:
        self.name = f"field-map:{fields.name}"
        self._map = fields
        paths = fields.model_dump(exclude={"name", "equals"}, exclude_none=True)
        self._steps = {name: steps_of(path) for name, path in paths.items()}

    def why_not(self, obj: Any) -> str | None:
        """None when the paths that tell this envelope apart lead somewhere."""
        if not isinstance(obj, dict):
            return "not an object"
        if self._map.when is not None:
            found = self._get(obj, "when")
            if found is None:
                return f"nothing at {self._map.when}"
            return None if self._map.equals in {None, found if isinstance(found, str) else None} else "when: not equal"
        asked = "prompt" if self._map.prompt is not None else "messages"
        absent = [name for name in (asked, "response") if self._get(obj, name) is None]
        return f"nothing at the path of {' and '.join(absent)}" if absent else None

    def decode(self, obj: Any, context: Context) -> Sequence[Exchange]:
        """One exchange."""
        name = "messages" if self._map.messages is not None else "prompt"
        value = self._get(obj, name)
        if name == "messages" and isinstance(value, str):
            name = "input"
        asked = asked_of({name: value, "system": self._get(obj, "system")}, self.name)
        answer = self._answer(obj)
        identifier = self._get(obj, "id")
        if isinstance(identifier, int | float) and not isinstance(identifier, bool):
            identifier = str(identifier)
        given = self._get(obj, "timestamp")
        return exchanges_of(
            {
                "id": first(identifier, derived_id(given, value, answer.text)),
                "timestamp": first(_time(given), context.timestamp),
                "deployment": deployment_of({"deployment": self._get(obj, "deployment")}, context),
                "model_digest": digest_of({"model_digest": self._get(obj, "model_digest")}, context),
                **{name: self._get(obj, name) for name in ("model", "conversation", "user", "tenant")},
            },
            asked,
            Reply([answer]),
        )

    def _answer(self, obj: Any) -> Answer:
        response, refusal = self._get(obj, "response"), self._get(obj, "refusal")
        refused = refusal is True or (isinstance(refusal, str) and bool(refusal))
        if response is None and not refused:
            raise DecodeError("missing-field", f"{self.name}: response at {self._map.response}: required")
        text = text_of(response, self._map.response) or (refusal if isinstance(refusal, str) else "")
        raw = self._get(obj, "finish_reason")
        reason = raw if isinstance(raw, str) else None
        return Answer(0, text, reason, "model_refusal" if refused else normalise(reason))

    def _get(self, obj: Any, name: str) -> Any:
        for step in self._steps.get(name, (None,)):
            if isinstance(step, str) and isinstance(obj, dict):
                obj = obj.get(step)
            elif isinstance(step, int) and isinstance(obj, list) and -len(obj) <= step < len(obj):
                obj = obj[step]
            else:
                return None
        return obj


def _time(value: Any) -> Any:
    """Epoch milliseconds as seconds, and texts without an offset as UTC; the rest as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= MILLISECONDS_FROM:
        return value / 1000.0
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return f"{value}Z" if moment.tzinfo is None else value
    return value
