"""`alignwatch doctor`: is everything that the service needs here and sound."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from alerts.sinks import open_sinks
from alignwatch import AlignwatchError
from classifiers import Pair, load_classifier, load_screen
from monitor.baseline import load as load_baselines
from monitor.cli._options import config_option, emit, json_option, settings
from monitor.compact import short_classifier
from monitor.config import Settings
from monitor.sources import open_source
from monitor.state import State

CONNECT_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


@click.command()
@config_option
@json_option
def command(config_path: Path | None, *, as_json: bool) -> None:
    """Check settings, classifier, baseline, state, source and sinks without changing any; exit 1 on a finding."""
    loaded = settings(config_path).settings
    sound = True
    for finding in examine(loaded):
        sound &= finding.ok
        if as_json:
            emit(asdict(finding))
        else:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.detail}")
    if not sound:
        raise click.exceptions.Exit(1)


def examine(loaded: Settings) -> Iterator[Finding]:
    """Look at one thing after the other; a fault in one does not hide the next."""
    checks: dict[str, Callable[[Settings], str]] = {
        "classifier": _classifier,
        "baseline": _baseline,
        "state": _state,
        "source": _source,
        "alerts": _alerts,
    }
    for what, check in checks.items():
        try:
            yield Finding(what, ok=True, detail=check(loaded))
        except AlignwatchError as error:
            yield Finding(what, ok=False, detail=str(error))


def _classifier(loaded: Settings) -> str:
    began = time.perf_counter()
    classifier = load_classifier(loaded.classifier.path, threads=loaded.classifier.threads)
    load_screen(loaded.classifier.path)
    took = time.perf_counter() - began
    began = time.perf_counter()
    classifier.label([Pair("How do I sort a list in Python?", "Use sorted(values); it returns a new list.")] * 16)
    speed = 16 / (time.perf_counter() - began)
    return f"{classifier.digest[:19]}..., loaded in {took:.1f} s, about {speed:.0f} short pairs/s"


def _baseline(loaded: Settings) -> str:
    path = loaded.baseline.path
    if path is None:
        return "none is set: the monitor learns and pages nothing statistical"
    held = load_baselines(path)
    waiting = [name for name, one in held.items() if not one.approved]
    if waiting:
        raise AlignwatchError(f"{path}: not approved: {', '.join(waiting)}; run `alignwatch baseline approve`")
    digest = short_classifier(load_classifier(loaded.classifier.path).digest)
    stale = [name for name, one in held.items() if one.classifier not in {None, digest, "attached"}]
    if stale:
        raise AlignwatchError(f"{path}: fitted with another classifier: {', '.join(stale)}; fit them again")
    return f"{path}: {len(held)} approved: {', '.join(held)}"


def _state(loaded: Settings) -> str:
    path = loaded.state.path
    if path.exists():
        with State(path) as state:
            return f"{path}: sound, {len(state.positions())} positions, {len(state.incidents())} incidents"
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise AlignwatchError(f"{path}: {folder} is not writable")
    return f"{path}: will be made at the first start"


def _source(loaded: Settings) -> str:
    if loaded.source.kind != "kafka":
        return f"{loaded.source.kind}"
    # A group of its own, so that a running service keeps its partitions.
    kafka = loaded.source.kafka.model_copy(update={"group_id": f"{loaded.source.kafka.group_id}-doctor"})
    brokers = ", ".join(kafka.bootstrap_servers)
    source = open_source(loaded.source.model_copy(update={"kafka": kafka}))
    try:
        source.start({})
        deadline = time.monotonic() + CONNECT_SECONDS
        while time.monotonic() < deadline:
            source.poll(1, 0.5)
            if source.ready() and source.assigned():
                topics = sorted({part.topic for part in source.assigned()})
                return f"kafka {brokers}: {len(source.assigned())} partitions of {', '.join(topics)}"
        raise AlignwatchError(f"kafka {brokers}: not reachable within {CONNECT_SECONDS:.0f} s")
    finally:
        source.close()


def _alerts(loaded: Settings) -> str:
    for sink in open_sinks(loaded.alerts):
        sink.close()
    names = [f"{sink.name} ({sink.kind})" for sink in loaded.alerts.sinks]
    return f"{', '.join(names) or 'none'}; `alignwatch alert test` sends through them"
