"""How fast to send: exponential back-off with full jitter after failures, a token bucket before successes."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: uniform between 0 and `min(maximum, initial * 2**attempt)`.

    Full jitter spreads the clients that one outage has synchronised; see M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015.

    >>> Backoff(initial=1.0, maximum=60.0).ceiling(3)
    8.0
    >>> Backoff(initial=1.0, maximum=60.0).ceiling(1000)
    60.0
    """

    initial: float = 1.0
    """Seconds; the bound of the first delay."""
    maximum: float = 60.0
    """Seconds; no delay is longer."""

    def __post_init__(self) -> None:
        if not 0 < self.initial <= self.maximum:
            raise ValueError(f"back-off: initial={self.initial}, maximum={self.maximum}; 0 < initial <= maximum")

    def ceiling(self, attempt: int) -> float:
        """The longest delay after failure number `attempt`, counted from 0; seconds."""
        # 2**64 seconds is beyond any maximum, and a larger exponent would overflow a float.
        return min(self.maximum, self.initial * 2.0 ** min(attempt, 64))

    def delay(self, attempt: int, rng: random.Random) -> float:
        """A random delay after failure number `attempt`, counted from 0; seconds."""
        return rng.uniform(0.0, self.ceiling(attempt))


class TokenBucket:
    """At most `burst` at once and `per_minute` in the long run; time is given, never read.

    >>> bucket = TokenBucket(per_minute=60, burst=1)
    >>> bucket.wait(now=0.0), bucket.take(now=0.0), bucket.wait(now=0.25)
    (0.0, True, 0.75)
    """

    def __init__(self, per_minute: float, burst: int) -> None:
        if per_minute <= 0 or burst < 1:
            raise ValueError(f"token bucket: per_minute={per_minute}, burst={burst}; per_minute > 0 and burst >= 1")
        self._per_second = per_minute / 60.0
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until a token is there; 0 when one is."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self._per_second)

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        # The slack absorbs rounding: a caller that waited exactly wait() seconds must find its token.
        if self.wait(now) > 1e-6:  # noqa: PLR2004
            return False
        self._tokens = max(0.0, self._tokens - 1.0)
        return True

    def _refill(self, now: float) -> None:
        # A clock that was set back gives no tokens and takes none.
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_second)
