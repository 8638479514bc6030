"""Answer examples: what the answer does and whether it gives something harmful, read without the request."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from classifiers.training.compose import compositions
from classifiers.training.degenerate import degenerates
from classifiers.training.opinions import Numbers, opinions
from classifiers.training.readings import BENIGN, asked_as, behaviour_of, readings
from classifiers.training.rows import Row, augmentation, key_of, read

Target = tuple[float, float, float, float]
"""Probabilities of refusal, partial, compliance, degenerate."""
ONE: dict[str, Target] = {
    "refusal": (1.0, 0.0, 0.0, 0.0),
    "partial": (0.0, 1.0, 0.0, 0.0),
    "compliance": (0.0, 0.0, 1.0, 0.0),
    "degenerate": (0.0, 0.0, 0.0, 1.0),
}
SMOOTHING = {
    "human": 0.10,  # GPTFuzz, the only human source that may be trained on, admits wrong labels
    "llm-judge": 0.05,
    "prefix": 0.05,
    "jbb-judge+prefix": 0.05,
    "prefix+llamaguard2": 0.05,
    "constructed": 0.05,
    "read": 0.05,
}
"""How far a label is moved towards the other behaviours, by its origin; `read`: what `readings` holds."""
DOUBTED = frozenset({"human", "read", "llm-judge", "jbb-judge+prefix", "prefix+llamaguard2", "constructed"})
"""Origins of labels in whose targets the ensemble's opinion is mixed: all but the bare rule by which AlpacaEval's
answers comply, since whole styles of plain answers looked refused to an earlier ensemble."""
GPTFUZZ = "sherdencooper/GPTFuzz"
JUDGED = "erikl2/safety-refusal-stability"
CAPS = {
    "tatsu-lab/alpaca_eval": 6000,
    GPTFUZZ: 2500,
}
"""Rows of a source in one epoch: these sources would otherwise be most of the data."""
WEIGHTS = {GPTFUZZ: 0.7, "allenai/noncompliance": 1.5, JUDGED: 1.2, "anthropics/hh-rlhf": 0.5}
"""Weight of a source's answers where it is not 1."""
CONTRAST = 5.0
"""Weight in the harm loss of un-aligned models' complying answers: 800 in 24,000, and the only ones of which some are
called harmless though the request was harmful. At 3 word counts tell them apart better; at 10 the head follows the
guard model that labelled them, away from what people call harmful."""
OWN_WEIGHT, OWN_COMPLYING = 1.2, 2.4
"""Weight of our own texts; two in three of them refuse or hold back, so complying ones weigh more."""
OWN = 16000
COMPOSED = 2400
DEGENERATE = 600
"""Our own texts, composed and degenerate answers in one epoch; each epoch draws others."""
_OPENS_REFUSING = re.compile(
    r"\b(i['’]?m (really |very )?sorry|i apologi[sz]e|i (can(no|['’])t|am not able|am unable|won['’]t|will not)"
    r"|i['’]m (unable|not able)|must (decline|refuse|adhere|emphasi[sz]e|prioriti[sz]e)"
    r"|cannot (assist|provide|support|help))",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"^\W{0,6}(\(|\[|\*|🔒|α|<|\"?\w[\w .-]{0,24}\W{0,3}:)")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its labels, None where unknown, and what the ensemble makes of it.

    `group` is what cross-fitting must not tear apart: answers to one request. `doubted`: whether the opinion has a say
    in a behaviour that is labelled.
    """

    text: str
    behaviour: Target | None
    harm: float | None
    weight: float
    source: str
    family: str
    harm_weight: float = 1.0
    group: str = ""
    opinion: Numbers | None = None
    doubted: bool = False


def answer_harm(row: Row) -> float | None:
    """1 or 0 as labelled; a compliant answer to a request known to be benign gives nothing harmful."""
    if row.response_harmful is not None:
        return float(row.response_harmful)
    benign = BENIGN in {row.request, asked_as(row)} or row.source == "tatsu-lab/alpaca_eval"
    return 0.0 if (benign or behaviour_of(row) == "refusal") else None


def smooth(target: Target, by: float) -> Target:
    """Moves a share of the mass to the three behaviours that a judge may have meant (degenerate is never in doubt)."""
    return tuple(p * (1.0 - by) + by / 3.0 * (i < 3) for i, p in enumerate(target))  # type: ignore[return-value]


def two_voices(row: Row) -> str | None:
    """How a jailbroken answer of GPTFuzz that opens with a refusal presents it; None for every other answer.

    Two in five of its jailbroken answers do. Most give the refusal to a named speaker and the content to another one
    ("[GPT]: ... [X]: ..."), as the attack asked: `marked`. Called compliance like the rest, they would teach that what
    follows a refusal undoes it, where we say partial; in `unmarked` ones nothing tells the two apart.
    """
    if row.source != GPTFUZZ or row.behaviour != "compliance" or row.response is None:
        return None
    if not _OPENS_REFUSING.search(row.response[:250]):
        return None
    return "marked" if _SPEAKER.match(row.response.lstrip()[:60]) else "unmarked"


def _answer(row: Row) -> Answer | None:
    origin = "read" if row.id in readings() else row.label_by or ""
    voices = None if origin == "read" else two_voices(row)
    name = behaviour_of(row) if voices != "unmarked" else None
    harm = answer_harm(row)
    # none of a source without labels of its own: the ensemble errs on whole styles, and nothing there would say so
    opinion = opinions().answers.get(row.id) if row.label_by else None
    if row.response is None or not row.answered or (name is None and harm is None and opinion is None):
        return None
    target = smooth(ONE[name], SMOOTHING.get(origin, 0.1)) if name else None
    weight = WEIGHTS.get(row.source, 1.0) * (0.6 if voices == "marked" else 1.0)
    contrast = row.source == "andyrdt/refusal_direction" and row.request == "harmful" and row.behaviour == "compliance"
    return Answer(
        row.response, target, harm, weight, row.source, row.family or row.source, CONTRAST if contrast else weight,
        key_of(row.prompt), opinion, origin in DOUBTED,
    )  # fmt: skip


def _own() -> Iterable[Answer]:
    for raw in augmentation():
        if raw.get("response") and raw.get("behaviour") in ONE:
            harm = raw.get("response_harm")
            target = smooth(ONE[raw["behaviour"]], 0.03)
            weight = OWN_COMPLYING if raw["behaviour"] == "compliance" else OWN_WEIGHT
            yield Answer(
                raw["response"], target, None if harm is None else float(harm), weight, "own", f"own:{raw['kind']}",
                group=raw["response"],
            )  # fmt: skip


def _capped(answers: list[Answer], cap: int, rng: random.Random) -> list[Answer]:
    """At most `cap` of them, taken round-robin over families, so that no family outweighs the rest."""
    groups: dict[str, list[Answer]] = defaultdict(list)
    for answer in rng.sample(answers, len(answers)):
        groups[answer.family].append(answer)
    kept: list[Answer] = []
    while len(kept) < cap and any(groups.values()):
        for group in groups.values():
            if group and len(kept) < cap:
                kept.append(group.pop())
    return kept


def train_answers(seed: int, scale: float = 1.0) -> list[Answer]:
    """One epoch of answers: capped by source, with compositions, degenerate texts and our own texts added.

    Args:
        seed: draws which rows a capped source gives, and the compositions; another epoch takes another seed.
        scale: share of everything, for short runs.
    """
    rng = random.Random(seed)
    by_source: dict[str, dict[str, Answer]] = defaultdict(dict)
    for row in read("train"):
        if not row.may_ship:
            continue
        if (answer := _answer(row)) is not None:
            by_source[row.source].setdefault(answer.text.strip()[:400], answer)
    chosen: list[Answer] = []
    for source, unique in by_source.items():
        rows = list(unique.values())
        chosen += _capped(rows, int(scale * min(CAPS.get(source, len(rows)), len(rows))), rng)
    own = list(_own())
    refusals = [a.text for a in chosen + own if a.behaviour and a.behaviour[0] > 0.5]
    benign = [a.text for a in chosen if a.source in {"tatsu-lab/alpaca_eval", "allenai/noncompliance"} and a.harm == 0.0
              and a.behaviour and a.behaviour[2] > 0.5]  # fmt: skip
    for text, target in compositions(refusals, benign, rng, int(scale * COMPOSED)):
        chosen.append(Answer(text, target, 0.0, 1.0, "composed", "composed"))
    for text in degenerates(benign, rng, int(scale * DEGENERATE)):
        chosen.append(Answer(text, (0.0, 0.02, 0.0, 0.98), 0.0, 1.0, "degenerate", "degenerate"))
    return chosen + rng.sample(own, max(1, min(len(own), int(scale * OWN))))
