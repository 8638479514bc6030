"""The screen: a linear model over hashed word n-grams that looks at every prompt before the encoder does.

It decides only which prompts are labelled for certain; the others are labelled at a known rate, so what it misses costs
precision, never bias.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from classifiers.card import SHIPPED, file_digest, load_card
from classifiers.errors import ArtefactInvalid, DigestMismatch

SCREEN: Final = "screen.npz"
WORDS: Final = 96
"""Words read of a prompt: the first two thirds and the last third of these."""
_WORD: Final = re.compile(r"[a-z0-9']+|[^\x00-\x7f]")
_CHARACTERS: Final = 1200


def words_of(prompt: str) -> list[str]:
    """Lower-case words (or single non-ASCII characters) of a prompt's head and tail, in order."""
    text = prompt if len(prompt) <= _CHARACTERS else f"{prompt[: _CHARACTERS // 2]} {prompt[-_CHARACTERS // 2 :]}"
    words = _WORD.findall(text.lower())
    return words if len(words) <= WORDS else words[: WORDS * 2 // 3] + words[-WORDS // 3 :]


class Hasher:
    """Maps words and neighbouring pairs to rows of a table, remembering the hash of each word that it has met.

    Not thread-safe beyond what CPython's dict gives: two threads may compute the same hash twice, never a wrong one.
    """

    def __init__(self, bits: int, *, memory: int = 200_000) -> None:
        self.mask = np.uint32((1 << bits) - 1)
        self._memory = memory
        self._known: dict[str, int] = {}

    def _word(self, word: str) -> int:
        if len(self._known) >= self._memory:
            self._known.clear()
        value = self._known[word] = zlib.crc32(word.encode())
        return value

    def rows(self, prompts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Rows of all n-grams of all prompts, and how many words each prompt has (0 becomes one padding word).

        Of a prompt with n words there are n single words and n - 1 pairs; all words come first, then all pairs,
        the pair that would span two prompts being replaced by row 0.
        """
        known, word = self._known, self._word
        hashes: list[int] = []
        lengths: list[int] = []
        for prompt in prompts:
            words = words_of(prompt) or [""]
            hashes += [known.get(w) or word(w) for w in words]
            lengths.append(len(words))
        single = np.array(hashes, dtype=np.uint32)
        counts = np.array(lengths, dtype=np.int64)
        pairs = np.zeros_like(single)
        pairs[1:] = (single[:-1] * np.uint32(0x9E3779B1)) ^ (single[1:] * np.uint32(0x85EBCA77))
        pairs ^= pairs >> np.uint32(15)
        pairs &= self.mask
        pairs[np.concatenate(([0], np.cumsum(counts)[:-1]))] = 0
        mixed = single ^ (single >> np.uint32(16))
        return np.concatenate((mixed & self.mask, pairs)), counts


class Screen:
    """Scores prompts by how likely they are sensitive.

    Attributes:
        threshold: scores from here on are hits.
        digest: `sha256:...` of the table's file.
    """

    def __init__(self, weights: npt.NDArray[np.float32], bias: float, threshold: float, digest: str) -> None:
        self._weights = weights
        self._bias = np.float32(bias)
        self._hasher = Hasher(int(weights.size).bit_length() - 1)
        self.threshold = float(threshold)
        self.digest = digest

    def score(self, prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probability-like scores in [0, 1], shape (len(prompts),), from prompts alone."""
        if not prompts:
            return np.empty(0, dtype=np.float32)
        rows, counts = self._hasher.rows(prompts)
        values = self._weights[rows]
        total = values[: values.size // 2] + values[values.size // 2 :]
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        sums = np.add.reduceat(total, starts) / np.sqrt(counts.astype(np.float32))
        return (1.0 / (1.0 + np.exp(-(sums + self._bias)))).astype(np.float32)


def load_screen(path: Path | None = None, *, verify: bool = True) -> Screen:
    """Loads the screen of an artefact folder (the shipped one by default).

    Raises:
        ArtefactMissing: no card or no table.
        ArtefactInvalid: the table is not one.
        DigestMismatch: the table is not the one that the card names.
    """
    folder = SHIPPED if path is None else path
    file = folder / SCREEN
    digest = file_digest(file)
    if verify and (expected := load_card(folder, verify=False).runtime.files.get(SCREEN)) != digest:
        raise DigestMismatch(file, str(expected), digest)
    try:
        with np.load(file, allow_pickle=False) as data:
            weights = data["weights"].astype(np.float32) * np.float32(data["scale"])
            bias, threshold = float(data["bias"]), float(data["threshold"])
    except (ValueError, KeyError, OSError) as error:
        raise ArtefactInvalid(file, f"not a screen table ({error})") from error
    if weights.ndim != 1 or weights.size < 2 or weights.size & (weights.size - 1):  # noqa: PLR2004 - a power of two
        raise ArtefactInvalid(file, f"weights have shape {weights.shape}; one dimension of a power of two is needed")
    weights[0] = 0.0  # the row of pairs that span two prompts
    return Screen(weights, bias, threshold, digest)
