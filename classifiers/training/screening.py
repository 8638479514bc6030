"""Trains the screen: logistic regression over the hashed words and word pairs that the run time reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from classifiers.screen import Hasher, Screen, words_of
from classifiers.training.measure import auc
from classifiers.training.network import Network, tokenizer
from classifiers.training.requests import dev_requests, train_requests
from classifiers.training.rows import Row

BITS = 20
"""Rows of the table, as a power of two: with 2^18 the words of the vocabulary disturb one another."""
FIRST_WORD = 1000
"""Ids below are placeholders, signs and single letters."""
CLIPPED = 0.9995
"""Quantile of the weights that becomes 127: the few above are clipped, the many below keep their resolution."""
COCONOT = "allenai/noncompliance"
PASS = 0.15
"""Share of ordinary benign prompts that may pass: labelling them costs time, a miss costs precision."""


def features(prompts: list[str], bits: int = BITS) -> csr_matrix:
    """The run time's features as a sparse matrix, one row a prompt, each n-gram weighing 1 / sqrt(words)."""
    rows, counts = Hasher(bits).rows(prompts)
    owner = np.repeat(np.arange(len(prompts)), counts)
    value = np.repeat(1.0 / np.sqrt(counts), counts)
    columns = rows.astype(np.int64)
    value = np.concatenate((value, value)) * (columns != 0)
    return csr_matrix((value, (np.concatenate((owner, owner)), columns)), shape=(len(prompts), 1 << bits))


class WordVectors:
    """The base encoder's input embedding of each word (mean of its pieces), centred and of unit length."""

    def __init__(self) -> None:
        self._tokenizer = tokenizer()
        table = Network().encoder.embeddings.word_embeddings.weight.detach().numpy()
        table = table - table[FIRST_WORD:].mean(axis=0)
        self._table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def __call__(self, word: str) -> npt.NDArray[np.float32]:
        """Shape (384,)."""
        if word not in self._known:
            ids = self._tokenizer.encode(word, add_special_tokens=False).ids
            self._known[word] = self._table[ids].mean(axis=0) if ids else np.zeros(self._table.shape[1], np.float32)
        return self._known[word]

    def sums(self, prompts: list[str]) -> npt.NDArray[np.float32]:
        """Sum over the words that the screen reads, by 1 / sqrt(words); shape (len(prompts), 384)."""
        each = [words_of(prompt) or [""] for prompt in prompts]
        return np.stack([np.sum([self(w) for w in words], axis=0) / np.sqrt(len(words)) for words in each])

    def words(self) -> list[str]:
        """Every word of the vocabulary that the screen can meet, and every one met so far."""
        whole = {w for w in self._tokenizer.get_vocab() if words_of(w) == [w]}
        return sorted(whole | set(self._known))


def fit_screen(*, strength: float = 6.0, vectors: float = 0.8) -> tuple[npt.NDArray[np.int8], float, float]:
    """Weights as int8, their scale, and the bias.

    Beside the hashed n-grams the model sees word vectors, so that words which training lacks are scored like their
    neighbours. It is linear in both, so a word's share is added to the word's row and costs nothing at run time.

    Args:
        strength: inverse of the L2 penalty.
        vectors: how much the word vectors weigh against the n-grams.
    """
    examples = [r for r in train_requests() if r.harm is not None]
    texts = [r.text for r in examples]
    target = np.array([r.harm for r in examples])
    weight = np.array([r.harm_weight for r in examples])
    weight[target == 0.0] *= weight[target == 1.0].sum() / weight[target == 0.0].sum()
    embed = WordVectors()
    both = hstack([features(texts), csr_matrix(vectors * embed.sums(texts))]).tocsr()
    model = LogisticRegression(C=strength, solver="liblinear", max_iter=200)
    model.fit(both, target, sample_weight=weight)
    weights = model.coef_[0][: 1 << BITS].copy()
    words = embed.words()
    rows, _ = Hasher(BITS).rows(words)
    np.add.at(weights, rows[: len(words)], vectors * np.stack([embed(w) for w in words]) @ model.coef_[0][1 << BITS :])
    scale = float(np.quantile(np.abs(weights[weights != 0.0]), CLIPPED) / 127.0)
    return np.clip(np.round(weights / scale), -127, 127).astype(np.int8), scale, float(model.intercept_[0])


def _groups(rows: list[tuple[Row, float | None]]) -> dict[str, npt.NDArray[np.bool_]]:
    source = np.array([r.source for r, _ in rows])
    harm = np.array([np.nan if h is None else h for _, h in rows])
    blatant = [
        f"andyrdt/refusal_direction:{n}"
        for n in ("advbench", "harmbench_test", "harmbench_val", "tdc2023", "malicious_instruct")
    ]
    suite = "andyrdt/refusal_direction"
    alike = ["mlcommons/ailuminate", "declare-lab/red-instruct", f"{suite}:strongreject", suite]
    harmful, benign = harm == 1.0, harm == 0.0
    return {
        "blatant": harmful & np.isin(source, [*blatant, "bertiev/SimpleSafetyTests"]),
        "benchmark-like": harmful & np.isin(source, alike),
        "mild (Do-Not-Answer, CoCoNot)": harmful & np.isin(source, ["kunishou/do-not-answer-ja", COCONOT]),
        "ordinary benign": benign & np.isin(source, ["tatsu-lab/alpaca_eval", suite]),
        "benign look-alikes": benign & (source == COCONOT),
    }


def make_screen(folder: Path) -> dict[str, Any]:
    """Fits, picks the threshold on dev, writes `screen.npz`, and returns what was measured."""
    weights, scale, bias = fit_screen()
    rows = dev_requests()
    screen = Screen(weights.astype(np.float32) * np.float32(scale), bias, 0.5, "unsaved")
    scores = screen.score([row.prompt for row, _ in rows])
    groups = _groups(rows)
    threshold = float(np.quantile(scores[groups["ordinary benign"]], 1.0 - PASS))
    np.savez_compressed(
        folder / "screen.npz",
        weights=weights,
        scale=np.float32(scale),
        bias=np.float32(bias),
        threshold=np.float32(threshold),
    )
    harm = np.array([np.nan if h is None else h for _, h in rows])
    known = ~np.isnan(harm)
    return {
        "threshold": round(threshold, 4),
        "auc": round(auc(harm[known] == 1.0, scores[known]), 4),
        "hits": {
            name: {"share": round(float((scores[m] >= threshold).mean()), 4), "n": int(m.sum())}
            for name, m in groups.items()
        },
    }
