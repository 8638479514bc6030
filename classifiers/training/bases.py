"""Encoders of the ensemble: the shipped network's own, and one of twice its depth with the same vocabulary.

The latter comes from Maven Central, inside LangChain4j's embedding jar (the model MIT, the jar Apache-2.0): weights in
ONNX, turned back into a folder that transformers loads.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from classifiers.errors import ClassifierError
from classifiers.training.ensemble import ENCODERS
from classifiers.training.kept import FOLDER
from classifiers.training.network import BASE

JARS = "dev.langchain4j:langchain4j-embeddings-{name}:0.36.2"
FOREIGN = {"bge-small-en-v1.5": "bge-small-en-v15"}
"""Model (BAAI/bge-small-en-v1.5, Xiao et al. 2023, arXiv 2309.07597) and the end of its jar's name."""
LAYERS = 12
_PRODUCT = re.compile(r"/(encoder/layer\.\d+/.+)/MatMul$")


def base(name: str, folder: Path = FOLDER / "bases") -> Path:
    """The folder of an encoder, fetched with Maven at first.

    Raises:
        ClassifierError: it is none of ours, or Maven did not bring it.
    """
    if name == ENCODERS[0]:
        return BASE
    if name not in FOREIGN:
        raise ClassifierError(f"encoder {name!r}: must be one of {list(ENCODERS)}")
    found = folder / name
    if not (found / "model.safetensors").is_file():
        _convert(_fetch(name, folder), name, found)
    return found


def _fetch(name: str, folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise ClassifierError(f"encoder {name}: needs Maven (`mvn`) to be fetched, and there is none")
    artefact = JARS.format(name=FOREIGN[name])
    command = [maven, "-q", "dependency:copy", f"-Dartifact={artefact}", f"-DoutputDirectory={folder}"]
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603 - fixed words
    _, jar, version = artefact.split(":")
    if done.returncode:
        raise ClassifierError(f"encoder {name}: Maven did not bring {artefact}: {done.stdout.strip()[-300:]}")
    return folder / f"{jar}-{version}.jar"


def _convert(jar: Path, name: str, target: Path) -> None:
    """Weights of the ONNX graph under the names that transformers gives them; products hold them transposed."""
    import onnx
    from onnx import numpy_helper
    from safetensors.numpy import save_file

    with zipfile.ZipFile(jar) as files:
        graph = onnx.load_model_from_string(files.read(f"{name}.onnx")).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights: dict[str, Any] = {
        k: v for k, v in tensors.items() if re.match(r"(embeddings|encoder)\..+(weight|bias)$", k)
    }
    for node in graph.node:
        where = _PRODUCT.match(node.name)
        if node.op_type == "MatMul" and where and node.input[1] in tensors:
            weights[where[1].replace("/", ".") + ".weight"] = tensors[node.input[1]].T.copy()
    config = json.loads((BASE / "config.json").read_text("utf-8"))
    config.update(num_hidden_layers=LAYERS, _name_or_path=name)
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")
    save_file(weights, str(target / "model.safetensors"), metadata={"format": "pt"})
