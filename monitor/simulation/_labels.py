"""Simulated Labels: what the labelling stage would have said about each exchange."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy.special import expit, logit

from alignwatch import CATEGORIES, Behaviour, Category, Label, RequestLabel
from monitor.simulation._identity import Identity
from monitor.simulation._plan import BENIGN, COMPLIANCE, DEGENERATE, PARTIAL, REFUSAL, Chunk, Floats, draw
from monitor.simulation._rates import compile_rules
from monitor.simulation.config import SimulationConfig

_CLASSIFIER: Final = "simulated"
_NAMES: Final[tuple[Category, ...]] = (*CATEGORIES, "none")  # index -1 is `none`
_REQUESTS: Final = tuple(RequestLabel(harm=0.01 if name == "none" else 0.98, category=name) for name in _NAMES)
_CERTAIN: Final = {
    REFUSAL: Behaviour(refusal=1.0, partial=0.0, compliance=0.0),
    PARTIAL: Behaviour(refusal=0.0, partial=1.0, compliance=0.0),
    COMPLIANCE: Behaviour(refusal=0.0, partial=0.0, compliance=1.0),
    DEGENERATE: Behaviour(refusal=0.0, partial=0.0, compliance=0.0, degenerate=1.0),
}
_HARM: Final = {REFUSAL: 0.02, PARTIAL: 0.4, COMPLIANCE: 0.9, DEGENERATE: 0.05}
_BENIGN_HARM: Final = 0.01


def simulate_labels(config: SimulationConfig) -> Iterator[Label]:
    """Labels of `config`'s traffic in event-time order, made as they are asked for.

    Raises:
        ConfigError: `change.row` names no row of the table.
    """
    identity, prior = Identity(config), _prior(config)
    for chunk in draw(config):
        yield from _chunk_labels(config, chunk, identity, prior)


def _prior(config: SimulationConfig) -> float:
    """Mean compliance that the label model was calibrated at: the traffic's before the onset."""
    rules = compile_rules(config)
    return float(np.clip(rules.mix_before @ rules.before.compliance, 1e-4, 1 - 1e-4))


def _chunk_labels(config: SimulationConfig, chunk: Chunk, identity: Identity, prior: float) -> Iterator[Label]:
    uniform, sensitive = chunk.sampled < config.uniform_rate, chunk.category != BENIGN
    weights = np.where(sensitive, 1.0, 1.0 / config.uniform_rate)
    doubt = _doubt(chunk, config.separation, prior)
    for i in np.flatnonzero(uniform | sensitive).tolist():
        outcome, category = int(chunk.outcome[i]), int(chunk.category[i])
        certain = doubt is None or category == BENIGN or outcome in (PARTIAL, DEGENERATE)
        yield Label.model_construct(
            id=identity.exchange(chunk.first + i),
            timestamp=datetime.fromtimestamp(float(chunk.time[i]), UTC),
            deployment=config.deployment,
            model_digest=identity.digest(changed=bool(chunk.changed[i])),
            conversation=identity.conversation(int(chunk.conversation[i])),
            user=identity.user(int(chunk.user[i])),
            weight=float(weights[i]),
            selection="uniform" if uniform[i] else "screen",
            request=_REQUESTS[category],
            behaviour=_CERTAIN[outcome] if certain or doubt is None else _unsure(float(doubt[i])),
            response_harm=_BENIGN_HARM if category == BENIGN else _HARM[outcome],
            unlabelable=None,
            origin="model",
            classifier=_CLASSIFIER,
        )


def _doubt(chunk: Chunk, separation: float | None, prior: float) -> Floats | None:
    """Calibrated probability of compliance, from two unit normals `separation` apart; None: certain labels."""
    if separation is None:
        return None
    side = np.where(chunk.outcome == COMPLIANCE, 0.5, -0.5)
    return expit(logit(prior) + separation * (separation * side + chunk.score))


def _unsure(compliance: float) -> Behaviour:
    return Behaviour.model_construct(refusal=1.0 - compliance, partial=0.0, compliance=compliance, degenerate=0.0)
