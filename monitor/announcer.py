"""Tells receivers of changes: weights that a deployment is served with, its baseline, and the monitor's own settings.

Weights are seen in the traffic. What a process was started with is kept beside the outbox, and compared at the next
start. Offering a change that was offered before does nothing, so all of it may be done again after a restart.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from alerts.changes import ChangeEvent, ChangeQueue
from alerts.episodes import Route
from alerts.errors import OutboxError
from alignwatch import NearestChange
from monitor.config_file import flatten
from monitor.state import transaction
from monitor.status import DeploymentStatus
from monitor.words import moment, percent, short_digest

log = logging.getLogger(__name__)

SECTIONS: Final = frozenset({"source", "decode", "intake", "sampling", "classifier", "labels", "detection", "alerts"})
"""Of the settings, those that change what is seen, or who is told."""
NAMED_KEYS: Final = 8
"""Changed settings that are named; values never are."""
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS outbox_started_with(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
)

Facts = Mapping[str, str]
"""What a process is started with: a text for each name, e.g. of each setting; equal texts mean that nothing changed."""


class Announcer:
    """Offers changes to the queue that carries them to the sinks.

    Args:
        connection: the outbox's own, with no transaction open.
        routes: of all sinks.
        now: epoch seconds.
        lasting: whether the database outlives this process. Where it does not, only changes that happen while we look
            are told: an earlier owner of the deployment has told of those before.
    """

    def __init__(
        self, connection: sqlite3.Connection, routes: Sequence[Route], now: Callable[[], float], *, lasting: bool
    ) -> None:
        self._queue = ChangeQueue(connection, now)
        self._connection = connection
        self._routes = [route for route in routes if route.changes]
        self._now = now
        self._lasting = lasting
        self._known: dict[str, frozenset[NearestChange]] = {}

    def look(self, deployments: Iterable[DeploymentStatus]) -> int:
        """Offer what is new with these deployments; returns how many events were queued."""
        found: list[ChangeEvent] = []
        seen: dict[str, frozenset[NearestChange]] = {}
        for one in deployments:
            seen[one.name] = changes = frozenset(one.changes)
            before = self._known.get(one.name, frozenset() if self._lasting else changes)
            found += [ChangeEvent.of(one.name, change) for change in one.changes if change not in before]
        queued = self._offer(found)
        if queued is None:
            return 0
        # Those that have left come back with what another process has told of.
        self._known = seen
        return queued

    def started_with(self, facts: Facts) -> int:
        """Offer what differs from the last start; returns how many events were queued."""
        if not self._lasting:
            return 0
        try:
            with transaction(self._connection):
                self._connection.execute(_TABLE)
                rows = self._connection.execute("SELECT name, value FROM outbox_started_with").fetchall()
                before = {str(row[0]): str(row[1]) for row in rows}
                events = compare(before, facts, self._now()) if before else []
                queued = sum(self._queue.offer(event, self._routes) for event in events)
                self._connection.execute("DELETE FROM outbox_started_with")
                self._connection.executemany("INSERT INTO outbox_started_with VALUES(?,?)", sorted(facts.items()))
        except (sqlite3.Error, OutboxError) as error:
            # A convenience: it must cost neither the start nor a page.
            log.warning("changes since the last start can't be told", extra={"reason": str(error)})
            return 0
        return queued

    def _offer(self, events: Sequence[ChangeEvent]) -> int | None:
        if not self._routes:
            return 0
        try:
            return sum(self._queue.offer(event, self._routes) for event in events)
        except OutboxError as error:
            # Tried again at the next look.
            log.warning("changes can't be queued", extra={"reason": str(error)})
            return None


def compare(before: Facts, after: Facts, now: float) -> list[ChangeEvent]:
    """What changed between two starts, as events: baselines one by one, settings together."""
    at = datetime.fromtimestamp(now, UTC)
    differs = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    baselines = [name for name in differs if name.startswith("baseline/")]
    settings = [name for name in differs if name not in baselines]
    found = []
    for name in baselines:
        summary = after.get(name) or "is gone: nothing is compared"
        found.append(
            ChangeEvent(deployment=name.partition("/")[2], kind="baseline", timestamp=at, summary=summary[:300])
        )
    if settings:
        named = ", ".join(settings[:NAMED_KEYS])
        more = f" and {len(settings) - NAMED_KEYS} more" if len(settings) > NAMED_KEYS else ""
        found.append(ChangeEvent(kind="settings", timestamp=at, summary=f"of alignwatch differ: {named}{more}"))
    return found


def facts_of(settings: Mapping[str, Any], classifier: str | None, deployments: Iterable[DeploymentStatus]) -> Facts:
    """What a process is started with.

    Args:
        settings: as JSON values; secrets are not among them, as settings hold none.
        classifier: its digest.
        deployments: with the baselines they are compared with.
    """
    # Digests: the settings may hold what nobody should find in a database, such as the sampler's key.
    found = {".".join(key): _digest(value) for key, value in flatten(settings) if key[0] in SECTIONS}
    found["classifier"] = short_digest(classifier)
    for one in deployments:
        if one.baseline is not None:
            base = one.baseline
            by = f"approved by {base.approved_by or 'nobody'}, {base.labels:,} labels"
            rate = f", {percent(base.compliance)} answered" if base.compliance is not None else ""
            found[f"baseline/{one.name}"] = f"of {moment(base.fitted_at)} UTC, {by}{rate}"
    return found


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()
