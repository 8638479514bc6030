"""`python -m classifiers.training`: fit, and what follows it."""

from __future__ import annotations

import argparse
from pathlib import Path

from classifiers.training.rows import ROOT

WORK = ROOT / ".cache" / "training"


def main() -> None:
    """Runs one step of making an artefact."""
    parser = argparse.ArgumentParser(prog="python -m classifiers.training")
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="fine-tune; continues a killed run")
    fit.add_argument("--run", type=Path, default=WORK / "run")
    for name, kind in (
        ("epochs", int),
        ("rate", float),
        ("scale", float),
        ("seed", int),
        ("average", float),
        ("layer-decay", float),
        ("request-passes", int),
        ("start", str),
    ):
        fit.add_argument(f"--{name}", type=kind)
    fit.add_argument("--embeddings", action="store_true")
    arguments = parser.parse_args()
    from classifiers.training.fit import Run, Schedule

    given = {k: v for k, v in vars(arguments).items() if k not in {"command", "run"} and v is not None}
    Run(arguments.run, Schedule(**given)).go()


if __name__ == "__main__":
    main()
