"""Bytes and time of the status page, for one deployment and for a fleet of 200, in one run.

    python tests/bench/page.py

The yardstick is the JSON of the same status, which any page would have to be made of.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from fake_service import deployment, service

from monitor.page import render
from monitor.service_status import ServiceStatus

ROUNDS = 20


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time of one call: the best of several, as the machine may be busy."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best


def row(name: str, status: ServiceStatus) -> str:
    page, json_ = render(status).encode(), status.to_json().encode()
    took, yardstick = milliseconds(lambda: render(status)), milliseconds(status.to_json)
    zipped = len(gzip.compress(page, 4))
    return (
        f"{name:<28}{len(page) / 1000:>9.1f} kB{zipped / 1000:>9.1f} kB zipped{took:>9.1f} ms"
        f"   the status as JSON: {len(json_) / 1000:.1f} kB, {yardstick:.1f} ms"
    )


def main() -> None:
    fleet = [deployment(f"chat-{i:03}") for i in range(199)]
    print(row("one deployment, calm", service(deployment())))
    print(row("one deployment, in alarm", service(deployment(state="alarm"))))
    print(row("200 deployments, calm", service(*fleet, deployment("assistant-prod"))))
    print(row("200 deployments, an alarm", service(*fleet, deployment("assistant-prod", "alarm"))))


if __name__ == "__main__":
    main()
