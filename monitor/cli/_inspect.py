"""`alignwatch inspect-envelope FILE`: which gateway's format is this, and what was read from it."""

from __future__ import annotations

import itertools

import click

from monitor.cli._options import emit, json_option
from monitor.envelopes import explain
from monitor.sources import read_lines


@click.command()
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--records", default=3, show_default=True, type=click.IntRange(1, 1000), help="How many to look at.")
@json_option
def command(file: str, records: int, *, as_json: bool) -> None:
    """Explain the first records of FILE: decoder, fields and lengths, never text; exit 1 when one can't be read."""
    unreadable = 0
    for number, value in enumerate(itertools.islice(read_lines(file), records), start=1):
        found = explain(value)
        unreadable += found.decoder is None or bool(found.problems)
        if as_json:
            emit({"record": number, **found.as_dict()})
        else:
            click.echo(f"record {number}: {found.render()}")
    if unreadable:
        raise click.exceptions.Exit(1)
