"""`alignwatch classify FILE`: stage A alone."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from monitor.cli._options import always_json_option, config_option, note, progress, settings
from monitor.recorded import Recorded, labelling_everything


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Where the labels go; stdout when not given.")
@click.option(
    "--every/--sampled", default=True, show_default=True, help="Label every exchange, or sample as configured."
)
@config_option
@always_json_option
def command(files: tuple[str, ...], out: Path | None, config_path: Path | None, *, every: bool) -> None:
    """Label the exchanges of FILES (JSON lines; .gz and .zst as they are; - is stdin), one Label a line."""
    loaded = settings(config_path).settings
    if every:
        loaded = labelling_everything(loaded)
    recorded = Recorded(loaded, labels=False)
    count = 0
    with out.open("w", encoding="utf-8") if out is not None else nullcontext(sys.stdout) as target:
        for labels in progress(recorded.batches(files), "labelling"):
            count += len(labels)
            target.writelines(label.to_json() + "\n" for label in labels)
            target.flush()
    note(f"{count} labels")
    for line in recorded.losses():
        note(line)
