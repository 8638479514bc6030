"""Options and output habits that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from alignwatch import Incident
from monitor.config import Loaded, load

Function = TypeVar("Function", bound=Callable[..., Any])


def config_option(function: Function) -> Function:
    """`--config FILE`, from $ALIGNWATCH_CONFIG when not given."""
    return click.option(
        "--config", "-c", "config_path", type=click.Path(path_type=Path), envvar="ALIGNWATCH_CONFIG", help="TOML file."
    )(function)


def json_option(function: Function) -> Function:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")(function)


def always_json_option(function: Function) -> Function:
    """`--json` for a command whose output is JSON whether it is asked for or not, so that scripts may always ask."""
    return click.option("--json", is_flag=True, expose_value=False, help="What is written is JSON with or without it.")(
        function
    )


def baseline_option(function: Function) -> Function:
    """`--baseline FILE`."""
    return click.option(
        "--baseline",
        "-b",
        "baseline_path",
        type=click.Path(path_type=Path),
        help="Approved baseline; else `[baseline] path`.",
    )(function)


def settings(config_path: Path | None) -> Loaded:
    """Load settings for a command; faults end it with exit code 2."""
    return load(config_path)


def progress(items: Iterable[Any], label: str, length: int | None = None) -> Iterator[Any]:
    """Yield the items under a progress bar on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, label=label, length=length, file=sys.stderr) as bar:
        yield from bar


def note(text: str) -> None:
    """A line for the person at the terminal; stdout stays for results."""
    click.echo(text, err=True)


def emit(value: Any) -> None:
    """One JSON line on stdout."""
    click.echo(json.dumps(value, default=str))


def print_incident(incident: Incident, *, as_json: bool) -> None:
    """An incident on stdout: its JSON, or its summary with where to look."""
    if as_json:
        click.echo(incident.to_json())
        return
    click.echo(f"{incident.detected_at:%Y-%m-%d %H:%M:%S}Z  {incident.severity:<8} {incident.status:<9} {incident.id}")
    click.echo(f"  {incident.summary or incident.verdict}")
    if incident.onset is not None:
        onset = incident.onset
        click.echo(
            f"  onset {onset.estimate:%Y-%m-%d %H:%M:%S}Z ({onset.low:%m-%d %H:%M:%S} to {onset.high:%m-%d %H:%M:%S})"
        )
