"""The command tree; each command's module is imported only when it runs, so that `--help` is quick."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

from alignwatch import AlignwatchError, __version__
from monitor.logs import silent_traceback

INTERNAL_ERROR: Final = 70
"""Exit code of a fault of our own (EX_SOFTWARE of sysexits.h): 1, Python's choice, would read as a finding."""

COMMANDS: Final = {
    "run": ("monitor.cli._run", "The service: read traffic, label, detect, page."),
    "demo": ("monitor.cli._demo", "The whole path on an embedded source, with the status page; needs no server."),
    "replay": ("monitor.cli._replay", "Recorded traffic through the same code; prints incidents."),
    "classify": ("monitor.cli._classify", "Label a file of exchanges (stage A alone)."),
    "detect": ("monitor.cli._detect", "Find incidents in a file of labels (stage B alone)."),
    "baseline": ("monitor.cli._baseline", "Pinned baselines: fit, show, approve."),
    "simulate": ("monitor.cli._simulate", "Traffic with a chosen mix, onset and attack; drills."),
    "doctor": ("monitor.cli._doctor", "Check settings, artefacts, state and connections."),
    "config": ("monitor.cli._config", "Settings: show, check, schema."),
    "inspect-envelope": ("monitor.cli._inspect", "Say which envelope a file holds and what was read from it."),
    "alert": ("monitor.cli._alert", "Alert delivery: test, list, ack."),
    "dead-letters": ("monitor.cli._dead_letters", "Records that could not be decoded: replay."),
    "schema": ("monitor.cli._schema", "JSON Schema of a record: exchange, label, incident."),
}


class LazyGroup(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None when there is no such name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="alignwatch")
def cli() -> None:
    """Drift monitor for deployed chat models: notices when a model stops refusing."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; an expected error is one message on stderr and code 2."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        result: Any = cli.main(arguments, prog_name="alignwatch", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return 130
    except (BrokenPipeError, SystemExit):
        # The reader of our output went away (`| head`), for which click exits by itself; nobody is left to tell.
        return 0
    except Exception as error:  # noqa: BLE001 - told below, by kind
        return _tell(error)
    return result if isinstance(result, int) else 0


def _tell(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if isinstance(error, AlignwatchError):
        click.echo(f"error: {error}", err=True)
        return 2
    if isinstance(error, OSError):
        # Most of all an output that can't be written: what is read has errors of its own.
        click.echo(f"error: {error.filename or 'output'}: {error.strerror or type(error).__name__}", err=True)
        return 2
    # Where it happened, without the message, which may quote traffic.
    click.echo(silent_traceback(type(error), error.__traceback__), err=True)
    click.echo("internal error: this is a fault of alignwatch, not of its input", err=True)
    return INTERNAL_ERROR
