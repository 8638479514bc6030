"""`alignwatch config show|check|schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.cli._options import config_option, emit, json_option, settings
from monitor.config import Settings


@click.group()
def command() -> None:
    """Settings: what they are, where each comes from, whether they are sound."""


@command.command()
@config_option
@json_option
def show(config_path: Path | None, *, as_json: bool) -> None:
    """Every setting with its value and origin; secrets are masked."""
    rows = settings(config_path).rows()
    if as_json:
        emit([{"key": key, "value": value, "origin": origin} for key, value, origin in rows])
        return
    width = max(len(key) for key, _, _ in rows)
    for key, value, origin in rows:
        click.echo(f"{key:<{width}}  {json.dumps(value)}  [{origin}]")


@command.command()
@config_option
@json_option
def check(config_path: Path | None, *, as_json: bool) -> None:
    """Exit 0 when the settings are sound, else 2 with one line a fault."""
    settings(config_path)
    if as_json:
        emit({"ok": True})
    else:
        click.echo("settings are sound")


@command.command()
def schema() -> None:
    """JSON Schema of the configuration, for editors."""
    click.echo(json.dumps(Settings.model_json_schema(), indent=1))
