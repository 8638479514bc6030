"""`alignwatch alert test|list|ack`."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from alerts.outbox import Outbox
from alerts.standing import acknowledge, standings
from alerts.trial import send_test
from alignwatch import SEVERITIES, Severity
from monitor.cli._options import config_option, emit, json_option, note, settings
from monitor.errors import StateError


@click.group()
def command() -> None:
    """Alert delivery."""


@command.command("test")
@click.argument("sink", required=False)
@click.option(
    "--severity", type=click.Choice(SEVERITIES), default="info", show_default=True, help="critical is a drill."
)
@config_option
@json_option
def test_command(sink: str | None, severity: Severity, config_path: Path | None, *, as_json: bool) -> None:
    """Send an alert that says it is a test through SINK, or through each, and resolve it; exit 1 when one fails."""
    results = send_test(settings(config_path).settings.alerts, sink, severity=severity)
    for result in results:
        if as_json:
            emit(result.model_dump(mode="json"))
        else:
            click.echo(
                f"{'ok  ' if result.ok else 'FAIL'} {result.sink} ({result.kind}): {result.detail}, {result.seconds} s"
            )
    if not all(result.ok for result in results):
        raise click.exceptions.Exit(1)


@command.command("list")
@click.option("--all", "show_all", is_flag=True, help="Closed ones as well.")
@config_option
@json_option
def list_command(config_path: Path | None, *, show_all: bool, as_json: bool) -> None:
    """Which incidents people have been told of, and which one somebody has taken."""
    with _outbox(settings(config_path).settings.state.path) as connection:
        found = standings(connection)
    for incident, one in found.items():
        if one.state == "resolved" and not show_all:
            continue
        if as_json:
            emit({"incident": incident} | one.model_dump(mode="json"))
            continue
        taken = f" by {one.acknowledged_by}" if one.acknowledged_by else ""
        told = f", told {', '.join(one.told)}" if one.told else ""
        waiting = f", {', '.join(one.waiting)} still to be told" if one.waiting else ""
        click.echo(f"{incident}  {one.state}{taken}{told}{waiting}")


@command.command("ack")
@click.argument("incident")
@click.option("--by", required=True, help="Who has taken it.")
@config_option
@json_option
def ack_command(incident: str, by: str, config_path: Path | None, *, as_json: bool) -> None:
    """Say that somebody has taken INCIDENT; it stays quiet unless it gets worse. A running service passes it on."""
    with _outbox(settings(config_path).settings.state.path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        told = acknowledge(connection, incident, by, time.time)
        connection.execute("COMMIT")
    if as_json:
        emit({"incident": incident, "acknowledged_by": by, "to_be_told": list(told)})
    else:
        note(f"{incident}: taken by {by}; to be told: {', '.join(told)}")


@contextmanager
def _outbox(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of our own beside the running service's."""
    if not path.exists():
        raise StateError(f"{path}: there is no state file; name the settings of the running service with --config")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=10.0)
    except sqlite3.Error as error:
        raise StateError(f"{path}: can't be opened: {error}") from error
    try:
        Outbox(connection, now=time.time)
        yield connection
    finally:
        connection.close()
