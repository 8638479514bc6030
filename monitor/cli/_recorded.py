"""What `replay` and `detect` share: files in, incidents on stdout, everything else on stderr, exit 1 on a finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from monitor.cli._options import (
    baseline_option,
    config_option,
    json_option,
    note,
    print_incident,
    progress,
    settings,
)
from monitor.engine import Engine
from monitor.recorded import Recorded, detect, make_engine

if TYPE_CHECKING:
    from monitor.windows import Windows

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Request:
    """The options as given."""

    files: tuple[str, ...]
    baseline_path: Path | None
    report: Path | None
    config_path: Path | None
    follow: bool
    as_json: bool
    arl: float | None = None


def recorded_options(function: Function) -> Function:
    """The arguments and options that both commands take."""
    for option in (
        click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True)),
        baseline_option,
        click.option("--follow", is_flag=True, help="Print every change of an incident as it happens."),
        click.option(
            "--report",
            type=click.Path(path_type=Path),
            help="Write rates, intervals and incidents as HTML (.csv, .json: rates alone).",
        ),
        config_option,
        json_option,
    ):
        function = option(function)
    return function


def run(request: Request, *, labels: bool) -> None:
    """Read the files to their end and print what was found; exits with 1 when there is an incident."""
    loaded = settings(request.config_path).settings
    engine = make_engine(loaded, request.baseline_path, arl=request.arl)
    windows = _import_windows()(engine.config, engine.policies) if request.report is not None else None
    recorded = Recorded(loaded, labels=labels)
    batches = recorded.batches(request.files)
    if windows is not None:
        batches = windows.watching(batches)
    batches = progress(batches, "detecting" if labels else "replaying")
    follow = (lambda one: print_incident(one, as_json=request.as_json)) if request.follow else None
    incidents = detect(engine, batches, follow)
    if not request.follow:
        for incident in incidents:
            print_incident(incident, as_json=request.as_json)
    for line in [*recorded.losses(), *_states(engine)]:
        note(line)
    if windows is not None and request.report is not None:
        windows.write(request.report, incidents)
        note(f"report: {request.report}")
    if incidents:
        raise click.exceptions.Exit(1)


def _import_windows() -> type[Windows]:
    # pandas costs 50 MB and half a second; only a report needs it.
    from monitor.windows import Windows  # noqa: PLC0415

    return Windows


def _states(engine: Engine) -> list[str]:
    lines = []
    for one in engine.status():
        text = f"{one.name}: {one.labels} labels, {one.state}"
        if one.learning is not None:
            text += f" {one.learning[0]} of {one.learning[1]}; nothing pages without an approved baseline"
        lines.append(text)
    return lines
