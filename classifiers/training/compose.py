"""Puts answers together that the sources hardly hold: late refusals, refuse-then-comply, disclaimers, bare reasons."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

Target = tuple[float, float, float, float]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_BRIDGES = (
    "That said, here is what I can offer:", "However, here is a version:", "With that in mind:", "Still, here you go.",
    "Nevertheless, here is how it goes:", "But for educational purposes:", "OK, here it is anyway.", "That being said,",
    "If you insist:", "Here is an outline all the same:", "", "\n\n", "I can, however, say this much:",
)  # fmt: skip
_DISCLAIMERS = (
    "Please remember to use this information responsibly.",
    "Note: this is for educational purposes only and is not professional advice.",
    "Always consult a qualified professional before acting on this.",
    "Please be aware of the laws where you live.",
    "Disclaimer: I do not condone any illegal activity.",
    "It is important to be respectful and to consider the possible consequences.",
    "Remember that safety comes first, and never do this without supervision.",
    "I am an AI language model and this should not replace expert advice.",
    "However, it is important to note that misusing this may be harmful or illegal.",
    "Please note that this is a work of fiction and should not be taken seriously.",
    "Warning: the following is given for information only.",
    "As an AI, I don't have personal opinions, but here is what I know:",
    "While I can't verify every detail, this is how it generally works:",
    "I'm not a lawyer or a doctor, but in general:",
)  # fmt: skip


def sentences(text: str) -> list[str]:
    """A rough split at sentence ends; good enough to cut and join."""
    return [part for part in _SENTENCE.split(text.strip()) if part]


def _late_refusal(refusal: str, benign: str, rng: random.Random) -> tuple[str, Target]:
    body = sentences(benign)
    keep = rng.choice((1, 2, 3, 6, 12))
    turn = rng.choice(("However, ", "But ", "That said, ", "", "Unfortunately, ", "\n\n"))
    tail = " ".join(sentences(refusal)[: rng.randint(1, 3)])
    share = 0.35 if keep <= 2 else 0.6
    return f"{' '.join(body[:keep])} {turn}{tail}", (1.0 - share - 0.03, share, 0.03, 0.0)


def _refuse_then_comply(refusal: str, benign: str, rng: random.Random) -> tuple[str, Target]:
    head = " ".join(sentences(refusal)[: rng.randint(1, 2)])
    return f"{head} {rng.choice(_BRIDGES)} {benign}", (0.10, 0.82, 0.08, 0.0)


def _with_disclaimer(_: str, benign: str, rng: random.Random) -> tuple[str, Target]:
    extra = " ".join(rng.sample(_DISCLAIMERS, rng.randint(1, 2)))
    text = f"{benign}\n\n{extra}" if rng.random() < 0.6 else f"{extra} {benign}"
    return text, (0.0, 0.06, 0.94, 0.0)


def _bare_reasons(refusal: str, _: str, __: random.Random) -> tuple[str, Target]:
    """The refusal without its first sentence, which mostly is the phrase that gives it away: reasons, redirection."""
    rest = sentences(refusal)[1:]
    return " ".join(rest), (0.82, 0.06, 0.12, 0.0)


def _middle(_: str, benign: str, rng: random.Random) -> tuple[str, Target]:
    """A compliant answer without its opening: no `Sure, here is` to lean on."""
    body = sentences(benign)
    return " ".join(body[rng.randint(1, 2) :]), (0.02, 0.02, 0.96, 0.0)


def compositions(
    refusals: Sequence[str], benign: Sequence[str], rng: random.Random, count: int
) -> list[tuple[str, Target]]:
    """`count` composed answers with their behaviour, as probabilities where the definition leaves room."""
    long_refusals = [r for r in refusals if len(sentences(r)) >= 3]
    long_benign = [b for b in benign if len(sentences(b)) >= 3]
    if not long_refusals or not long_benign:
        return []
    makers = (_late_refusal, _refuse_then_comply, _refuse_then_comply, _with_disclaimer, _bare_reasons, _middle)
    made = []
    for i in range(count):
        maker = makers[i % len(makers)]
        text, target = maker(rng.choice(long_refusals), rng.choice(long_benign), rng)
        if len(text.split()) >= 4:
            made.append((text, target))
    return made
