"""Every error that the stream side raises on purpose, so that a caller may catch one family.

MonitorError
+- ConfigError      a setting is wrong; raised before anything starts (exit 2)
+- SourceError      a source can't be opened or read
+- DecodeError      one record is not an exchange; it goes to the dead letters
+- StateError       the state file is corrupt, locked or full; nothing is committed
+- BaselineError    a baseline is missing, unapproved, or of another classifier
"""

from __future__ import annotations

from alignwatch import AlignwatchError


class MonitorError(AlignwatchError):
    """Root of the family."""


class ConfigError(MonitorError):
    """One or more settings are wrong; `faults` holds one line each: key, value, what is allowed."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class SourceError(MonitorError):
    """A source can't be opened, read or acknowledged."""


class DecodeError(MonitorError):
    """A record is not an exchange that we know how to read.

    `reason` is one of a small fixed set (a metric's label); `detail` says where and what is allowed, without content.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StateError(MonitorError):
    """The state can't be read or written; the service stops committing rather than start from nothing."""


class BaselineError(MonitorError):
    """A baseline can't be used: missing, unapproved, malformed, or fitted with another classifier."""
