"""`alignwatch run`: the service."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal

import click

from monitor.assembly import assemble
from monitor.cli._options import config_option, note, settings
from monitor.logs import configure
from monitor.service import Service
from monitor.systemd import supervisor


@click.command()
@config_option
@click.option("--role", type=click.Choice(["all", "label", "detect"]), default="all", show_default=True)
@click.option("--accept-new-state", is_flag=True, help="Start from no evidence where the state is missing or damaged.")
def command(config_path: Path | None, role: Literal["all", "label", "detect"], *, accept_new_state: bool) -> None:
    """Read traffic, label, detect, page; until SIGTERM, which drains and commits (a second one stops at once)."""
    loaded = settings(config_path).settings
    configure(loaded.log.level, loaded.log.format)
    service = assemble(loaded, role, accept_new_state=accept_new_state)
    systemd = supervisor()
    stop_on_signals(service, systemd.stopping)
    service.start()
    if service.url is not None:
        note(f"status page: {service.url}")
    # Started, whether or not the source can be reached: a broker that is down must not fail our start.
    systemd.ready()
    with systemd.watched(service.live, service.ready):
        service.run()


def stop_on_signals(service: Service, told: Callable[[], None] = lambda: None) -> None:
    """First SIGTERM or SIGINT: an orderly end. Second: at once; what was not committed is read again."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del frame
        if asked:
            os._exit(128 + number)
        asked = True
        told()
        service.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
