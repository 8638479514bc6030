"""Keeps kafka-python from losing a rebalance that finished between two polls."""

from __future__ import annotations

from typing import Any


def keep_finished_joins(consumer: Any) -> None:
    """Let a join that completed while nobody polled count, instead of joining again.

    In kafka-python 3.0 (to 3.0.12 at least) `join_group_async` starts a new JoinGroup whenever the running one is done,
    also when it is done successfully and its poll had merely timed out before. Each new JoinGroup makes every other
    member rejoin: a group whose members label a batch between polls can go on like that for ever, with nobody reading.
    Here the unused outcome is handed to the attempt that would have replaced it, as long as our generation is the one
    that it belongs to.

    The same client forgets a join for good where new partitions alone called for it and no poll waited until its end:
    the leader notes in the middle of the join which partitions it knows, and from then on nothing seems to call for it.
    Without its outcome and without heartbeats, that member reads nothing any more. Here a join under way is called for
    until it was used. Where the client's internals look different, nothing is changed.
    """
    coordinator = consumer._coordinator  # noqa: SLF001 - there is no public place to do this
    names = ("_do_join_and_sync_async", "_on_join_complete_async", "_generation", "request_rejoin")
    if all(hasattr(coordinator, name) for name in names):
        _KeptJoin(coordinator)


class _KeptJoin:
    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator
        self._join = coordinator._do_join_and_sync_async  # noqa: SLF001 - as above
        self._complete = coordinator._on_join_complete_async  # noqa: SLF001 - as above
        self._unused: tuple[Any, bytes] | None = None
        coordinator._do_join_and_sync_async = self.join  # noqa: SLF001 - as above
        coordinator._on_join_complete_async = self.complete  # noqa: SLF001 - as above

    async def join(self) -> bytes:
        """The outcome that nobody waited for, if it still holds; else a new attempt."""
        # Taken back by the client itself, together with the outcome.
        self._coordinator.request_rejoin()
        if self._unused is not None:
            generation, assignment = self._unused
            self._unused = None
            if generation is self._coordinator._generation:  # noqa: SLF001 - as above
                return assignment
        fresh: bytes = await self._join()
        self._unused = (self._coordinator._generation, fresh)  # noqa: SLF001 - as above
        return fresh

    async def complete(self, *arguments: Any) -> None:
        """The outcome is being used."""
        self._unused = None
        await self._complete(*arguments)
