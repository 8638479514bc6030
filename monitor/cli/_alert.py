"""`alignwatch alert test`."""

from __future__ import annotations

from pathlib import Path

import click

from alerts.trial import send_test
from alignwatch import SEVERITIES, Severity
from monitor.cli._options import config_option, emit, json_option, settings


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
