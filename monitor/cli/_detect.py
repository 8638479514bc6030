"""`alignwatch detect LABELS`: stage B alone."""

from __future__ import annotations

from typing import Any

import click

from monitor.cli._recorded import Request, recorded_options, run


@click.command()
@recorded_options
@click.option("--arl", type=click.FloatRange(min=2), help="Every stream's run length in labels, for measuring.")
def command(**options: Any) -> None:
    """Find incidents in FILES of labels (`classify` writes them; - is stdin); exit 1 when there is one."""
    run(Request(**options), labels=True)
