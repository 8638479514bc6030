"""`alignwatch demo`: the whole path on an embedded source."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from alignwatch import Incident
from classifiers import load_classifier
from monitor.assembly import Given, assemble
from monitor.cli._options import json_option, note, print_incident
from monitor.cli._run import stop_on_signals
from monitor.clock import ScaledClock
from monitor.config import HttpConfig, Settings, StateConfig, load
from monitor.demo._stage import SPEED, Player, Script, fit_baseline
from monitor.engine import Engine
from monitor.logs import configure
from monitor.recorded import detection_config, labelling_everything
from monitor.sources import MemorySource
from monitor.worker import WorkerConfig


@click.command()
@click.option("--port", default=8077, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--onset", default=45.0, show_default=True, type=click.FloatRange(5), help="Calm seconds before the attack."
)
@click.option("--rollback", type=click.FloatRange(20), help="Second at which the old checkpoint comes back.")
@click.option("--seconds", type=click.FloatRange(1), help="Stop after this long; else Ctrl-C.")
@json_option
def command(
    port: int, host: str, onset: float, rollback: float | None, seconds: float | None, *, as_json: bool
) -> None:
    """Play traffic of our own through the real classifier and detectors; two minutes of it pass each second."""
    configure("warning", "text")
    classifier = load_classifier(threads=2)
    clock = ScaledClock(time.time(), SPEED)
    with tempfile.TemporaryDirectory(prefix="alignwatch-demo-") as folder:
        config = _settings(Path(folder), host, port)
        note("reading calm traffic to fit a baseline ...")
        baseline = fit_baseline(config, classifier, end=clock.now())
        note(f"baseline: {baseline.labels} labels, approved by {baseline.approved_by}")
        source = MemorySource("demo")
        clock = ScaledClock(clock.now(), SPEED)
        engine = Engine(detection_config(config), {baseline.deployment: baseline})
        service = assemble(
            config, given=Given(source=source, clock=clock, engine=engine, on_incidents=partial(_tell, as_json=as_json))
        )
        player = Player(source, clock, Script(onset=onset, rollback=rollback))
        stop_on_signals(service)
        service.start()
        note(f"status page: {service.url}   (calm now; the model is swapped in {onset:.0f} s; Ctrl-C ends the demo)")
        player.start()
        if seconds is not None:
            _stop_after(seconds, source)
        service.run()
        player.stop()


def _settings(folder: Path, host: str, port: int) -> Settings:
    plain = load(None, {}).settings
    return labelling_everything(plain).model_copy(
        update={
            "state": StateConfig(path=folder / "state.sqlite3"),
            "http": HttpConfig(host=host, port=port),
            "worker": WorkerConfig(max_records=32, poll_seconds=0.1, commit_seconds=2.0 * SPEED),
            "alerts": plain.alerts.model_copy(update={"sinks": ()}),
        }
    )


def _tell(incidents: Sequence[Incident], *, as_json: bool) -> None:
    for incident in incidents:
        print_incident(incident, as_json=as_json)


def _stop_after(seconds: float, source: MemorySource) -> None:
    timer = threading.Timer(seconds, source.finish)
    timer.daemon = True
    timer.start()
