"""Makes int8 products lose less: outliers of activations move into the weights, and rounding errors cancel.

Both work on samples of what each product reads. Channels with outliers are divided by a factor that their weights are
multiplied by (SmoothQuant, Xiao et al. 2022, arXiv 2211.10438); and each row of weights, once rounded, hands its error
on to the rows that have still to be rounded, in proportion to how the inputs go together (GPTQ, Frantar et al. 2022,
arXiv 2210.17323).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

from classifiers.runtime import ANSWER_TYPE, REQUEST_TYPE
from classifiers.training.batches import sequences
from classifiers.training.network import tokenizer
from classifiers.training.rows import augmentation

Floats = npt.NDArray[np.float32]
MIGRATED: Final = 0.5
"""How much of the outliers' range moves into the weights, on a logarithmic scale; the paper's value."""
_DAMPING: Final = 0.01
_TEXTS: Final = 160
_SEED: Final = 1


def own_sequences() -> list[tuple[list[int], int]]:
    """Token sequences of our own texts with their pass: what the products are sampled on."""
    rng = random.Random(_SEED)
    tok = tokenizer()
    rows = list(augmentation())
    answers = rng.sample([row["response"] for row in rows if row.get("response")], _TEXTS)
    requests = rng.sample([row["prompt"] for row in rows if row.get("prompt")], _TEXTS)
    return [(ids, ANSWER_TYPE) for ids in sequences(answers, tok, answers=True)] + [
        (ids, REQUEST_TYPE) for ids in sequences(requests, tok, answers=False)
    ]


def products(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Matrix products of an activation with a constant matrix."""
    constants = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    every = {tensor.name for tensor in graph.initializer}
    return [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in constants and n.input[0] not in every]


def inputs_of_products(file: Path, samples: Sequence[tuple[list[int], int]]) -> dict[str, Floats]:
    """What each product reads on the samples: every second token, shape (tokens, width), by the activation's name."""
    model = onnx.load(str(file))
    names = sorted({node.input[0] for node in products(model.graph)})
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    seen: dict[str, list[Floats]] = {name: [] for name in names}
    for ids, kind in samples:
        row = np.array([ids])
        feed = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.full_like(row, kind)}
        for name, value in zip(names, session.run(names, feed), strict=True):
            seen[name].append(value.reshape(-1, value.shape[-1])[::2])
    return {name: np.concatenate(values) for name, values in seen.items()}


def smoothing(seen: Floats, weights: Sequence[Floats]) -> Floats:
    """Factor of each channel, by which its activations are divided and its rows of weights multiplied.

    Args:
        seen: samples of the activation, shape (tokens, width).
        weights: the matrices that read it, shape (width, outputs) each.
    """
    peaks = np.maximum(np.abs(seen).max(0), 1e-3)
    rows = np.maximum(np.max([np.abs(matrix).max(1) for matrix in weights], axis=0), 1e-4)
    factor = peaks**MIGRATED / rows ** (1.0 - MIGRATED)
    factor /= np.exp(np.log(factor).mean())
    bounded: Floats = np.clip(factor, 0.02, 50.0).astype(np.float32)
    return bounded


def rounded(weights: Floats, seen: Floats, levels: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """Weights in whole steps of one scale a column, rounded row by row with the error handed on.

    Args:
        weights: shape (width, outputs).
        seen: samples of what is multiplied by them, shape (tokens, width).
        levels: largest magnitude.

    Returns:
        The steps and the scales, shapes (width, outputs) and (1, outputs).
    """
    scale = np.maximum(np.abs(weights).max(0), 1e-12) / levels
    hessian = seen.T.astype(np.float64) @ seen / len(seen)
    hessian += np.eye(len(hessian)) * np.diag(hessian).mean() * _DAMPING
    order = np.argsort(-np.diag(hessian))
    upper = np.linalg.cholesky(np.linalg.inv(hessian[np.ix_(order, order)])).T
    left = weights[order].astype(np.float64)
    steps = np.zeros(weights.shape, dtype=np.int8)
    for i, row in enumerate(order):
        steps[row] = np.clip(np.round(left[i] / scale), -levels, levels)
        left[i + 1 :] -= np.outer(upper[i, i + 1 :], (left[i] - steps[row] * scale) / upper[i, i])
    return steps, scale.astype(np.float32)[None, :]


def factors(graph: onnx.GraphProto, seen: Mapping[str, Floats], matrices: Mapping[str, Floats]) -> dict[str, Floats]:
    """The smoothing factors of every activation that a product reads, by its name."""
    readers: dict[str, list[Floats]] = {}
    for node in products(graph):
        readers.setdefault(node.input[0], []).append(matrices[node.input[1]])
    return {name: smoothing(seen[name], weights) for name, weights in readers.items()}
