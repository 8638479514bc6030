"""Writes the dashboards: `python deploy/grafana/source [FOLDER]`, by default beside this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import classifier
import deployment
import overview
import pipeline
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).resolve().parent.parent / "dashboards"


def main(folder: Path) -> None:
    """Write every dashboard as JSON; the same input gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for module in (overview, deployment, classifier, pipeline):
        made = module.dashboard()
        text = JSONEncoder(sort_keys=True, indent=2).encode(made)
        (folder / f"{made.uid}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
