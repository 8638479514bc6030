"""`python -m classifiers.training`: the whole of training, its first step alone, and what follows it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from classifiers.card import SHIPPED
from classifiers.training.process import tuned
from classifiers.training.rows import ROOT

WORK = ROOT / ".cache" / "training"
VERSION = "0.8.0"
"""Version that a newly trained artefact gets."""
_SCHEDULE = (
    ("epochs", int),
    ("rate", float),
    ("scale", float),
    ("seed", int),
    ("average", float),
    ("layer-decay", float),
    ("request-passes", int),
    ("start", str),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m classifiers.training")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="fit, export, calibrate, evaluate: writes a whole artefact")
    run.add_argument("--out", type=Path, default=SHIPPED, help="artefact folder to write (default: the shipped one)")
    run.add_argument("--version", default=VERSION)
    fit = commands.add_parser("fit", help="fine-tune only; continues a killed run")
    for command in (run, fit):
        command.add_argument("--run", type=Path, default=WORK / "run", help="folder of checkpoints and weights")
        for name, kind in _SCHEDULE:
            command.add_argument(f"--{name}", type=kind)
        command.add_argument("--embeddings", action="store_true", help="train the word embeddings too")
    card = commands.add_parser("card", help="score the artefact on dev and compare with its card; 1 where they differ")
    card.add_argument("--artefact", type=Path, default=SHIPPED)
    card.add_argument("--run", type=Path, default=WORK / "run", help="folder that holds the fp32 graph, if it is there")
    card.add_argument("--write", action="store_true", help="write the card from what was measured")
    teach = commands.add_parser("teach", help="fine-tune the ensemble by folds and keep its opinions; wants a GPU")
    teach.add_argument("--work", type=Path, default=WORK / "teachers", help="folder of the teachers")
    teach.add_argument("--only", help="one teacher alone, such as bge-small-en-v1.5-0; nothing is merged")
    commands.add_parser("smoke", help="a minute of training, export, reload, same labels")
    return parser


def _schedule(arguments: dict[str, Any]) -> dict[str, Any]:
    names = {name.replace("-", "_") for name, _ in _SCHEDULE} | {"embeddings"}
    return {name: arguments[name] for name in names if arguments.get(name) is not None}


def _fit(arguments: dict[str, Any]) -> Path:
    """Fine-tunes and returns the file of the averaged weights."""
    from classifiers.training.fit import Schedule, train

    return train(arguments["run"], Schedule(**_schedule(arguments)))


def _whole(arguments: dict[str, Any]) -> int:
    """Everything from the labelled pairs to an artefact with its card."""
    from classifiers.training.artefact import FLOAT, make
    from classifiers.training.cardcommand import run

    weights = _fit(arguments)
    make(weights, arguments["out"], arguments["run"], arguments["version"])
    return run(arguments["out"], arguments["run"] / FLOAT, rewrite=True)


def _card(arguments: dict[str, Any]) -> int:
    """Measures the artefact; the name of the fp32 graph is stated here so that this needs no torch."""
    from classifiers.training.cardcommand import run

    return run(arguments["artefact"], arguments["run"] / "float.onnx", rewrite=arguments["write"])


def _teach(arguments: dict[str, Any]) -> int:
    from classifiers.training.teach import run

    return run(arguments["work"], arguments["only"])


def _smoke(_: dict[str, Any]) -> int:
    from classifiers.training.smoke import run

    return run()


def main() -> int:
    """Runs one step of making an artefact, or all of them; returns the exit status."""
    arguments = vars(_parser().parse_args())
    whole = {"run": _whole, "card": _card, "teach": _teach, "smoke": _smoke}.get(arguments["command"])
    if whole is not None:
        return whole(arguments)
    _fit(arguments)
    return 0


if __name__ == "__main__":
    tuned()
    raise SystemExit(main())
