"""Names of simulated exchanges, conversations, users and checkpoints."""

from __future__ import annotations

from hashlib import blake2b

from monitor.simulation._plan import NOISY_USER
from monitor.simulation.config import SimulationConfig


class Identity:
    """Deterministic names, the same for the Exchange and the Label of one simulation."""

    def __init__(self, config: SimulationConfig) -> None:
        key = f"{config.deployment}|{config.start.isoformat()}|{config.seed}"
        self.prefix = config.id_prefix or f"sim-{blake2b(key.encode(), digest_size=5).hexdigest()}"
        self._digests = (config.model_digest, config.digest_after or config.model_digest)

    def exchange(self, number: int) -> str:
        """Unique within and, unless `id_prefix` is set, across simulations of other seeds, starts or deployments."""
        return f"{self.prefix}-{number:08d}"

    def conversation(self, number: int) -> str:
        """Unique in the same way."""
        return f"{self.prefix}-c{number}"

    def user(self, number: int) -> str:
        """The same users come back in every simulation."""
        return "u-noisy" if number == NOISY_USER else f"u-{number}"

    def digest(self, *, changed: bool) -> str | None:
        """Weights digest of the checkpoint that answered."""
        return self._digests[changed]
