"""`alignwatch baseline fit|show|approve`."""

from __future__ import annotations

from pathlib import Path

import click

from monitor import baseline
from monitor.cli._options import config_option, emit, json_option, note, progress, settings
from monitor.errors import BaselineError
from monitor.recorded import Recorded, detection_config, looks_like_labels


@click.group()
def command() -> None:
    """What is normal, pinned: fitted from a stated period, approved by a person, never self-learned."""


@command.command("fit")
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Where the baseline goes.")
@click.option(
    "--labels/--exchanges", "are_labels", default=None, help="What the files hold; seen by itself when not given."
)
@config_option
@json_option
def fit_command(
    files: tuple[str, ...],
    out: Path,
    config_path: Path | None,
    *,
    are_labels: bool | None,
    as_json: bool,
) -> None:
    """Fit a baseline from FILES of exchanges or labels (- is stdin); it pages nobody before it is approved."""
    loaded = settings(config_path).settings
    if are_labels is None:
        are_labels = all(one != "-" and looks_like_labels(Path(one)) for one in files)
    recorded = Recorded(loaded, labels=are_labels)
    labels = (label for batch in progress(recorded.batches(files), "reading") for label in batch)
    try:
        fitted = baseline.fit(labels, detection_config(loaded))
    finally:
        # Where nothing is left to fit from, this is why.
        for line in recorded.losses():
            note(line)
    baseline.save(out, fitted)
    for one in fitted.values():
        _tell(one, as_json=as_json)
        needed = loaded.detection.learning_labels
        if one.sensitive_labels() < needed:
            note(f"  only {one.sensitive_labels()} sensitive labels; {needed} are advised, fewer cost detection delay")
    note(f"written to {out}; approve it with: alignwatch baseline approve {out} --by NAME")


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show_command(file: Path, *, as_json: bool) -> None:
    """Print what a baseline file holds."""
    for one in baseline.load(file).values():
        if as_json:
            emit(one.model_dump(mode="json"))
            continue
        click.echo(_line(one))
        click.echo(
            f"  period      {one.period_start:%Y-%m-%d %H:%M}Z to {one.period_end:%Y-%m-%d %H:%M}Z ({one.hours:.1f} h)"
        )
        click.echo(f"  classifier  {one.classifier or 'unknown'}")
        click.echo(f"  models      {', '.join(one.model_digests) or 'no digest in the traffic'}")
        for name, (count, rate) in one.categories().items():
            click.echo(f"  {name:<22}{count:>8} labels   compliance {rate:6.1%}")
        if one.excluded:
            click.echo("  left out    " + ", ".join(f"{count} {reason}" for reason, count in one.excluded.items()))


@command.command("approve")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--by", required=True, help="Who vouches for it.")
@click.option("--deployment", help="Only this deployment's; all of the file when not given.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Where to write; FILE itself when not given.")
@json_option
def approve_command(file: Path, by: str, deployment: str | None, out: Path | None, *, as_json: bool) -> None:
    """Approve a baseline: from then on, pages may be raised against it."""
    held = baseline.load(file)
    if deployment is not None and deployment not in held:
        raise BaselineError(f"{file}: no deployment {deployment!r}; it holds {', '.join(held)}")
    approved = {name: one.approve(by) if deployment in {None, name} else one for name, one in held.items()}
    baseline.save(out or file, approved)
    for one in approved.values():
        _tell(one, as_json=as_json)


def _tell(one: baseline.Baseline, *, as_json: bool) -> None:
    if as_json:
        rate = one.compliance()
        emit(
            {
                "deployment": one.deployment,
                "labels": one.labels,
                "sensitive_labels": one.sensitive_labels(),
                "compliance": rate,
                "classifier": one.classifier,
                "approved_by": one.approved_by,
            }
        )
    else:
        note(_line(one))


def _line(one: baseline.Baseline) -> str:
    compliance = one.compliance()
    rate = "no sensitive labels" if compliance is None else f"compliance {compliance:.1%}"
    approval = f"approved by {one.approved_by}" if one.approved else "not approved"
    return f"{one.deployment}: {one.labels} labels, {one.sensitive_labels()} of them sensitive, {rate}, {approval}"
