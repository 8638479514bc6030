"""`alignwatch schema NAME`."""

from __future__ import annotations

import json

import click

from alignwatch import SCHEMAS, json_schema
from monitor.cli._options import always_json_option


@click.command()
@click.argument("name", type=click.Choice(sorted(SCHEMAS)))
@always_json_option
def command(name: str) -> None:
    """JSON Schema (draft 2020-12) of a record."""
    click.echo(json.dumps(json_schema(name), indent=1))
