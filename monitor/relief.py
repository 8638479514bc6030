"""Labels a smaller share of traffic while the backlog grows faster than the classifier can work it off.

The share is decided by the length of the backlog alone and before a batch is looked at, and every label's weight is the
inverse of its probability, so rates stay unbiased: what is lost is evidence, not truth.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from monitor.sampling import MIN_KEEP, Sampler
from monitor.sources import TopicPartition

log = logging.getLogger(__name__)

STEP_SECONDS: Final = 5.0
"""Between two changes of the share: the backlog has to show what the last one did."""
LESS: Final = 0.7
MORE: Final = 1.2
CALM: Final = 0.25
"""Below this part of the limit the share grows again; between, it stays."""
MEMORY: Final = 0.8
"""Weight of the past in the records a second that are worked off."""


class Relief:
    """Steers a sampler by the backlog of its source.

    Args:
        sampler: whose `relief` is set.
        lag: records that wait, by partition.
        limit: seconds that working off the backlog may take.
        now: monotonic seconds.
    """

    def __init__(
        self,
        sampler: Sampler,
        lag: Callable[[], Mapping[TopicPartition, int]],
        limit: float,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampler = sampler
        self._lag = lag
        self._limit = limit
        self._now = now
        self._rate: float | None = None
        self._changed_at = now()

    def took(self, records: int, seconds: float) -> None:
        """A batch has been labelled; look at the backlog behind it."""
        if records and seconds > 0.0:
            rate = records / seconds
            self._rate = rate if self._rate is None else MEMORY * self._rate + (1.0 - MEMORY) * rate
        if self._rate is None or self._now() - self._changed_at < STEP_SECONDS:
            return
        backlog = sum(self._lag().values()) / self._rate
        share = self._sampler.relief
        if backlog > self._limit:
            self._set(max(MIN_KEEP, share * LESS), backlog)
        elif backlog < CALM * self._limit and share < 1.0:
            self._set(min(1.0, share * MORE), backlog)

    def _set(self, share: float, backlog: float) -> None:
        self._changed_at = self._now()
        if share == self._sampler.relief:
            return
        level = logging.WARNING if self._sampler.relief == 1.0 or share == 1.0 else logging.INFO
        log.log(level, "labelling another share", extra={"share": round(share, 4), "backlog_seconds": round(backlog)})
        self._sampler.relief = share
