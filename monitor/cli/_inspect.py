"""`alignwatch inspect-envelope FILE`: which gateway's format is this, and what was read from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import click

from monitor.cli._options import config_option, emit, json_option, settings
from monitor.envelopes import explain, is_one_record
from monitor.sources import read_lines

WHOLE_BYTES = 64 << 20
"""Files beyond this are lines: no gateway sends a record as large."""


@click.command()
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--records", default=3, show_default=True, type=click.IntRange(1, 1000), help="How many to look at.")
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="NAME=VALUE", help="A header of the record, such as ce_type=..."
)
@click.option("--text", is_flag=True, help="Show prompts and answers, not only their length.")
@config_option
@json_option
def command(
    file: str, records: int, headers: tuple[str, ...], config_path: Path | None, *, text: bool, as_json: bool
) -> None:
    """Explain the first records of FILE: decoder, fields and lengths; exit 1 when one can't be read.

    FILE holds a record a line, or is one record as a whole (protobuf, indented JSON). Described envelopes are read as
    the configuration says. No text is shown unless asked for.
    """
    loaded = settings(config_path).settings if config_path is not None else None
    named = dict(_header(one) for one in headers)
    unreadable = 0
    for number, value in enumerate(itertools.islice(_records(file), records), start=1):
        found = explain(value, limits=loaded.decode if loaded is not None else None, headers=named, text=text)
        unreadable += found.decoder is None or bool(found.problems)
        if as_json:
            emit({"record": number, **found.as_dict()})
        else:
            click.echo(f"record {number}: {found.render()}")
    if unreadable:
        raise click.exceptions.Exit(1)


def _header(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise click.BadParameter(f"{text!r}: NAME=VALUE is allowed", param_hint="--header")
    return name.strip().lower(), value.strip()


def _records(file: str) -> Iterator[bytes]:
    path = Path(file)
    if file != "-" and path.is_file() and path.stat().st_size <= WHOLE_BYTES:
        value = path.read_bytes()
        if is_one_record(value):
            yield value
            return
    yield from read_lines(file)
