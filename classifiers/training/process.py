"""Settings that a process must be started with: how the allocator keeps memory, how idle threads wait."""

from __future__ import annotations

import os
import sys

SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(1 << 30),
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
}
"""glibc gives the large buffers of every step back and fetches them zeroed again, a third of the time of a step; and
OpenMP's threads spin for one another, which costs twice the time as soon as the cores are shared."""
_MARK = "ALIGNWATCH_TRAINING_TUNED"


def tuned() -> None:
    """Starts this command anew with `SETTINGS` in its environment, once; what the environment states already wins."""
    if os.environ.get(_MARK) or sys.platform != "linux":
        return
    environment = {**SETTINGS, **os.environ, _MARK: "1"}
    command = [sys.executable, "-m", "classifiers.training", *sys.argv[1:]]
    os.execve(command[0], command, environment)  # noqa: S606 - this very command, read anew by glibc and OpenMP
