"""Every error that the alerting side raises on purpose.

    AlertError
    +- AlertConfigError   a sink's settings or its secret can't be used; raised before anything is sent
    +- OutboxError        the outbox can't be read or written (disk full, file corrupt, locked)

A sink never raises for a delivery that failed: it returns `Retry` or `Rejected` (see `alerts.sinks`).
"""

from __future__ import annotations

from alignwatch import AlignwatchError


class AlertError(AlignwatchError):
    """Root of the family."""


class AlertConfigError(AlertError):
    """A sink can't be built from its settings: an unknown name, an unreadable secret, a malformed key."""


class OutboxError(AlertError):
    """The outbox could not be read or written; the transaction it was part of must be rolled back."""
