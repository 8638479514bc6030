"""Writes the network as an int8 ONNX graph whose result for a text does not depend on what else is in the batch.

onnxruntime's dynamic quantisation takes one activation range for the whole batch, so a text's label would move a little
with its neighbours. Here every token row has its own range: q = round(x / s) + 128 with s = max|x| / 127 of that row,
an integer product with per-column int8 weights, and one multiplication back. What a GELU gave is never below -0.17: it
is shifted by that much and takes the whole range. Word embeddings are int8 by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from classifiers.training.compensate import factors, inputs_of_products, products, rounded
from classifiers.training.network import Network

OPSET = 17
NAMES = ("input_ids", "attention_mask", "token_type_ids")
_GELU_FLOOR: Final = 0.17
"""No value of a GELU is below minus this."""


def export_float(network: Network, path: Path) -> None:
    """The network as it was trained, in fp32; rows and columns of the inputs are dynamic."""
    network = network.cpu().float().eval()
    example = tuple(torch.ones(2, 9, dtype=torch.long) for _ in NAMES)
    torch.onnx.export(
        network,
        example,
        str(path),
        input_names=list(NAMES),
        output_names=["logits"],
        dynamic_axes={**{name: {0: "rows", 1: "tokens"} for name in NAMES}, "logits": {0: "rows"}},
        opset_version=OPSET,
        dynamo=False,
    )


def _initialisers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in graph.initializer}


def _int8_rows(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 with one scale for each row."""
    scale = np.maximum(np.abs(weights).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / 127
    return np.clip(np.round(weights / scale), -127, 127).astype(np.int8), scale


class Quantiser:
    """Rewrites a graph: matrix products with constant weights and the word embedding become int8."""

    def __init__(self, model: onnx.ModelProto, levels: int, seen: Mapping[str, np.ndarray]) -> None:
        self.model, self.graph, self.levels, self.seen = model, model.graph, levels, seen
        self.constants = _initialisers(model.graph)
        matrices = {n: numpy_helper.to_array(t) for n, t in self.constants.items() if len(t.dims) == 2}
        self.factors = factors(model.graph, seen, matrices)
        self.nodes: list[onnx.NodeProto] = []
        self.rows: dict[str, tuple[str, str]] = {}
        self._add("q_zero", np.array(128, dtype=np.uint8))
        self._add("q_floor", np.array(0, dtype=np.uint8))
        self._add("q_levels", np.array(1.0 / 127.0, dtype=np.float32))
        self._add("q_shifted_levels", np.array(1.0 / 255.0, dtype=np.float32))
        self._add("q_shift", np.array(_GELU_FLOOR, dtype=np.float32))
        self._add("q_tiny", np.array(1e-9, dtype=np.float32))
        self._add("q_one", np.array(1.0, dtype=np.float32))
        self._add("q_last", np.array([-1]))

    def _add(self, name: str, value: np.ndarray) -> str:
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}_node", **attributes))
        return output

    def _shifted(self, source: str) -> bool:
        return float(self.seen[source].min()) >= -_GELU_FLOOR

    def _row_quantised(self, source: str, width: int) -> tuple[str, str]:
        """The uint8 rows of an activation and their scales; made once where several products read it."""
        if source not in self.rows:
            shifted = self._shifted(source)
            zero, levels = ("q_floor", "q_shifted_levels") if shifted else ("q_zero", "q_levels")
            flat = self._node(
                "Reshape", [source, self._add(f"{source}_width", np.array([-1, width]))], f"{source}_flat"
            )
            if shifted:
                flat = self._node("Add", [flat, "q_shift"], f"{source}_shifted")
            inverse = self._add(f"{source}_inverse", 1.0 / self.factors[source])
            even = self._node("Mul", [flat, inverse], f"{source}_even")
            absolute = self._node("Abs", [even], f"{source}_abs")
            peak = self._node("ReduceMax", [absolute], f"{source}_peak", axes=[-1], keepdims=0)
            floor = self._node("Max", [peak, "q_tiny"], f"{source}_floor")
            scale = self._node("Mul", [floor, levels], f"{source}_scale")
            zeros = self._node("Expand", [zero, self._node("Shape", [scale], f"{source}_n")], f"{source}_zeros")
            rows = self._node("QuantizeLinear", [even, scale, zeros], f"{source}_u8", axis=0)
            column = self._node("Unsqueeze", [scale, "q_last"], f"{source}_column")
            self.rows[source] = (rows, column)
        return self.rows[source]

    def _product(self, node: onnx.NodeProto) -> None:
        source, base = node.input[0], node.output[0]
        weights = numpy_helper.to_array(self.constants[node.input[1]])
        factor = self.factors[source]
        seen = (self.seen[source] / factor).astype(np.float32)
        values, scale = rounded(weights * factor[:, None], seen, self.levels)
        matrix, columns = self._add(f"{base}_w8", values), self._add(f"{base}_ws", scale.reshape(-1))
        rows, row_scale = self._row_quantised(source, weights.shape[0])
        shifted = self._shifted(source)
        inputs = [rows, matrix, "q_one", columns, "q_floor" if shifted else "q_zero"]
        real = self._node("MatMulIntegerToFloat", inputs, f"{base}_f32", domain="com.microsoft")
        flat = self._node("Mul", [real, row_scale], f"{base}_rows")
        if shifted:  # what the shift added, by the weights as they were rounded
            extra = (_GELU_FLOOR / factor) @ (values * scale)
            flat = self._node("Sub", [flat, self._add(f"{base}_extra", extra.astype(np.float32))], f"{base}_real")
        shape = self._node("Shape", [source], f"{base}_in", start=0, end=-1)
        whole = self._node(
            "Concat", [shape, self._add(f"{base}_width", np.array([weights.shape[1]]))], f"{base}_shape", axis=0
        )
        self._node("Reshape", [flat, whole], base)

    def _embedding(self, node: onnx.NodeProto) -> None:
        values, scale = _int8_rows(numpy_helper.to_array(self.constants[node.input[0]]))
        base = node.output[0]
        table, scales = self._add(f"{base}_w8", values), self._add(f"{base}_ws", scale)
        picked = self._node("Gather", [table, node.input[1]], f"{base}_i8", axis=0)
        real = self._node("Cast", [picked], f"{base}_f32", to=TensorProto.FLOAT)
        self._node("Mul", [real, self._node("Gather", [scales, node.input[1]], f"{base}_s", axis=0)], base)

    def _is_vocabulary(self, name: str) -> bool:
        table = self.constants.get(name)
        return table is not None and len(table.dims) == 2 and table.dims[0] > 10_000

    def run(self) -> onnx.ModelProto:
        """The rewritten model."""
        multiplied = {node.output[0] for node in products(self.graph)}
        for node in self.graph.node:
            if node.output[0] in multiplied:
                self._product(node)
            elif node.op_type == "Gather" and self._is_vocabulary(node.input[0]):
                self._embedding(node)
            else:
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        used = {name for node in self.graph.node for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        return self.model


def quantise(source: Path, target: Path, samples: Sequence[tuple[list[int], int]], *, levels: int = 127) -> None:
    """Rewrites an fp32 graph as int8.

    Args:
        source: the file that `export_float` wrote.
        target: where the int8 graph goes.
        samples: token sequences and their pass, on which ranges and rounding are fitted.
        levels: largest weight magnitude; 63 avoids saturation on CPUs without VNNI, at half the resolution.
    """
    model = onnx.load(str(source))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(Quantiser(model, levels, inputs_of_products(source, samples)).run(), str(target))
