"""`alignwatch replay FILE...`: recorded traffic through stages A and B."""

from __future__ import annotations

from typing import Any

import click

from monitor.cli._recorded import Request, recorded_options, run


@click.command()
@recorded_options
def command(**options: Any) -> None:
    """Run recorded exchanges (JSON lines; .gz and .zst as they are; - is stdin); exit 1 when there is an incident."""
    run(Request(**options), labels=False)
