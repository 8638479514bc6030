"""`run --role label`: traffic to a `labels` topic, in transactions that also commit the offsets they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monitor.dedup import SeenIds
from monitor.errors import SourceError
from monitor.intake import Intake
from monitor.sources import Record, TopicPartition, Transactions
from monitor.worker import ReadAgainError


class LabelStage:
    """Stateless labelling: everything a batch leads to is on the topics together with its offsets, or not at all.

    A batch is committed before the next poll. That keeps the arithmetic of rebalances simple: between the poll that
    brought a batch and its commit no other member can have been given its partitions without our membership having
    ended, and then the broker refuses the transaction. A partition that went away while the batch was being labelled
    spoils the batch, which is read again by whoever has its partitions now.

    Args:
        intake: records to labels.
        seen: the intake's memory of ids; what a failed batch added is taken back.
        transactions: where labels go; dead letters may use the same.
        topic: of labels, keyed by deployment so that one detector sees all of it.
        membership: proof that the group still counts on us.
    """

    def __init__(
        self,
        intake: Intake,
        seen: SeenIds,
        transactions: Transactions,
        topic: str,
        membership: Callable[[], Any],
    ) -> None:
        self._intake = intake
        self._seen = seen
        self._transactions = transactions
        self._topic = topic
        self._membership = membership
        self._parts: set[TopicPartition] = set()
        self._spoiled = False

    def take(self, records: Sequence[Record]) -> bool:
        """Label the records; True, since a batch is committed at once."""
        self._parts |= {one.where for one in records}
        for label in self._intake.read(records):
            self._transactions.send(self._topic, label.deployment.encode(), label.to_json().encode())
        return True

    def forget(self, parts: frozenset[TopicPartition]) -> bool:
        """The group's offsets lead where somebody else may have been."""
        self._spoiled = self._spoiled or bool(parts & self._parts)
        return True

    def commit(self, positions: dict[TopicPartition, int]) -> None:
        """One transaction: labels, dead letters, offsets.

        Raises:
            ReadAgainError: it failed, or the batch was spoiled by a rebalance.
        """
        if self._spoiled:
            self._drop()
            raise ReadAgainError("partitions of the batch in hand went to another member", fault=False)
        if not self._parts:
            return
        offsets = {part: positions[part] for part in self._parts}
        try:
            self._transactions.commit(offsets, self._membership())
        except SourceError as error:
            self._drop()
            raise ReadAgainError(f"labels topic {self._topic!r}: {error}") from error
        self._parts.clear()
        self._seen.committed()

    def recover(self) -> None:
        """Shut out what an unfinished transaction still has under way."""
        self._transactions.recover()

    def _drop(self) -> None:
        self._transactions.discard()
        self._seen.rollback()
        self._parts.clear()
        self._spoiled = False
