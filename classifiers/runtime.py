"""The classifier at run time: one int8 ONNX session, a request pass over prompts and an answer pass over answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from alignwatch import Behaviour, Category, RequestLabel
from classifiers.card import SHIPPED, Card, load_card
from classifiers.errors import ArtefactInvalid, ArtefactMissing, ClassifierError
from classifiers.heads import HEADS, Heads
from classifiers.readable import MIN_ANSWER, MIN_PROMPT, unreadable
from classifiers.records import Pair, PairLabels, Unlabelable
from classifiers.windows import clip, frame, visible_answer

MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
BATCH_TOKENS: Final = 1024
"""Default bound on rows x longest row of one session call: a tenth of a second on one slow core. Four times as many
tokens fall out of its cache and take half as long again each."""
REQUEST_TYPE: Final = 0
ANSWER_TYPE: Final = 1
"""Token type ids that tell the encoder which pass it is in."""

Floats = npt.NDArray[np.float32]


class Encoder:
    """The ONNX session: token sequences in, logits out, batched by length."""

    def __init__(self, file: Path, *, threads: int, batch_tokens: int, pad: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle cores belong to the gateway
        options.enable_cpu_mem_arena = True  # the arena keeps the largest batch ever seen
        options.enable_mem_pattern = False
        self._pad = pad
        self._batch_tokens = batch_tokens
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises many types of its own, all derived from Exception alone
            raise ArtefactInvalid(file, f"onnxruntime cannot load it ({type(error).__name__})") from error

    def batches(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of the sequences in batches of like length, none above the token bound unless it is one row."""
        batch: list[int] = []
        for index in sorted(range(len(sequences)), key=lambda i: len(sequences[i])):
            if batch and len(sequences[index]) * (len(batch) + 1) > self._batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def feed(self, sequences: Sequence[Sequence[int]], kind: int) -> dict[str, npt.NDArray[np.int64]]:
        """Session inputs of one batch, padded to its longest row."""
        width = max(map(len, sequences))
        ids = np.full((len(sequences), width), self._pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.full_like(ids, kind)}

    def logits(self, sequences: Sequence[Sequence[int]], kind: int) -> Floats:
        """Logits of all heads, shape (len(sequences), HEADS), in the order given."""
        out = np.empty((len(sequences), HEADS), dtype=np.float32)
        for batch in self.batches(sequences):
            out[batch] = self.session.run(["logits"], self.feed([sequences[i] for i in batch], kind))[0]
        return out


class Classifier:
    """Labels pairs: the request from the prompt alone, the answer's behaviour and harm from the answer alone.

    Either side can therefore be swapped without touching the other's labels. Thread-safe: the session and the
    tokenizer are, and nothing else is written after construction.

    Attributes:
        card: what the artefact says about itself.
        tokenizer: without truncation or padding.
        encoder: the session behind it, for those who want logits.
    """

    def __init__(self, card: Card, tokenizer: Tokenizer, encoder: Encoder) -> None:
        self.card = card
        self.encoder = encoder
        self.tokenizer = tokenizer
        self._heads = Heads(card.runtime.calibration)

    @property
    def digest(self) -> str:
        """`sha256:...` of weights, tokenizer, screen, windows, calibration and thresholds."""
        return self.card.digest

    def label(self, pairs: Sequence[Pair]) -> list[PairLabels]:
        """Labels in the order of the pairs."""
        requests, request_faults = self._requests(pairs)
        wanted = [self._wants_answer(pair, request) for pair, request in zip(pairs, requests, strict=True)]
        answers, answer_faults = self._answers(pairs, wanted)
        return [
            PairLabels(request, *answer, request_fault or answer_fault)
            for request, answer, request_fault, answer_fault in zip(
                requests, answers, request_faults, answer_faults, strict=True
            )
        ]

    def request_sequences(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """Token sequences of the request pass."""
        runtime = self.card.runtime
        texts = self._tokens([pair.prompt for pair in pairs])
        contexts = self._tokens([pair.context for pair in pairs]) if any(p.context for p in pairs) else None
        return [
            frame(ids, runtime.request_window, runtime.special, contexts[i] if contexts else None)
            for i, ids in enumerate(texts)
        ]

    def answer_sequences(self, answers: Sequence[str]) -> list[list[int]]:
        """Token sequences of the answer pass."""
        runtime = self.card.runtime
        texts = self._tokens([visible_answer(answer) for answer in answers])
        return [frame(ids, runtime.answer_window, runtime.special) for ids in texts]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self.tokenizer.encode_batch([clip(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _requests(self, pairs: Sequence[Pair]) -> tuple[list[RequestLabel | None], list[Unlabelable | None]]:
        scripts = self.card.runtime.languages.request
        faults = [unreadable(pair.prompt, scripts, minimum=MIN_PROMPT) for pair in pairs]
        rows = [i for i, fault in enumerate(faults) if fault is None]
        labels: list[RequestLabel | None] = [None] * len(pairs)
        if rows:
            logits = self.encoder.logits(self.request_sequences([pairs[i] for i in rows]), REQUEST_TYPE)
            harm, names = self._heads.harm(logits), self._heads.category(logits).argmax(axis=1)
            for row, score, name in zip(rows, harm.tolist(), names.tolist(), strict=True):
                labels[row] = RequestLabel(harm=round(score, 4), category=self._category(score, name))
        return labels, list(faults)

    def _category(self, harm: float, name: int) -> Category:
        return self.card.runtime.categories[name] if harm >= self.card.thresholds.harm else "none"

    def _wants_answer(self, pair: Pair, request: RequestLabel | None) -> bool:
        if pair.response is None or pair.read_answer == "never":
            return False
        far = request is not None and request.harm < self.card.thresholds.answer_pass
        return pair.read_answer == "always" or not far

    def _answers(
        self, pairs: Sequence[Pair], wanted: Sequence[bool]
    ) -> tuple[list[tuple[Behaviour | None, float | None]], list[Unlabelable | None]]:
        scripts = self.card.runtime.languages.answer
        texts = [pair.response or "" if want else None for pair, want in zip(pairs, wanted, strict=True)]
        faults = [None if text is None else unreadable(text, scripts, minimum=MIN_ANSWER) for text in texts]
        rows = [i for i, (text, fault) in enumerate(zip(texts, faults, strict=True)) if text is not None and not fault]
        labels: list[tuple[Behaviour | None, float | None]] = [(None, None)] * len(pairs)
        if rows:
            logits = self.encoder.logits(self.answer_sequences([texts[i] or "" for i in rows]), ANSWER_TYPE)
            behaviours, harms = self._heads.answer(logits)
            for row, behaviour, harm in zip(
                rows, starmap(_behaviour, behaviours.tolist()), harms.tolist(), strict=True
            ):
                labels[row] = (behaviour, round(harm, 4))
        return labels, list(faults)


def _behaviour(refusal: float, partial: float, compliance: float, degenerate: float) -> Behaviour:
    four = (round(refusal, 4), round(partial, 4), round(compliance, 4), round(degenerate, 4))
    return Behaviour(refusal=four[0], partial=four[1], compliance=four[2], degenerate=four[3])


def load_classifier(
    path: Path | None = None, *, threads: int = 1, batch_tokens: int = BATCH_TOKENS, verify: bool = True
) -> Classifier:
    """Loads an artefact folder, the shipped one by default.

    Args:
        path: folder with `card.json` and the files that it names.
        threads: cores that one session call uses.
        batch_tokens: bound on the padded tokens of one session call; bounds latency and memory.
        verify: check every file against the digest in the card.

    Raises:
        ArtefactMissing: a file is absent.
        ArtefactInvalid: a file cannot be read as what it should be.
        DigestMismatch: a file is not the one that was evaluated.
        ClassifierError: `threads` or `batch_tokens` out of range.
    """
    _at_least("threads", threads, 1)
    _at_least("batch_tokens", batch_tokens, 1)
    folder = SHIPPED if path is None else path
    card = load_card(folder, verify=verify)
    file = folder / TOKENIZER
    if not file.is_file():
        raise ArtefactMissing(file)
    tokenizer = _quietly(lambda: Tokenizer.from_file(str(file)), file)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoder = Encoder(folder / MODEL, threads=threads, batch_tokens=batch_tokens, pad=card.runtime.special.pad)
    return Classifier(card, tokenizer, encoder)


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ClassifierError(f"load_classifier: {name} is {value}; allowed: {low} or more")


def _quietly(load: Callable[[], Tokenizer], file: Path) -> Tokenizer:
    try:
        return load()
    except Exception as error:  # tokenizers raises plain Exception
        raise ArtefactInvalid(file, "not a tokenizer") from error
