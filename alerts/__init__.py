"""Verdicts, incidents, the outbox and the sinks that carry pages out."""
