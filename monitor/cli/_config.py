"""`alignwatch config show|check|schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.cli._options import always_json_option, config_option, emit, json_option, settings
from monitor.config import Settings
from monitor.errors import ConfigError


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
@click.option("--role", type=click.Choice(["all", "label", "detect"]), default="all", show_default=True)
@json_option
def check(config_path: Path | None, role: str, *, as_json: bool) -> None:
    """Exit 0 when the settings are sound for that role, else 2 with one line a fault."""
    loaded = settings(config_path).settings
    # `detect` reads the labels topic, whatever the source of traffic is.
    if role != "detect" and (faults := loaded.source.faults()):
        raise ConfigError(faults)
    if as_json:
        emit({"ok": True})
    else:
        click.echo("settings are sound")


@command.command()
@always_json_option
def schema() -> None:
    """JSON Schema of the configuration, for editors."""
    click.echo(json.dumps(Settings.model_json_schema(), indent=1))
