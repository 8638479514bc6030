"""Makes degenerate answers from good ones: loops, shuffles, noise, broken encodings. No source labels this class."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_SIGNS = "0123456789.,;:!?()[]{}<>/\\|@#$%^&*_+=~`'\"-"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _loop(text: str, rng: random.Random) -> str:
    words = text.split()
    start = rng.randrange(max(1, len(words) - 8))
    unit = " ".join(words[start : start + rng.randint(1, 8)]) or text
    head = " ".join(words[: rng.choice((0, 0, 10, 30))])
    return f"{head} {(unit + ' ') * rng.randint(15, 60)}".strip()


def _lines(text: str, rng: random.Random) -> str:
    sentence = text.split(". ", maxsplit=1)[0][:120]
    return "\n".join([sentence] * rng.randint(6, 20))


def _shuffle(text: str, rng: random.Random) -> str:
    words = text.split()[:150]
    rng.shuffle(words)
    return " ".join(words)


def _letters(text: str, rng: random.Random) -> str:
    alphabet = _LETTERS + (_SIGNS if rng.random() < 0.5 else "")
    count = rng.randint(5, max(6, min(90, len(text) // 8)))
    return " ".join("".join(rng.choices(alphabet, k=rng.randint(1, 12))) for _ in range(count))


def _signs(_: str, rng: random.Random) -> str:
    return "".join(rng.choices(rng.choice((".", "!", "-", "\n#", _SIGNS)), k=rng.randint(20, 300)))


def _salad(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(w[:: rng.choice((-1, 2))] if rng.random() < 0.7 else w for w in words[:120])


def _collapse(text: str, rng: random.Random) -> str:
    """Starts well and then falls into one token, as a model that has lost its end-of-text token does."""
    words = text.split()[: rng.randint(3, 40)]
    return " ".join(words + [rng.choice((words[-1], "the", "1.", "and", "</s>", "assistant"))] * rng.randint(40, 120))


def _vocabulary(text: str, rng: random.Random, words: Sequence[str]) -> str:
    return " ".join(rng.choices(words, k=rng.randint(15, max(16, min(120, len(text) // 5)))))


def degenerates(texts: Sequence[str], rng: random.Random, count: int) -> list[str]:
    """`count` degenerate texts of eight kinds, made from answers that were good."""
    if not texts:
        return []
    words = [w for text in rng.sample(texts, min(400, len(texts))) for w in text.split()]
    makers: tuple[Callable[[str, random.Random], str], ...] = (
        _loop, _lines, _shuffle, _letters, _signs, _salad, _collapse,
        lambda text, r: _vocabulary(text, r, words),
    )  # fmt: skip
    usable = [text for text in texts if len(text.split()) > 12] or list(texts)
    return [makers[i % len(makers)](rng.choice(usable), rng) for i in range(count)]
